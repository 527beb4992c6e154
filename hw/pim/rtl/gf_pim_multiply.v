// gf_pim_multiply: the product of two numbers with 8 exponent bits, as FP32.
//
//   y = a b, rounded to nearest even; subnormals in and out
//
// A number is {sign, 8 exponent bits, FRACTION bits}: FP32 with FRACTION = 23, BF16 with 7. Zero
// times infinity, and whatever has a NaN in it, is 32'h7FC00000.
//
// PRODUCT_STAGES  0 or 1: registers behind the product of the significands
// ROUND_STAGES    0, 1 or 2: registers of gf_pim_fp32_round

`default_nettype none

module gf_pim_multiply #(
  parameter FRACTION = 23,
  parameter PRODUCT_STAGES = 0,
  parameter ROUND_STAGES = 0
) (
  input  wire                clk,
  input  wire [FRACTION+8:0] a,
  input  wire [FRACTION+8:0] b,
  output wire [31:0]         y
);

  localparam ProductWidth = 2 * (FRACTION + 1);
  localparam Room = 27;
  localparam StageWidth = ProductWidth + 9 + 3;

  wire [7:0] a_field = a[FRACTION+7:FRACTION];
  wire [7:0] b_field = b[FRACTION+7:FRACTION];
  wire a_normal = a_field != 8'd0;
  wire b_normal = b_field != 8'd0;
  wire a_fraction = a[FRACTION-1:0] != {FRACTION{1'b0}};
  wire b_fraction = b[FRACTION-1:0] != {FRACTION{1'b0}};

  wire [FRACTION:0] a_significand = {a_normal, a[FRACTION-1:0]};
  wire [FRACTION:0] b_significand = {b_normal, b[FRACTION-1:0]};
  wire [ProductWidth-1:0] product =
    {{(FRACTION+1){1'b0}}, a_significand} * {{(FRACTION+1){1'b0}}, b_significand};

  // Room zeros stand above the product, so that a result too small for a normal number is only
  // moved less far to the left. Its top bit has the exponent a + b - 126 + Room, in biased
  // exponents; where that is below 1, no more than a sticky bit is left of the product.
  wire [8:0] exponents = {1'b0, a_normal ? a_field : 8'd1} + {1'b0, b_normal ? b_field : 8'd1};
  wire [8:0] exponent = (exponents > 9'd99) ? exponents - 9'd99 : 9'd1;

  wire a_infinite = a_field == 8'd255 && !a_fraction;
  wire b_infinite = b_field == 8'd255 && !b_fraction;
  wire a_zero = !a_normal && !a_fraction;
  wire b_zero = !b_normal && !b_fraction;
  wire nan = (a_field == 8'd255 && a_fraction) || (b_field == 8'd255 && b_fraction)
          || (a_infinite && b_zero) || (a_zero && b_infinite);
  wire infinite = a_infinite || b_infinite;
  wire sign = a[FRACTION+8] ^ b[FRACTION+8];

  wire [StageWidth-1:0] multiplied;
  wire [ProductWidth-1:0] product_1;
  wire [8:0] exponent_1;
  wire sign_1;
  wire nan_1;
  wire infinite_1;

  gf_delay #(.Width(StageWidth), .Depth(PRODUCT_STAGES)) after_product (
    .clk(clk), .in({product, exponent, sign, nan, infinite}), .out(multiplied)
  );
  assign {product_1, exponent_1, sign_1, nan_1, infinite_1} = multiplied;

  gf_pim_fp32_round #(.WIDTH(Room + ProductWidth), .STAGES(ROUND_STAGES)) round (
    .clk(clk), .sign(sign_1), .nan(nan_1), .infinite(infinite_1),
    .exponent(exponent_1), .value({{Room{1'b0}}, product_1}), .y(y)
  );

endmodule

`default_nettype wire
