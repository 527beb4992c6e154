// gf_frame_gate: one AXI4-Stream input's part in the joint slots of a frame.
//
//   offered   the stream can serve this slot: a beat waits, or the slot needs none of it
//   use_beat  the slot takes this stream's beat; where it is low, the core gets zeros
//   bad       tlast came early or is missing, in the clock of that beat's handshake
//
// A frame takes Beats beats, the last one with tlast. After an early tlast the rest of the frame
// is filled with zeros and nothing is consumed. After a missing tlast the beats that follow are
// consumed and dropped, one a clock, until one with tlast has passed; no frame starts meanwhile.

`default_nettype none

module gf_frame_gate #(
  parameter Beats = 1,
  parameter SlotBits = 1
) (
  input  wire                clk,
  input  wire                rst,
  // the slot
  input  wire [SlotBits-1:0] slot,
  input  wire                grant,      // the slot is open and all other streams offer
  input  wire                take,       // the slot is taken in this clock
  input  wire                frame_end,  // and is the frame's last
  // the stream
  input  wire                tvalid,
  input  wire                tlast,
  output wire                tready,
  // to the slot
  output wire                offered,
  output wire                use_beat,
  output wire                final_beat,
  output wire                bad,
  output reg                 discarding
);

  localparam [31:0] FinalSlot = Beats - 1;

  reg filled;  // tlast came early: zeros for the rest of the frame
  reg past;    // all beats of this frame are through, other streams are longer

  wire accept = take && use_beat;

  assign use_beat = !filled && !past;
  assign final_beat = slot == FinalSlot[SlotBits-1:0];
  assign offered = tvalid || !use_beat;
  assign tready = discarding || (grant && use_beat);
  assign bad = accept && (tlast != final_beat);

  always @(posedge clk) begin
    if (rst) begin
      filled <= 1'b0;
      past <= 1'b0;
      discarding <= 1'b0;
    end else begin
      if (take) begin
        filled <= !final_beat && !past && (filled || tlast);
        past <= !frame_end && (past || final_beat);
      end
      if (discarding) begin
        discarding <= !(tvalid && tlast);
      end else begin
        discarding <= accept && final_beat && !tlast;
      end
    end
  end

endmodule

`default_nettype wire
