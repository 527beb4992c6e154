// gf_pim_fp32_to_bf16: an FP32 number rounded to BF16, its upper 16 bits.
//
//   y = a, rounded to nearest even; a NaN becomes 16'h7FC0
//
// Combinational. A carry out of the fraction raises the exponent, up to infinity.

`default_nettype none

module gf_pim_fp32_to_bf16 (
  input  wire [31:0] a,
  output wire [15:0] y
);

  wire nan = a[30:0] > {8'd255, 23'd0};
  wire round_up = a[15] && (a[14:0] != 15'd0 || a[16]);

  assign y = nan ? 16'h7FC0 : a[31:16] + {15'd0, round_up};

endmodule

`default_nettype wire
