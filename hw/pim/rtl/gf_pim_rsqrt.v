// gf_pim_rsqrt: 1 / sqrt(x) by additions and multiplications of FP32 numbers, one result a clock.
//
//   h = x / 2;  y = 32'h5F3759DF - (x's bits >> 1), as a number;  twice: y = y (3/2 - h (y y))
//
// Every step is rounded to nearest even. A subnormal x goes in times 2^24 and its result comes out
// times 2^12. +-0 gives +-infinity, infinity +0, a negative number or a NaN 32'h7FC00000.
//
// x of clock t, its result in clock t + 24.

`default_nettype none

module gf_pim_rsqrt (
  input  wire        clk,
  input  wire [31:0] x,
  output wire [31:0] y
);

  localparam Latency = 24;
  localparam [30:0] Magic = 31'h5F3759DF;
  localparam [31:0] Half = 32'h3F000000;
  localparam [31:0] ThreeHalves = 32'h3FC00000;

  wire [22:0] fraction;
  wire signed [8:0] exponent;
  gf_pim_normalize normalize (.a(x[30:0]), .fraction(fraction), .exponent(exponent));
  wire subnormal = x[30:23] == 8'd0;
  wire [8:0] raised = subnormal ? exponent + 9'd24 : exponent;
  wire [31:0] normal = {1'b0, raised[7:0], fraction};

  // clock 0 to 2: the first guess; clock 0 to 3: half
  wire [31:0] guess;
  wire [31:0] half_3;
  wire [31:0] half_5;
  wire [31:0] half_16;
  gf_delay #(.Width(32), .Depth(2)) guess_delay (
    .clk(clk), .in({1'b0, Magic - {1'b0, normal[30:1]}}), .out(guess)
  );
  gf_pim_fp32_multiply #(.STAGES(3)) halve (.clk(clk), .a(normal), .b(Half), .y(half_3));
  gf_delay #(.Width(32), .Depth(2)) half_delay (.clk(clk), .in(half_3), .out(half_5));
  gf_delay #(.Width(32), .Depth(11)) half_delay_again (.clk(clk), .in(half_5), .out(half_16));

  // clock 2 to 13, and 13 to 24: Newton-Raphson
  wire [31:0] square;
  wire [31:0] product;
  wire [31:0] rest;
  wire [31:0] guess_10;
  wire [31:0] better;
  gf_pim_fp32_multiply #(.STAGES(3)) square_it (.clk(clk), .a(guess), .b(guess), .y(square));
  gf_pim_fp32_multiply #(.STAGES(3)) times_half (.clk(clk), .a(half_5), .b(square), .y(product));
  gf_pim_fp32_add #(.STAGES(2)) minus (
    .clk(clk), .a(ThreeHalves), .b({!product[31], product[30:0]}), .y(rest)
  );
  gf_delay #(.Width(32), .Depth(8)) guess_again (.clk(clk), .in(guess), .out(guess_10));
  gf_pim_fp32_multiply #(.STAGES(3)) correct (.clk(clk), .a(guess_10), .b(rest), .y(better));

  wire [31:0] square_again;
  wire [31:0] product_again;
  wire [31:0] rest_again;
  wire [31:0] better_21;
  wire [31:0] best;
  gf_pim_fp32_multiply #(.STAGES(3)) square_better (
    .clk(clk), .a(better), .b(better), .y(square_again)
  );
  gf_pim_fp32_multiply #(.STAGES(3)) times_half_again (
    .clk(clk), .a(half_16), .b(square_again), .y(product_again)
  );
  gf_pim_fp32_add #(.STAGES(2)) minus_again (
    .clk(clk), .a(ThreeHalves), .b({!product_again[31], product_again[30:0]}), .y(rest_again)
  );
  gf_delay #(.Width(32), .Depth(8)) better_delay (.clk(clk), .in(better), .out(better_21));
  gf_pim_fp32_multiply #(.STAGES(3)) correct_again (
    .clk(clk), .a(better_21), .b(rest_again), .y(best)
  );

  wire [4:0] kind;
  gf_delay #(.Width(5), .Depth(Latency)) kind_delay (
    .clk(clk),
    .in({x[31], x[30:0] > {8'd255, 23'd0}, x[30:0] == {8'd255, 23'd0}, x[30:0] == 31'd0,
         subnormal}),
    .out(kind)
  );
  wire sign;
  wire nan;
  wire infinite;
  wire zero;
  wire lifted;
  assign {sign, nan, infinite, zero, lifted} = kind;

  assign y = nan ? 32'h7FC00000
           : zero ? {sign, 8'd255, 23'd0}
           : sign ? 32'h7FC00000
           : infinite ? 32'd0
           : lifted ? {1'b0, best[30:23] + 8'd12, best[22:0]}
           : best;

endmodule

`default_nettype wire
