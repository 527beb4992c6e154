// gf_pim_select: the words of a vector whose magnitudes have the largest sums, keep of them.
//
//   sum = |number 0| + |number 1| + ... in a tree of neighbours, FP32, rounded to BF16
//   kept[c] is set where word c is among the keep largest; of equal sums the first ones are
//
// Sums have no sign, so they order as their bits do, NaN above infinity. Behind a sum's 15 bits
// stand those of its place, inverted: no two words have the same key, and ties need no rule.
// The keep-th largest key is found bit by bit, the highest first, one a clock. Of the words that
// are still open those with a 1 are ahead of those with a 0: if they are as many as are to be
// chosen yet, or more, only they stay open; if not, they are chosen, and the others stay open.
//
// The vector is sent once, a word of LANES numbers a clock at most; lanes that in_keep does not
// mark count as zero. With keep at least the number of words all are kept.
//
// LANES    a power of two, at least 2
// Columns  a power of two, at least 2: words of a vector at most
//
// Clocks from in_last to ready, with which kept holds: 2 log2(LANES) + log2(Columns) + 16.

`default_nettype none

module gf_pim_select #(
  parameter LANES = 16,
  parameter Columns = 64
) (
  input  wire                clk,
  input  wire                rst,
  input  wire [7:0]          keep,
  input  wire                in_valid,
  input  wire                in_first,
  input  wire                in_last,
  input  wire [LANES-1:0]    in_keep,
  input  wire [16*LANES-1:0] in,
  output wire                ready,
  output wire [Columns-1:0]  kept
);

  localparam TreeLatency = 2 * $clog2(LANES);
  localparam PlaceBits = $clog2(Columns);
  localparam KeyBits = 15 + PlaceBits;

  // A word's sum.
  wire [32*LANES-1:0] magnitudes;
  wire [31:0] exact;
  wire [15:0] sum;
  wire sum_valid;
  wire sum_first;
  wire sum_last;

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      assign magnitudes[32*lane +: 32] =
        in_keep[lane] ? {1'b0, in[16*lane +: 15], 16'd0} : 32'd0;
    end
  endgenerate

  gf_pim_fp32_tree #(.LANES(LANES), .STAGES(2)) tree (.clk(clk), .in(magnitudes), .sum(exact));
  gf_pim_fp32_to_bf16 to_bf16 (.a(exact), .y(sum));
  gf_valid_delay #(.Depth(TreeLatency)) valid_delay (
    .clk(clk), .rst(rst), .in(in_valid), .out(sum_valid)
  );
  gf_delay #(.Width(1), .Depth(TreeLatency)) first_delay (
    .clk(clk), .in(in_first), .out(sum_first)
  );
  gf_valid_delay #(.Depth(TreeLatency)) last_delay (
    .clk(clk), .rst(rst), .in(in_valid && in_last), .out(sum_last)
  );

  // Words become open in their order, so the next one is the first that is not.
  reg [Columns-1:0] open;
  wire [Columns-1:0] opened = sum_first ? {Columns{1'b0}} : open;
  wire [Columns-1:0] now = {opened[Columns-2:0], 1'b1};
  wire [Columns-1:0] next_bits;
  reg choosing;

  genvar column;
  generate
    for (column = 0; column < Columns; column = column + 1) begin : gen_column
      localparam [31:0] Place = column;
      reg [KeyBits-1:0] key;
      assign next_bits[column] = key[KeyBits-1];
      always @(posedge clk) begin
        if (sum_valid && now[column] && !opened[column]) begin
          key <= {sum[14:0], ~Place[PlaceBits-1:0]};
        end else if (choosing) begin
          key <= {key[KeyBits-2:0], 1'b0};
        end
      end
    end
  endgenerate

  // The rounds.
  wire [Columns-1:0] ones = open & next_bits;
  wire [PlaceBits:0] number;
  wire [15:0] found = {{(15-PlaceBits){1'b0}}, number};
  reg [Columns-1:0] chosen;
  reg [15:0] left;
  wire enough = found >= left;
  wire last_round;

  gf_pim_ones #(.WIDTH(Columns)) count (.in(ones), .number(number));
  gf_valid_delay #(.Depth(KeyBits)) round_delay (
    .clk(clk), .rst(rst), .in(sum_last), .out(last_round)
  );
  gf_valid_delay #(.Depth(1)) ready_delay (
    .clk(clk), .rst(rst), .in(last_round), .out(ready)
  );

  always @(posedge clk) begin
    if (rst || last_round) begin
      choosing <= 1'b0;
    end else if (sum_last) begin
      choosing <= 1'b1;
    end
    if (sum_valid) begin
      open <= now;
      chosen <= {Columns{1'b0}};
      left <= {8'd0, keep};
    end else if (choosing) begin
      open <= enough ? ones : open & ~next_bits;
      chosen <= enough ? chosen : chosen | ones;
      left <= enough ? left : left - found;
    end
  end

  assign kept = chosen | open;

endmodule

`default_nettype wire
