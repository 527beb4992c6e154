// gf_pim_gelu: GELU in its tanh form, one result a clock; FP32.
//
//   y = x / (1 + e^-u),  u = x (2 sqrt(2 / pi) + (x x) 0.044715 2 sqrt(2 / pi))
//
// -infinity gives -0, its limit; a NaN gives 32'h7FC00000.
//
// x of clock t, its result in clock t + 66: u 11, the gate 55.

`default_nettype none

module gf_pim_gelu (
  input  wire        clk,
  input  wire [31:0] x,
  output wire [31:0] y
);

  wire [31:0] u;
  wire [31:0] x_11;

  gf_pim_gelu_argument argument (.clk(clk), .x(x), .u(u));
  gf_delay #(.Width(32), .Depth(11)) x_delay (.clk(clk), .in(x), .out(x_11));
  gf_pim_gate gated (.clk(clk), .x(x_11), .u(u), .y(y));

endmodule

`default_nettype wire
