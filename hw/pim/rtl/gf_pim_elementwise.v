// gf_pim_elementwise: sums, products, weighted sums and ReLU of BF16 numbers, LANES at once.
//
//   add         operand 0 + operand 1 + ..., in this order in FP32
//   multiply    operand 0 x operand 1
//   accumulate  +0 + weight 0 x operand 0 + weight 1 x operand 1 + ..., in this order in FP32
//   relu        operand 0, or +0 where its sign bit is set; a NaN becomes 16'h7FC0
//
// A result is rounded to BF16 once, at its last operand. Operands of a word come one a clock at
// most, in_operand counting them. The weights of accumulate are the lanes of the word that came
// last with in_weights: LANES operands at most.
//
// A word's result is out 1 clock after its last operand, 2 with accumulate; ready comes with the
// last one. add and accumulate have an addition without a register inside.

`default_nettype none

module gf_pim_elementwise #(
  parameter LANES = 16
) (
  input  wire                clk,
  input  wire                rst,
  input  wire                multiply,
  input  wire                accumulate,
  input  wire                relu,
  input  wire                in_weights,
  input  wire                in_valid,
  input  wire [7:0]          in_operand,
  input  wire                in_last_operand,
  input  wire                in_last,
  input  wire [16*LANES-1:0] in,
  output wire                ready,
  output wire                out_valid,
  output wire [16*LANES-1:0] out
);

  localparam LaneBits = $clog2(LANES);

  reg [16*LANES-1:0] weights;
  reg product_valid;
  reg product_first;
  wire [15:0] weight = weights[16*in_operand[LaneBits-1:0] +: 16];
  wire first = in_operand == 8'd0;

  always @(posedge clk) begin
    product_valid <= in_valid;
    product_first <= first;
    if (in_weights) begin
      weights <= in;
    end
  end

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [15:0] number = in[16*lane +: 16];
      wire nan = number[14:0] > {8'd255, 7'd0};
      reg [15:0] held;
      reg [31:0] sum;
      wire [31:0] product;
      wire [31:0] next_sum;
      gf_pim_bf16_multiply #(.STAGES(1)) product_unit (
        .clk(clk), .a(accumulate ? weight : held), .b(number), .y(product)
      );
      gf_pim_fp32_add #(.STAGES(0)) sum_unit (
        .clk(clk), .a((accumulate && product_first) ? 32'd0 : sum),
        .b(accumulate ? product : {number, 16'd0}), .y(next_sum)
      );
      always @(posedge clk) begin
        if (in_valid && first) begin
          held <= number;
        end
        if (accumulate) begin
          if (product_valid) begin
            sum <= next_sum;
          end
        end else if (in_valid) begin
          sum <= (relu && number[15] && !nan) ? 32'd0 : first ? {number, 16'd0} : next_sum;
        end
      end
      gf_pim_fp32_to_bf16 to_bf16 (.a(multiply ? product : sum), .y(out[16*lane +: 16]));
    end
  endgenerate

  wire out_valid_1;
  wire out_valid_2;
  wire ready_1;
  wire ready_2;
  gf_valid_delay #(.Depth(1)) out_delay (
    .clk(clk), .rst(rst), .in(in_valid && in_last_operand), .out(out_valid_1)
  );
  gf_valid_delay #(.Depth(1)) out_delay_again (
    .clk(clk), .rst(rst), .in(out_valid_1), .out(out_valid_2)
  );
  gf_valid_delay #(.Depth(1)) ready_delay (
    .clk(clk), .rst(rst), .in(in_valid && in_last), .out(ready_1)
  );
  gf_valid_delay #(.Depth(1)) ready_delay_again (
    .clk(clk), .rst(rst), .in(ready_1), .out(ready_2)
  );
  assign out_valid = accumulate ? out_valid_2 : out_valid_1;
  assign ready = accumulate ? ready_2 : ready_1;

endmodule

`default_nettype wire
