// gf_pim_fp32_multiply: the product of two FP32 numbers.
//
//   y = a b, rounded to nearest even, as gf_pim_multiply has it
//
// STAGES  0: combinational; 3: operands of clock t, their product in clock t + 3

`default_nettype none

module gf_pim_fp32_multiply #(
  parameter STAGES = 0
) (
  input  wire        clk,
  input  wire [31:0] a,
  input  wire [31:0] b,
  output wire [31:0] y
);

  gf_pim_multiply #(
    .FRACTION(23),
    .PRODUCT_STAGES((STAGES >= 1) ? 1 : 0),
    .ROUND_STAGES((STAGES >= 3) ? 2 : 0)
  ) multiply (.clk(clk), .a(a), .b(b), .y(y));

endmodule

`default_nettype wire
