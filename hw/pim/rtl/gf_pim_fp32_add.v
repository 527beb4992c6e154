// gf_pim_fp32_add: the sum of two FP32 numbers.
//
//   y = a + b, rounded to nearest even; subnormals in and out
//
// Infinity minus infinity, and whatever has a NaN in it, is 32'h7FC00000. A sum of exactly 0 is +0,
// but -0 + -0 = -0.
//
// STAGES  0: combinational; 2: operands of clock t, their sum in clock t + 2

`default_nettype none

module gf_pim_fp32_add #(
  parameter STAGES = 0
) (
  input  wire        clk,
  input  wire [31:0] a,
  input  wire [31:0] b,
  output wire [31:0] y
);

  localparam Farthest = 26;

  // The operand of larger magnitude keeps its place, the other is moved to the right.
  wire swapped = a[30:0] < b[30:0];
  wire [31:0] greater = swapped ? b : a;
  wire [30:0] lesser = swapped ? a[30:0] : b[30:0];
  wire greater_normal = greater[30:23] != 8'd0;
  wire lesser_normal = lesser[30:23] != 8'd0;
  wire [7:0] greater_exponent = greater_normal ? greater[30:23] : 8'd1;
  wire [7:0] lesser_exponent = lesser_normal ? lesser[30:23] : 8'd1;
  wire [23:0] greater_significand = {greater_normal, greater[22:0]};
  wire [23:0] lesser_significand = {lesser_normal, lesser[22:0]};
  wire subtracts = a[31] ^ b[31];

  // Below 24 bits stand guard, round and sticky; from 26 places on all of it is sticky.
  wire [7:0] distance = greater_exponent - lesser_exponent;
  wire [4:0] places = (distance > Farthest) ? Farthest[4:0] : distance[4:0];
  wire [49:0] spread = {lesser_significand, 26'd0} >> places;
  wire [26:0] aligned = {spread[49:24], |spread[23:0]};

  wire a_infinite = a[30:0] == {8'd255, 23'd0};
  wire b_infinite = b[30:0] == {8'd255, 23'd0};
  wire nan = a[30:0] > {8'd255, 23'd0} || b[30:0] > {8'd255, 23'd0}
          || (a_infinite && b_infinite && subtracts);
  wire infinite = a_infinite || b_infinite;
  wire sign = greater[31] && !(subtracts && a[30:0] == b[30:0]);

  wire [62:0] placed;
  wire [23:0] significand_1;
  wire [26:0] aligned_1;
  wire [7:0] exponent_1;
  wire subtracts_1;
  wire sign_1;
  wire nan_1;
  wire infinite_1;

  gf_delay #(.Width(63), .Depth((STAGES >= 1) ? 1 : 0)) after_alignment (
    .clk(clk),
    .in({greater_significand, aligned, greater_exponent, subtracts, sign, nan, infinite}),
    .out(placed)
  );
  assign {significand_1, aligned_1, exponent_1, subtracts_1, sign_1, nan_1, infinite_1} = placed;

  wire [27:0] upper = {1'b0, significand_1, 3'd0};
  wire [27:0] lower = {1'b0, aligned_1};
  wire [27:0] sum = subtracts_1 ? upper - lower : upper + lower;

  // The top bit is the carry's.
  gf_pim_fp32_round #(.WIDTH(28), .STAGES((STAGES >= 2) ? 1 : 0)) round (
    .clk(clk), .sign(sign_1), .nan(nan_1), .infinite(infinite_1),
    .exponent({1'b0, exponent_1} + 9'd1), .value(sum), .y(y)
  );

endmodule

`default_nettype wire
