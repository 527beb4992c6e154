// gf_words_to_beats: a DMA's words become the beats of frames.
//
//   beat = its first word in the low bits, Words words; a frame is Beats beats
//   last word of a beat in clock c -> beat_valid in clock c + 1; one word a clock
//
// A packet of the DMA holds any number of whole frames: beat_last is set here, at each frame's
// end. packet_end tells that the frame is its packet's last. A packet that ends inside a frame
// (tlast too soon, or a last word whose tkeep is not full) makes a frame that gf_frame_gate drops:
// its tlast comes early, or on its last beat not at all and on a beat of nothing behind it.

`default_nettype none

module gf_words_to_beats #(
  parameter WordBits = 64,
  parameter KeepBits = 8,  // WordBits / 8
  parameter Words = 1,
  parameter Beats = 1
) (
  input  wire                      clk,
  input  wire                      rst,
  // from the DMA
  input  wire [WordBits-1:0]       tdata,
  input  wire [KeepBits-1:0]       tkeep,
  input  wire                      tvalid,
  input  wire                      tlast,
  output wire                      tready,
  // to the stream
  output reg  [Words*WordBits-1:0] beat,
  output reg                       beat_valid,
  output reg                       beat_last,
  input  wire                      beat_ready,
  // in the clock of a frame's last handshake: it is whole; it ends its packet
  output wire                      frame_done,
  output wire                      packet_end
);

  localparam WordBitsOfCount = (Words > 1) ? $clog2(Words) : 1;
  localparam BeatBitsOfCount = (Beats > 1) ? $clog2(Beats) : 1;
  localparam [31:0] LastWord = Words - 1;
  localparam [31:0] LastBeat = Beats - 1;

  reg [WordBitsOfCount-1:0] word_count;
  reg [BeatBitsOfCount-1:0] beat_count;
  reg whole;    // the beat that waits is a whole frame's last
  reg ended;    // and its packet's
  reg torn;     // a beat of nothing has to follow, with tlast

  wire final_word = word_count == LastWord[WordBitsOfCount-1:0];
  wire final_beat = beat_count == LastBeat[BeatBitsOfCount-1:0];
  wire full = tkeep == {KeepBits{1'b1}};
  wire take = tvalid && tready;
  wire cut = tlast && !(final_word && full);  // the packet ends inside a beat
  wire moved = beat_valid && beat_ready;

  assign tready = !torn && (!beat_valid || beat_ready);
  assign frame_done = moved && whole;
  assign packet_end = ended;

  generate
    if (Words > 1) begin : gen_shift
      always @(posedge clk) begin
        if (take) begin
          beat <= {tdata, beat[Words*WordBits-1:WordBits]};
        end
      end
    end else begin : gen_word
      always @(posedge clk) begin
        if (take) begin
          beat <= tdata;
        end
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (take) begin
      beat_last <= final_beat ? !cut : tlast;
      whole <= final_beat && !cut;
      ended <= tlast;
    end else if (moved) begin  // of use where torn: nothing, with tlast
      beat_last <= 1'b1;
      whole <= 1'b0;
    end
    if (rst) begin
      word_count <= {WordBitsOfCount{1'b0}};
      beat_count <= {BeatBitsOfCount{1'b0}};
      beat_valid <= 1'b0;
      torn <= 1'b0;
    end else begin
      if (take) begin
        word_count <= (final_word || tlast) ? {WordBitsOfCount{1'b0}} : word_count + 1'b1;
        beat_valid <= final_word || tlast;
        torn <= cut && final_beat;
        if (final_word || tlast) begin
          beat_count <= (final_beat || tlast) ? {BeatBitsOfCount{1'b0}} : beat_count + 1'b1;
        end
      end else if (moved) begin
        beat_valid <= torn;
        torn <= 1'b0;
      end
    end
  end

endmodule

`default_nettype wire
