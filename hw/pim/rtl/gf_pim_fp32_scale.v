// gf_pim_fp32_scale: a number times a power of two, by an addition to its exponent.
//
//   y = a 2^power, rounded once, to nearest even; FP32, subnormals in and out; power is signed
//
// NaN, infinity and zero stay what they are. For other numbers the exponent field of a plus power
// must be from -26 to 484, the field of a subnormal number counting as 1: exp and reciprocal stay
// far within. Below 1 the result is subnormal or zero, above 254 infinite.
//
// Operands of clock t, their result in clock t + 2.

`default_nettype none

module gf_pim_fp32_scale (
  input  wire        clk,
  input  wire [31:0] a,
  input  wire [8:0]  power,
  output wire [31:0] y
);

  // Room zeros stand above the significand, as gf_pim_multiply has them: a result too small for
  // a normal number is then only moved less far to the left.
  localparam Room = 27;

  wire normal = a[30:23] != 8'd0;
  wire [7:0] exponent = normal ? a[30:23] : 8'd1;
  wire [8:0] raised = {1'b0, exponent} + power + 9'd27;

  gf_pim_fp32_round #(.WIDTH(Room + 24), .STAGES(2)) round (
    .clk(clk), .sign(a[31]), .nan(a[30:0] > {8'd255, 23'd0}),
    .infinite(a[30:0] == {8'd255, 23'd0}), .exponent(raised),
    .value({{Room{1'b0}}, normal, a[22:0]}), .y(y)
  );

endmodule

`default_nettype wire
