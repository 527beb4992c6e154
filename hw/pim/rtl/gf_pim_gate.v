// gf_pim_gate: x / (1 + e^-u), one result a clock; FP32.
//
//   gate = reciprocal(1 + exp(-u));  y = x gate
//
// Where the gate is zero, u being far below zero, y is zero with x's sign even of an infinite x.
//
// x and u of clock t, their result in clock t + 55: exp 27, addition 2, reciprocal 23, product 3.

`default_nettype none

module gf_pim_gate (
  input  wire        clk,
  input  wire [31:0] x,
  input  wire [31:0] u,
  output wire [31:0] y
);

  localparam [31:0] One = 32'h3F800000;

  wire [31:0] power;
  wire [31:0] divisor;
  wire [31:0] gate;
  wire [31:0] x_52;
  wire [31:0] product;
  wire shut;
  wire sign;

  gf_pim_exp exp (.clk(clk), .x({!u[31], u[30:0]}), .y(power));
  gf_pim_fp32_add #(.STAGES(2)) plus_one (.clk(clk), .a(power), .b(One), .y(divisor));
  gf_pim_reciprocal divide (.clk(clk), .x(divisor), .y(gate));
  gf_delay #(.Width(32), .Depth(52)) x_delay (.clk(clk), .in(x), .out(x_52));
  gf_pim_fp32_multiply #(.STAGES(3)) times_gate (.clk(clk), .a(x_52), .b(gate), .y(product));
  gf_delay #(.Width(2), .Depth(3)) shut_delay (
    .clk(clk), .in({gate[30:0] == 31'd0, x_52[31]}), .out({shut, sign})
  );

  assign y = shut ? {sign, 31'd0} : product;

endmodule

`default_nettype wire
