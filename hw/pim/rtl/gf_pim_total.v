// gf_pim_total: sums vectors of FP32 numbers, LANES at once, in an order that is fixed.
//
//   first add of a vector   sum = +0 + tree(in)
//   each further add        sum = sum + tree(in)
//
// The tree adds neighbours in pipelined steps (gf_pim_fp32_tree); the accumulator's addition has
// no register inside, so that one word a clock keeps its order. Lanes without a number must be +0.
//
// LANES  a power of two; lane i is in[32 i + 31 : 32 i]
//
// An add of clock t is in sum from clock t + 2 log2(LANES) + 1 on. Reset drops what is on its way.

`default_nettype none

module gf_pim_total #(
  parameter LANES = 16
) (
  input  wire                clk,
  input  wire                rst,
  input  wire                add,
  input  wire                first,
  input  wire [32*LANES-1:0] in,
  output reg  [31:0]         sum
);

  localparam TreeLatency = 2 * $clog2(LANES);

  wire [31:0] tree_sum;
  wire [31:0] next_sum;
  wire add_now;
  wire first_now;

  gf_pim_fp32_tree #(.LANES(LANES), .STAGES(2)) tree (.clk(clk), .in(in), .sum(tree_sum));
  gf_valid_delay #(.Depth(TreeLatency)) add_delay (
    .clk(clk), .rst(rst), .in(add), .out(add_now)
  );
  gf_delay #(.Width(1), .Depth(TreeLatency)) first_delay (
    .clk(clk), .in(first), .out(first_now)
  );
  gf_pim_fp32_add #(.STAGES(0)) accumulate (
    .clk(clk), .a(first_now ? 32'd0 : sum), .b(tree_sum), .y(next_sum)
  );

  always @(posedge clk) begin
    if (add_now) begin
      sum <= next_sum;
    end
  end

endmodule

`default_nettype wire
