// gf_pim_fp32_from_int: a 32-bit integer as FP32.
//
//   y = a, rounded to nearest even
//
// Combinational.

`default_nettype none

module gf_pim_fp32_from_int (
  input  wire signed [31:0] a,
  output wire [31:0]        y
);

  wire [31:0] magnitude = a[31] ? 32'd0 - a : a;

  // 2^31 has the biased exponent 158.
  gf_pim_fp32_round #(.WIDTH(32), .STAGES(0)) round (
    .clk(1'b0), .sign(a[31]), .nan(1'b0), .infinite(1'b0),
    .exponent(9'd158), .value(magnitude), .y(y)
  );

endmodule

`default_nettype wire
