// gf_pim_int_tree: the exact sum of LANES signed integers of WIDTH bits, as 32 bits.
//
//   sum = in[0] + in[1] + ...   neighbours first
//
// LANES  a power of two; lane i is in[WIDTH i + WIDTH - 1 : WIDTH i]. A pair's sum has a bit more
//        than each of the two, so WIDTH + log2(LANES) may not exceed 32. Combinational.

`default_nettype none

module gf_pim_int_tree #(
  parameter LANES = 32,
  parameter WIDTH = 16
) (
  input  wire [WIDTH*LANES-1:0] in,
  output wire [31:0]            sum
);

  genvar pair;
  generate
    if (LANES == 1) begin : gen_lane
      assign sum = {{(32-WIDTH){in[WIDTH-1]}}, in};
    end else begin : gen_pairs
      wire [(WIDTH+1)*LANES/2-1:0] sums;
      for (pair = 0; pair < LANES / 2; pair = pair + 1) begin : gen_pair
        wire [WIDTH-1:0] even = in[WIDTH*2*pair +: WIDTH];
        wire [WIDTH-1:0] odd = in[WIDTH*(2*pair+1) +: WIDTH];
        assign sums[(WIDTH+1)*pair +: WIDTH+1] = {even[WIDTH-1], even} + {odd[WIDTH-1], odd};
      end
      gf_pim_int_tree #(.LANES(LANES / 2), .WIDTH(WIDTH + 1)) rest (.in(sums), .sum(sum));
    end
  endgenerate

endmodule

`default_nettype wire
