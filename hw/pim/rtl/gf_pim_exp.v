// gf_pim_exp: e^x by additions and multiplications of FP32 numbers, one result a clock.
//
//   x is held within -104 and 89;  n = round(x log2 e),  r = x - n ln 2
//   y = 2^n (((r / 6 + 1/2) r + 1) r + 1)
//
// Every step is rounded to nearest even; the last one, 2^n, to a subnormal number where it must be.
// So y is +0 from -104 downwards and infinite from 89 upwards. A NaN gives 32'h7FC00000.
//
// x of clock t, its result in clock t + 27: 5 multiplications and 6 additions in a row.

`default_nettype none

module gf_pim_exp (
  input  wire        clk,
  input  wire [31:0] x,
  output wire [31:0] y
);

  localparam [31:0] Lowest = 32'hC2D00000;     // -104
  localparam [31:0] Highest = 32'h42B20000;    // 89
  localparam [31:0] Log2E = 32'h3FB8AA3B;
  localparam [31:0] Ln2 = 32'h3F317218;
  localparam [31:0] WholePart = 32'h4B400000;  // 1.5 x 2^23: adding it leaves no fraction
  localparam [31:0] Sixth = 32'h3E2AAAAB;
  localparam [31:0] Half = 32'h3F000000;
  localparam [31:0] One = 32'h3F800000;

  wire nan = x[30:0] > {8'd255, 23'd0};
  wire too_low = x[31] && x[30:0] > Lowest[30:0];
  wire too_high = !x[31] && x[30:0] > Highest[30:0];
  wire [31:0] held = (too_low && !nan) ? Lowest : (too_high && !nan) ? Highest : x;

  // clock 0 to 5: n, in the low bits of a sum whose unit in the last place is 1
  wire [31:0] exponent_5;
  wire [31:0] power;
  wire [31:0] rounded;
  gf_pim_fp32_multiply #(.STAGES(3)) times_log2e (.clk(clk), .a(held), .b(Log2E), .y(power));
  gf_pim_fp32_add #(.STAGES(2)) to_whole (.clk(clk), .a(power), .b(WholePart), .y(rounded));
  wire signed [8:0] n = rounded[8:0];
  gf_pim_fp32_from_int whole (.a({{23{n[8]}}, n}), .y(exponent_5));

  // clock 5 to 10: r
  wire [31:0] n_ln2;
  wire [31:0] held_8;
  wire [31:0] r;
  gf_pim_fp32_multiply #(.STAGES(3)) times_ln2 (.clk(clk), .a(exponent_5), .b(Ln2), .y(n_ln2));
  gf_delay #(.Width(32), .Depth(8)) held_delay (.clk(clk), .in(held), .out(held_8));
  gf_pim_fp32_add #(.STAGES(2)) reduce (
    .clk(clk), .a(held_8), .b({!n_ln2[31], n_ln2[30:0]}), .y(r)
  );

  // clock 10 to 25: the series, by Horner
  wire [31:0] r_15;
  wire [31:0] r_20;
  wire [31:0] cubic;
  wire [31:0] cubic_sum;
  wire [31:0] square;
  wire [31:0] square_sum;
  wire [31:0] line;
  wire [31:0] series;
  gf_delay #(.Width(32), .Depth(5)) r_delay (.clk(clk), .in(r), .out(r_15));
  gf_delay #(.Width(32), .Depth(5)) r_delay_again (.clk(clk), .in(r_15), .out(r_20));
  gf_pim_fp32_multiply #(.STAGES(3)) times_sixth (.clk(clk), .a(r), .b(Sixth), .y(cubic));
  gf_pim_fp32_add #(.STAGES(2)) plus_half (.clk(clk), .a(cubic), .b(Half), .y(cubic_sum));
  gf_pim_fp32_multiply #(.STAGES(3)) times_r (.clk(clk), .a(cubic_sum), .b(r_15), .y(square));
  gf_pim_fp32_add #(.STAGES(2)) plus_one (.clk(clk), .a(square), .b(One), .y(square_sum));
  gf_pim_fp32_multiply #(.STAGES(3)) times_r_again (
    .clk(clk), .a(square_sum), .b(r_20), .y(line)
  );
  gf_pim_fp32_add #(.STAGES(2)) plus_one_again (.clk(clk), .a(line), .b(One), .y(series));

  // clock 25 to 27: 2^n
  wire [8:0] n_25;
  gf_delay #(.Width(9), .Depth(20)) n_delay (.clk(clk), .in(n), .out(n_25));
  gf_pim_fp32_scale times_power (.clk(clk), .a(series), .power(n_25), .y(y));

endmodule

`default_nettype wire
