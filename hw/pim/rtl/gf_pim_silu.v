// gf_pim_silu: x / (1 + e^-x), one result a clock; FP32.
//
// -infinity gives -0, its limit; a NaN gives 32'h7FC00000.
//
// x of clock t, its result in clock t + 55.

`default_nettype none

module gf_pim_silu (
  input  wire        clk,
  input  wire [31:0] x,
  output wire [31:0] y
);

  gf_pim_gate gated (.clk(clk), .x(x), .u(x), .y(y));

endmodule

`default_nettype wire
