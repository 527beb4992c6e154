// gf_pim_rotary: turns a head's halves by the angles of a position; BF16 in and out, LANES at once.
//
//   first' = first cosine - second sine;  second' = second cosine + first sine
//
// Products and sums are FP32, results rounded to BF16. Operands come one a clock: LANES numbers of
// the first half, those of the second, then cosines and sines: in_operand 0 to 3.
//
// first' is out 3 clocks after the sines, second' 4; ready comes with the last one.

`default_nettype none

module gf_pim_rotary #(
  parameter LANES = 16
) (
  input  wire                clk,
  input  wire                rst,
  input  wire                in_valid,
  input  wire [1:0]          in_operand,
  input  wire                in_last,
  input  wire [16*LANES-1:0] in,
  output wire                ready,
  output wire                out_valid,
  output wire                out_second,
  output wire [16*LANES-1:0] out
);

  reg [16*LANES-1:0] first;
  reg [16*LANES-1:0] second;

  always @(posedge clk) begin
    if (in_valid && in_operand == 2'd0) begin
      first <= in;
    end
    if (in_valid && in_operand == 2'd1) begin
      second <= in;
    end
  end

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [31:0] first_product;
      wire [31:0] second_product;
      wire [31:0] first_cosine;
      wire [31:0] second_cosine;
      wire [31:0] first_turned;
      wire [31:0] second_turned;
      wire [31:0] second_kept;
      gf_pim_bf16_multiply #(.STAGES(1)) first_unit (
        .clk(clk), .a(first[16*lane +: 16]), .b(in[16*lane +: 16]), .y(first_product)
      );
      gf_pim_bf16_multiply #(.STAGES(1)) second_unit (
        .clk(clk), .a(second[16*lane +: 16]), .b(in[16*lane +: 16]), .y(second_product)
      );
      gf_delay #(.Width(64), .Depth(1)) cosine_delay (
        .clk(clk), .in({first_product, second_product}), .out({first_cosine, second_cosine})
      );
      gf_pim_fp32_add #(.STAGES(2)) turn_first (
        .clk(clk), .a(first_cosine), .b({!second_product[31], second_product[30:0]}),
        .y(first_turned)
      );
      gf_pim_fp32_add #(.STAGES(2)) turn_second (
        .clk(clk), .a(second_cosine), .b(first_product), .y(second_turned)
      );
      gf_delay #(.Width(32), .Depth(1)) second_delay (
        .clk(clk), .in(second_turned), .out(second_kept)
      );
      gf_pim_fp32_to_bf16 to_bf16 (
        .a(out_second ? second_kept : first_turned), .y(out[16*lane +: 16])
      );
    end
  endgenerate

  wire first_out;
  gf_valid_delay #(.Depth(3)) first_delay (
    .clk(clk), .rst(rst), .in(in_valid && in_operand == 2'd3), .out(first_out)
  );
  gf_valid_delay #(.Depth(1)) out_second_delay (
    .clk(clk), .rst(rst), .in(first_out), .out(out_second)
  );
  gf_valid_delay #(.Depth(4)) ready_delay (
    .clk(clk), .rst(rst), .in(in_valid && in_last), .out(ready)
  );
  assign out_valid = first_out || out_second;

endmodule

`default_nettype wire
