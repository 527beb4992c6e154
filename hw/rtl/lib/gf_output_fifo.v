// gf_output_fifo: collects one output's beats and offers those of good frames.
//
//   beat in clock c -> m_valid in clock c + 1 at the earliest, and once the frame's status is
//   known (pushed in clock s -> usable in clock s + 1); one beat a clock
//
// Holds Capacity frames of Beats beats; room says that fewer than Capacity frames are inside.
// Beats of a bad frame are dropped, one a clock. Of the last beat only LastLanes of Lanes lanes
// hold tokens: the others read as zeros.

`default_nettype none

module gf_output_fifo #(
  parameter Lanes = 1,
  parameter LaneBits = 8,
  parameter LastLanes = 1,
  parameter Beats = 1,
  parameter Capacity = 2
) (
  input  wire                      clk,
  input  wire                      rst,
  // frames
  input  wire                      frame_start,
  input  wire                      status_push,
  input  wire                      status_good,
  output wire                      room,
  // from the core
  input  wire                      beat_valid,
  input  wire [Lanes*LaneBits-1:0] beat,
  // to the port
  output wire                      m_valid,
  output wire [Lanes*LaneBits-1:0] m_beat,
  output wire                      m_last,
  input  wire                      m_ready
);

  localparam CountBits = $clog2(Capacity + 1);
  localparam BeatBits = (Beats > 1) ? $clog2(Beats) : 1;
  localparam [31:0] LastBeat = Beats - 1;
  localparam [31:0] Full = Capacity;

  reg  [CountBits-1:0] frames;
  reg  [BeatBits-1:0] beat_count;
  wire held;
  wire known;
  wire good;
  wire [Lanes*LaneBits-1:0] stored;
  wire pop = held && known && (!good || m_ready);
  wire frame_done = pop && m_last;

  assign room = frames != Full[CountBits-1:0];
  assign m_valid = held && known && good;
  assign m_last = beat_count == LastBeat[BeatBits-1:0];

  generate
    if (LastLanes < Lanes) begin : gen_partial
      assign m_beat = {stored[Lanes*LaneBits-1:LastLanes*LaneBits]
                       & {((Lanes-LastLanes)*LaneBits){!m_last}},
                       stored[LastLanes*LaneBits-1:0]};
    end else begin : gen_whole
      assign m_beat = stored;
    end
  endgenerate

  gf_fifo #(
    .Width(Lanes * LaneBits),
    .Depth(Capacity * Beats)
  ) beats_fifo (
    .clk(clk),
    .rst(rst),
    .push(beat_valid),
    .push_data(beat),
    .pop(pop),
    .valid(held),
    .pop_data(stored)
  );

  gf_fifo #(
    .Width(1),
    .Depth(Capacity)
  ) status_fifo (
    .clk(clk),
    .rst(rst),
    .push(status_push),
    .push_data(status_good),
    .pop(frame_done),
    .valid(known),
    .pop_data(good)
  );

  always @(posedge clk) begin
    if (rst) begin
      frames <= {CountBits{1'b0}};
      beat_count <= {BeatBits{1'b0}};
    end else begin
      if (pop) begin
        beat_count <= m_last ? {BeatBits{1'b0}} : beat_count + 1'b1;
      end
      if (frame_start && !frame_done) begin
        frames <= frames + 1'b1;
      end else if (frame_done && !frame_start) begin
        frames <= frames - 1'b1;
      end
    end
  end

endmodule

`default_nettype wire
