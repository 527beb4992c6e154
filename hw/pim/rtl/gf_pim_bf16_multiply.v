// gf_pim_bf16_multiply: the product of two BF16 numbers, as FP32.
//
//   y = a b: exact, but for what is too small for FP32's normal numbers, which is rounded to
//   nearest even; as gf_pim_multiply has it
//
// STAGES  0: combinational; 1: operands of clock t, their product in clock t + 1

`default_nettype none

module gf_pim_bf16_multiply #(
  parameter STAGES = 0
) (
  input  wire        clk,
  input  wire [15:0] a,
  input  wire [15:0] b,
  output wire [31:0] y
);

  gf_pim_multiply #(.FRACTION(7), .PRODUCT_STAGES(0), .ROUND_STAGES(STAGES)) multiply (
    .clk(clk), .a(a), .b(b), .y(y)
  );

endmodule

`default_nettype wire
