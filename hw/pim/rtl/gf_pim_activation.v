// gf_pim_activation: GELU or SiLU of BF16 numbers, LANES of them a clock.
//
//   y = x / (1 + e^-u), rounded to BF16;  u of gf_pim_gelu_argument where gelu is set, else x
//
// Each lane has one gate. ready comes with the last word's result.
//
// A word of clock t is out in clock t + 66 with gelu, else t + 55. gelu holds until ready.

`default_nettype none

module gf_pim_activation #(
  parameter LANES = 16
) (
  input  wire                clk,
  input  wire                rst,
  input  wire                gelu,
  input  wire                in_valid,
  input  wire                in_last,
  input  wire [16*LANES-1:0] in,
  output wire                ready,
  output wire                out_valid,
  output wire [16*LANES-1:0] out
);

  localparam ArgumentLatency = 11;
  localparam GateLatency = 55;

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [31:0] x = {in[16*lane +: 16], 16'd0};
      wire [31:0] u;
      wire [31:0] x_11;
      wire [31:0] y;
      gf_pim_gelu_argument argument (.clk(clk), .x(x), .u(u));
      gf_delay #(.Width(32), .Depth(ArgumentLatency)) x_delay (.clk(clk), .in(x), .out(x_11));
      gf_pim_gate gated (.clk(clk), .x(gelu ? x_11 : x), .u(gelu ? u : x), .y(y));
      gf_pim_fp32_to_bf16 to_bf16 (.a(y), .y(out[16*lane +: 16]));
    end
  endgenerate

  wire valid_11;
  wire last_11;
  gf_valid_delay #(.Depth(ArgumentLatency)) valid_argument (
    .clk(clk), .rst(rst), .in(in_valid), .out(valid_11)
  );
  gf_valid_delay #(.Depth(ArgumentLatency)) last_argument (
    .clk(clk), .rst(rst), .in(in_valid && in_last), .out(last_11)
  );
  gf_valid_delay #(.Depth(GateLatency)) valid_gate (
    .clk(clk), .rst(rst), .in(gelu ? valid_11 : in_valid), .out(out_valid)
  );
  gf_valid_delay #(.Depth(GateLatency)) last_gate (
    .clk(clk), .rst(rst), .in(gelu ? last_11 : in_valid && in_last), .out(ready)
  );

endmodule

`default_nettype wire
