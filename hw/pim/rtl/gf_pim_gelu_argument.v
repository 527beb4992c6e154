// gf_pim_gelu_argument: what GELU's gate opens by, one result a clock; FP32.
//
//   u = x (2 sqrt(2 / pi) + (x x) 0.044715 2 sqrt(2 / pi))
//
// x of clock t, its result in clock t + 11: 3 multiplications and an addition in a row.

`default_nettype none

module gf_pim_gelu_argument (
  input  wire        clk,
  input  wire [31:0] x,
  output wire [31:0] u
);

  localparam [31:0] Line = 32'h3FCC422A;
  localparam [31:0] Cube = 32'h3D922279;

  wire [31:0] square;
  wire [31:0] cube;
  wire [31:0] factor;
  wire [31:0] x_8;

  gf_pim_fp32_multiply #(.STAGES(3)) square_it (.clk(clk), .a(x), .b(x), .y(square));
  gf_pim_fp32_multiply #(.STAGES(3)) times_cube (.clk(clk), .a(square), .b(Cube), .y(cube));
  gf_pim_fp32_add #(.STAGES(2)) plus_line (.clk(clk), .a(cube), .b(Line), .y(factor));
  gf_delay #(.Width(32), .Depth(8)) x_delay (.clk(clk), .in(x), .out(x_8));
  gf_pim_fp32_multiply #(.STAGES(3)) times_x (.clk(clk), .a(x_8), .b(factor), .y(u));

endmodule

`default_nettype wire
