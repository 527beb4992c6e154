// gf_pim_quantize: a vector's BF16 numbers as INT8, and what 1 stands for.
//
//   phase 0  m = the largest magnitude;  scale = 127 reciprocal(m)
//   phase 1  q = round(x scale), ties to even, held within -127 and 127; 0 where x scale is a NaN
//   behind the last word  step = m FP32(1 / 127): its low half in lane 0, its high half in lane 1
//
// The vector is sent in each phase, a word of LANES numbers a clock at most; q takes 16 bits of its
// lane. keep marks the lanes that have a number, first and last the vector's words. ready says that
// a phase has ended.
//
// LANES  at least 2. Clocks from last to ready: 28; 6. A word of phase 1 is out after 5 clocks.

`default_nettype none

module gf_pim_quantize #(
  parameter LANES = 16
) (
  input  wire                clk,
  input  wire                rst,
  input  wire [1:0]          phase,
  input  wire                in_valid,
  input  wire                in_first,
  input  wire                in_last,
  input  wire [LANES-1:0]    in_keep,
  input  wire [16*LANES-1:0] in,
  output wire                ready,
  output wire                out_valid,
  output wire [16*LANES-1:0] out
);

  localparam [31:0] Most = 32'h42FE0000;       // 127
  localparam [31:0] OneOver127 = 32'h3C010204;
  localparam [31:0] WholePart = 32'h4B400000;  // 1.5 x 2^23: adding it leaves no fraction
  localparam NumberLatency = 3 + 2;

  wire [16*LANES-1:0] magnitudes;
  wire [15:0] largest;
  wire [23:0] unused_place;
  wire [31:0] inverse;
  wire [31:0] scale;
  wire [31:0] step;
  wire [16*LANES-1:0] numbers;

  gf_pim_maximum #(.LANES(LANES)) maximum (
    .clk(clk), .take(in_valid && phase == 2'd0), .first(in_first), .keep(in_keep),
    .in(magnitudes), .largest(largest), .place(unused_place)
  );
  gf_pim_reciprocal divide (.clk(clk), .x({largest, 16'd0}), .y(inverse));
  gf_pim_fp32_multiply #(.STAGES(3)) times_most (.clk(clk), .a(inverse), .b(Most), .y(scale));
  gf_pim_fp32_multiply #(.STAGES(3)) over_most (
    .clk(clk), .a({largest, 16'd0}), .b(OneOver127), .y(step)
  );

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [31:0] exact;
      wire [31:0] rounded;
      wire nan = exact[30:0] > {8'd255, 23'd0};
      wire too_large = exact[30:0] > Most[30:0];
      wire [31:0] held = nan ? 32'd0 : too_large ? {exact[31], Most[30:0]} : exact;
      assign magnitudes[16*lane +: 16] = {1'b0, in[16*lane +: 15]};
      gf_pim_fp32_multiply #(.STAGES(3)) times_scale (
        .clk(clk), .a({in[16*lane +: 16], 16'd0}), .b(scale), .y(exact)
      );
      gf_pim_fp32_add #(.STAGES(2)) to_whole (
        .clk(clk), .a(held), .b(WholePart), .y(rounded)
      );
      assign numbers[16*lane +: 16] = {{8{rounded[7]}}, rounded[7:0]};
    end
  endgenerate

  wire ready_0;
  wire ready_1;
  wire number_valid;
  wire last = in_valid && in_last;
  gf_valid_delay #(.Depth(2 + 23 + 3)) ready_delay_0 (
    .clk(clk), .rst(rst), .in(last && phase == 2'd0), .out(ready_0)
  );
  gf_valid_delay #(.Depth(NumberLatency + 1)) ready_delay_1 (
    .clk(clk), .rst(rst), .in(last && phase == 2'd1), .out(ready_1)
  );
  gf_valid_delay #(.Depth(NumberLatency)) out_delay (
    .clk(clk), .rst(rst), .in(in_valid && phase == 2'd1), .out(number_valid)
  );

  assign ready = ready_0 || ready_1;
  assign out_valid = number_valid || ready_1;
  assign out = ready_1 ? {{(16*LANES-32){1'b0}}, step} : numbers;

endmodule

`default_nettype wire
