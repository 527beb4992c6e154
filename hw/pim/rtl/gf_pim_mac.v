// gf_pim_mac: one bank's multipliers, adder tree and accumulator, for BF16 numbers.
//
//   load      sum = bias
//   multiply  sum = sum + tree(weights[i] inputs[i])
//
// Products are FP32 (gf_pim_bf16_multiply); the tree adds neighbours (gf_pim_fp32_tree); the
// accumulator is FP32 and is added to last. Nothing but load clears it.
//
// LANES   a power of two; lane i is in bits 16 i + 15 to 16 i
// STAGES  0, or 1 + 2 log2(LANES): registers in front of the accumulator, one in a multiplier and
//         two in each addition
//
// What load or multiply of clock t does is in sum from clock t + STAGES + 1 on. Each clock may have
// one of the two, in any order; with both, load wins. Reset drops what is on its way; sum stays.

`default_nettype none

module gf_pim_mac #(
  parameter LANES = 16,
  parameter STAGES = 0
) (
  input  wire                clk,
  input  wire                rst,
  input  wire                load,
  input  wire [31:0]         bias,
  input  wire                multiply,
  input  wire [16*LANES-1:0] weights,
  input  wire [16*LANES-1:0] inputs,
  output reg  [31:0]         sum
);

  wire [32*LANES-1:0] products;
  wire [31:0] products_sum;
  wire [31:0] next_sum;
  wire [31:0] bias_now;
  wire load_now;
  wire multiply_now;

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      gf_pim_bf16_multiply #(.STAGES((STAGES > 0) ? 1 : 0)) lane_multiply (
        .clk(clk), .a(weights[16*lane +: 16]), .b(inputs[16*lane +: 16]),
        .y(products[32*lane +: 32])
      );
    end
  endgenerate

  gf_pim_fp32_tree #(.LANES(LANES), .STAGES((STAGES > 0) ? 2 : 0)) tree (
    .clk(clk), .in(products), .sum(products_sum)
  );

  gf_valid_delay #(.Depth(STAGES)) load_delay (
    .clk(clk), .rst(rst), .in(load), .out(load_now)
  );
  gf_valid_delay #(.Depth(STAGES)) multiply_delay (
    .clk(clk), .rst(rst), .in(multiply), .out(multiply_now)
  );
  gf_delay #(.Width(32), .Depth(STAGES)) bias_delay (.clk(clk), .in(bias), .out(bias_now));

  gf_pim_fp32_add #(.STAGES(0)) accumulate (
    .clk(clk), .a(sum), .b(products_sum), .y(next_sum)
  );

  always @(posedge clk) begin
    if (load_now) begin
      sum <= bias_now;
    end else if (multiply_now) begin
      sum <= next_sum;
    end
  end

endmodule

`default_nettype wire
