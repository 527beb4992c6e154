// gf_pim_int_mac: one bank's multipliers, adders and accumulator, for whole-number weights.
//
//   load      sum = bias
//   multiply  sum = sum + weights[0] inputs[0] + weights[1] inputs[1] + ...
//
// All numbers are two's complement: weights of WEIGHT_BITS (8 or 4), inputs of 8, bias and sum of
// 32 bits. Nothing is rounded. Who uses it sees to it that the sum fits; else it wraps around.
//
// LANES   a power of two, 2 or more: 32 weights of 8 bits, or 64 of 4, are an access of 32 bytes
// STAGES  0 or 1: registers between adders and accumulator
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
  localparam SumWidth = ProductWidth + $clog2(LANES);

  wire [SumWidth-1:0] products_sum = sum_of_products(weights, inputs);
  wire [31:0] wide_sum = {{(32-SumWidth){products_sum[SumWidth-1]}}, products_sum};
  wire [31:0] sum_now;
  wire [31:0] bias_now;
  wire load_now;
  wire multiply_now;

  function [SumWidth-1:0] sum_of_products;
    input [WEIGHT_BITS*LANES-1:0] every_weight;
    input [8*LANES-1:0] every_input;
    integer lane;
    reg [WEIGHT_BITS-1:0] weight;
    reg [7:0] number;
    reg signed [ProductWidth-1:0] wide_weight;
    reg signed [ProductWidth-1:0] wide_number;
    reg signed [ProductWidth-1:0] product;
    begin
      sum_of_products = {SumWidth{1'b0}};
      for (lane = 0; lane < LANES; lane = lane + 1) begin
        weight = every_weight[WEIGHT_BITS*lane +: WEIGHT_BITS];
        number = every_input[8*lane +: 8];
        wide_weight = {{8{weight[WEIGHT_BITS-1]}}, weight};
        wide_number = {{WEIGHT_BITS{number[7]}}, number};
        product = wide_weight * wide_number;
        sum_of_products =
          sum_of_products + {{(SumWidth-ProductWidth){product[ProductWidth-1]}}, product};
      end
    end
  endfunction

  gf_delay #(.Width(64), .Depth(STAGES)) sum_delay (
    .clk(clk), .in({wide_sum, bias}), .out({sum_now, bias_now})
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
      sum <= sum + sum_now;
    end
  end

endmodule

`default_nettype wire
