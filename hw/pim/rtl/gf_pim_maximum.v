// gf_pim_maximum: the largest of a vector's BF16 numbers and where it stands, LANES at once.
//
//   numbers order as they do, +0 above -0 and any NaN above all; of equal ones the first counts
//
// take    looks at the numbers of in that keep marks; first begins a vector
// largest is the number, 16'h7FC0 for a NaN; place counts from 0 at the vector's first number
//
// LANES  a power of two, at least 2; lane i is in[16 i + 15 : 16 i]
//
// What is taken in clock t counts in largest and place from clock t + 2 on.

`default_nettype none

module gf_pim_maximum #(
  parameter LANES = 16,
  parameter PlaceBits = 24
) (
  input  wire                 clk,
  input  wire                 take,
  input  wire                 first,
  input  wire [LANES-1:0]     keep,
  input  wire [16*LANES-1:0]  in,
  output wire [15:0]          largest,
  output reg  [PlaceBits-1:0] place
);

  localparam LaneBits = $clog2(LANES);
  localparam [15:0] NanKey = 16'hFFFF;

  // Keys order as unsigned numbers. A heap: node n has the children 2n + 1 and 2n + 2, the lanes
  // are its leaves, and node 0 is the largest of all.
  wire [16*(2*LANES-1)-1:0] keys;
  wire [LaneBits*(2*LANES-1)-1:0] lanes;

  genvar lane;
  genvar node;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_leaf
      localparam [31:0] Lane = lane;
      wire [15:0] number = in[16*lane +: 16];
      wire nan = number[14:0] > {8'd255, 7'd0};
      assign keys[16*(LANES-1+lane) +: 16] =
        !keep[lane] ? 16'd0 : nan ? NanKey : number[15] ? ~number : {1'b1, number[14:0]};
      assign lanes[LaneBits*(LANES-1+lane) +: LaneBits] = Lane[LaneBits-1:0];
    end
    for (node = 0; node < LANES - 1; node = node + 1) begin : gen_node
      wire [15:0] left = keys[16*(2*node+1) +: 16];
      wire [15:0] right = keys[16*(2*node+2) +: 16];
      wire right_wins = right > left;
      assign keys[16*node +: 16] = right_wins ? right : left;
      assign lanes[LaneBits*node +: LaneBits] = right_wins
        ? lanes[LaneBits*(2*node+2) +: LaneBits] : lanes[LaneBits*(2*node+1) +: LaneBits];
    end
  endgenerate

  reg taken;
  reg taken_first;
  reg [15:0] word_key;
  reg [LaneBits-1:0] word_lane;
  reg [15:0] key;
  reg [PlaceBits-LaneBits-1:0] word;
  wire [PlaceBits-LaneBits-1:0] word_now = taken_first ? {(PlaceBits-LaneBits){1'b0}} : word;

  always @(posedge clk) begin
    taken <= take;
    taken_first <= first;
    word_key <= keys[15:0];
    word_lane <= lanes[LaneBits-1:0];
    if (taken) begin
      word <= word_now + 1'b1;
      if (taken_first || word_key > key) begin
        key <= word_key;
        place <= {word_now, word_lane};
      end
    end
  end

  assign largest = (key == NanKey) ? 16'h7FC0 : key[15] ? {1'b0, key[14:0]} : ~key;

endmodule

`default_nettype wire
