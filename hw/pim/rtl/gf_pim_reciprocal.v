// gf_pim_reciprocal: 1 / x by additions and multiplications of FP32 numbers, one result a clock.
//
//   |x| = f 2^p with f in [1/2, 1);  y = 48/17 - 32/17 f;  twice: y = y (2 - f y);  y 2^-p
//
// Every step is rounded to nearest even, 2^-p to a subnormal number where it must be. The sign is
// x's. Zero gives infinity, infinity zero, a NaN 32'h7FC00000.
//
// x of clock t, its result in clock t + 23: 5 multiplications and 4 additions in a row.

`default_nettype none

module gf_pim_reciprocal (
  input  wire        clk,
  input  wire [31:0] x,
  output wire [31:0] y
);

  localparam Latency = 23;
  localparam [31:0] First = 32'h4034B4B5;   // 48/17
  localparam [31:0] Second = 32'h3FF0F0F1;  // 32/17
  localparam [31:0] Two = 32'h40000000;

  wire [22:0] fraction;
  wire signed [8:0] exponent;
  gf_pim_normalize normalize (.a(x[30:0]), .fraction(fraction), .exponent(exponent));
  wire [31:0] f = {1'b0, 8'd126, fraction};
  wire [8:0] minus_p = 9'd126 - exponent;

  // clock 0 to 5: the first guess
  wire [31:0] slope;
  wire [31:0] guess;
  wire [31:0] f_5;
  gf_pim_fp32_multiply #(.STAGES(3)) times_slope (.clk(clk), .a(f), .b(Second), .y(slope));
  gf_pim_fp32_add #(.STAGES(2)) line (
    .clk(clk), .a(First), .b({!slope[31], slope[30:0]}), .y(guess)
  );
  gf_delay #(.Width(32), .Depth(5)) f_delay (.clk(clk), .in(f), .out(f_5));

  // clock 5 to 13, and 13 to 21: Newton-Raphson
  wire [31:0] product;
  wire [31:0] rest;
  wire [31:0] guess_10;
  wire [31:0] better;
  wire [31:0] f_13;
  gf_pim_fp32_multiply #(.STAGES(3)) times_guess (.clk(clk), .a(f_5), .b(guess), .y(product));
  gf_pim_fp32_add #(.STAGES(2)) two_minus (
    .clk(clk), .a(Two), .b({!product[31], product[30:0]}), .y(rest)
  );
  gf_delay #(.Width(32), .Depth(5)) guess_delay (.clk(clk), .in(guess), .out(guess_10));
  gf_pim_fp32_multiply #(.STAGES(3)) correct (.clk(clk), .a(guess_10), .b(rest), .y(better));
  gf_delay #(.Width(32), .Depth(8)) f_delay_again (.clk(clk), .in(f_5), .out(f_13));

  wire [31:0] product_again;
  wire [31:0] rest_again;
  wire [31:0] better_18;
  wire [31:0] best;
  gf_pim_fp32_multiply #(.STAGES(3)) times_better (
    .clk(clk), .a(f_13), .b(better), .y(product_again)
  );
  gf_pim_fp32_add #(.STAGES(2)) two_minus_again (
    .clk(clk), .a(Two), .b({!product_again[31], product_again[30:0]}), .y(rest_again)
  );
  gf_delay #(.Width(32), .Depth(5)) better_delay (.clk(clk), .in(better), .out(better_18));
  gf_pim_fp32_multiply #(.STAGES(3)) correct_again (
    .clk(clk), .a(better_18), .b(rest_again), .y(best)
  );

  // clock 21 to 23: 2^-p
  wire [8:0] minus_p_21;
  wire [31:0] magnitude;
  gf_delay #(.Width(9), .Depth(21)) power_delay (.clk(clk), .in(minus_p), .out(minus_p_21));
  gf_pim_fp32_scale times_power (.clk(clk), .a(best), .power(minus_p_21), .y(magnitude));

  wire [3:0] kind;
  gf_delay #(.Width(4), .Depth(Latency)) kind_delay (
    .clk(clk),
    .in({x[31], x[30:0] > {8'd255, 23'd0}, x[30:0] == {8'd255, 23'd0}, x[30:0] == 31'd0}),
    .out(kind)
  );
  wire sign;
  wire nan;
  wire infinite;
  wire zero;
  assign {sign, nan, infinite, zero} = kind;

  assign y = nan ? 32'h7FC00000
           : zero ? {sign, 8'd255, 23'd0}
           : infinite ? {sign, 31'd0}
           : {sign, magnitude[30:0]};

endmodule

`default_nettype wire
