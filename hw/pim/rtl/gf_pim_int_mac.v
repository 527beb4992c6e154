// gf_pim_int_mac: one bank's multipliers, adder tree and accumulator, for whole-number weights.
//
//   load      sum = bias
//   multiply  sum = sum + weights[0] inputs[0] + weights[1] inputs[1] + ...
//
// All numbers are two's complement: weights of WEIGHT_BITS (8 or 4), inputs of 8, bias and sum of
// 32 bits. Nothing is rounded. Who uses it sees to it that the sum fits; else it wraps around.
//
// LANES   a power of two: 32 weights of 8 bits, or 64 of 4, are an access of 32 bytes
// STAGES  0 or 1: registers between tree and accumulator
//
// What load or multiply of clock t does is in sum from clock t + STAGES + 1 on. Each clock may have
// one of the two, in any order; with both, load wins. Reset drops what is on its way; sum stays.

`default_nettype none

module gf_pim_int_mac #(
  parameter LANES = 32,
  parameter WEIGHT_BITS = 8,
  parameter STAGES = 0
) (
  input  wire                         clk,
  input  wire                         rst,
  input  wire                         load,
  input  wire [31:0]                  bias,
  input  wire                         multiply,
  input  wire [WEIGHT_BITS*LANES-1:0] weights,
  input  wire [8*LANES-1:0]           inputs,
  output reg  [31:0]                  sum
);

  localparam ProductWidth = WEIGHT_BITS + 8;

  wire [ProductWidth*LANES-1:0] products;
  wire [31:0] products_sum;
  wire [31:0] products_sum_now;
  wire [31:0] bias_now;
  wire load_now;
  wire multiply_now;

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [WEIGHT_BITS-1:0] weight = weights[WEIGHT_BITS*lane +: WEIGHT_BITS];
      wire [7:0] number = inputs[8*lane +: 8];
      wire signed [ProductWidth-1:0] wide_weight = {{8{weight[WEIGHT_BITS-1]}}, weight};
      wire signed [ProductWidth-1:0] wide_number = {{WEIGHT_BITS{number[7]}}, number};
      assign products[ProductWidth*lane +: ProductWidth] = wide_weight * wide_number;
    end
  endgenerate

  gf_pim_int_tree #(.LANES(LANES), .WIDTH(ProductWidth)) tree (
    .in(products), .sum(products_sum)
  );

  gf_delay #(.Width(64), .Depth(STAGES)) sum_delay (
    .clk(clk), .in({products_sum, bias}), .out({products_sum_now, bias_now})
  );
  gf_valid_delay #(.Depth(STAGES)) load_delay (
    .clk(clk), .rst(rst), .in(load), .out(load_now)
  );
  gf_valid_delay #(.Depth(STAGES)) multiply_delay (
    .clk(clk), .rst(rst), .in(multiply), .out(multiply_now)
  );

  always @(posedge clk) begin
    if (load_now) begin
      sum <= bias_now;
    end else if (multiply_now) begin
      sum <= sum + products_sum_now;
    end
  end

endmodule

`default_nettype wire
