// gf_beats_to_words: beats become a DMA's words, frames become packets.
//
//   beat taken in clock c -> its first word in clock c + 1, Words words, low bits first
//
// All bytes of all words count (tkeep is full); tlast is on the last word of a frame that ends
// its packet.

`default_nettype none

module gf_beats_to_words #(
  parameter WordBits = 64,
  parameter KeepBits = 8,  // WordBits / 8
  parameter Words = 1
) (
  input  wire                      clk,
  input  wire                      rst,
  // from the stream
  input  wire [Words*WordBits-1:0] beat,
  input  wire                      beat_valid,
  input  wire                      beat_last,   // of its frame
  input  wire                      packet_end,  // the frame ends its packet
  output wire                      beat_ready,
  // to the DMA
  output wire [WordBits-1:0]       tdata,
  output wire [KeepBits-1:0]       tkeep,
  output wire                      tvalid,
  output wire                      tlast,
  input  wire                      tready
);

  localparam CountBits = $clog2(Words + 1);
  localparam [31:0] All = Words;
  localparam [31:0] One = 1;

  reg [Words*WordBits-1:0] held;
  reg held_last;
  reg [CountBits-1:0] words_left;

  wire final_word = words_left == One[CountBits-1:0];
  wire take = beat_valid && beat_ready;

  assign tdata = held[WordBits-1:0];
  assign tkeep = {KeepBits{1'b1}};
  assign tvalid = words_left != {CountBits{1'b0}};
  assign tlast = held_last && final_word;
  assign beat_ready = !tvalid || (final_word && tready);

  generate
    if (Words > 1) begin : gen_shift
      always @(posedge clk) begin
        if (take) begin
          held <= beat;
        end else if (tready) begin
          held <= {{WordBits{1'b0}}, held[Words*WordBits-1:WordBits]};
        end
      end
    end else begin : gen_word
      always @(posedge clk) begin
        if (take) begin
          held <= beat;
        end
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (take) begin
      held_last <= beat_last && packet_end;
    end
    if (rst) begin
      words_left <= {CountBits{1'b0}};
    end else if (take) begin
      words_left <= All[CountBits-1:0];
    end else if (tvalid && tready) begin
      words_left <= words_left - 1'b1;
    end
  end

endmodule

`default_nettype wire
