// gf_pim_fp32_tree: the sum of LANES FP32 numbers, neighbours first.
//
//   sum = ((in[0] + in[1]) + (in[2] + in[3])) + ...   each addition rounded as gf_pim_fp32_add does
//
// LANES   a power of two; lane i is in[32 i + 31 : 32 i]
// STAGES  of each addition, 0 or 2: numbers of clock t, their sum in clock t + STAGES log2(LANES)

`default_nettype none

module gf_pim_fp32_tree #(
  parameter LANES = 16,
  parameter STAGES = 0
) (
  input  wire                clk,
  input  wire [32*LANES-1:0] in,
  output wire [31:0]         sum
);

  generate
    if (LANES == 1) begin : gen_lane
      wire unused_clk = clk;
      assign sum = in;
    end else begin : gen_halves
      wire [31:0] lower_sum;
      wire [31:0] upper_sum;

      gf_pim_fp32_tree #(.LANES(LANES / 2), .STAGES(STAGES)) lower (
        .clk(clk), .in(in[16*LANES-1:0]), .sum(lower_sum)
      );
      gf_pim_fp32_tree #(.LANES(LANES / 2), .STAGES(STAGES)) upper (
        .clk(clk), .in(in[32*LANES-1:16*LANES]), .sum(upper_sum)
      );
      gf_pim_fp32_add #(.STAGES(STAGES)) add (
        .clk(clk), .a(lower_sum), .b(upper_sum), .y(sum)
      );
    end
  endgenerate

endmodule

`default_nettype wire
