// gf_admit: opens the joint input slots of a frame, paced and against credits.
//
//   slot i of 0 .. Slots - 1 takes one beat of every input that has more than i beats
//   take in clock c -> core_valid in clock c + 1; next take in clock c + Interval or later
//
// Slot 0 opens only while every output has room for a frame (room) and no input is dropping what
// came beyond its frame (discarding). In the clock of the last slot, status_push hands over
// whether the frame is good. frame_error stays until reset.

`default_nettype none

module gf_admit #(
  parameter Slots = 1,
  parameter SlotBits = 1,
  parameter Interval = 1
) (
  input  wire                clk,
  input  wire                rst,
  input  wire                offered,
  input  wire                discarding,
  input  wire                room,
  input  wire                bad,
  output wire                open,
  output wire                take,
  output reg  [SlotBits-1:0] slot,
  output wire                frame_start,
  output wire                frame_end,
  output wire                status_good,
  output reg                 frame_error,
  output reg                 core_valid
);

  localparam [31:0] LastSlot = Slots - 1;

  reg  started;   // slot 0 of the frame is through
  reg  bad_seen;  // an earlier slot of this frame was bad
  wire paced;

  assign open = paced && (started || (room && !discarding));
  assign take = open && offered;
  assign frame_start = take && !started;
  assign frame_end = take && (slot == LastSlot[SlotBits-1:0]);
  assign status_good = !(bad_seen || bad);

  generate
    if (Interval > 1) begin : gen_pace
      reg [Interval-2:0] wait_line;
      integer i;
      assign paced = wait_line == {(Interval-1){1'b0}};
      always @(posedge clk) begin
        if (rst) begin
          wait_line <= {(Interval-1){1'b0}};
        end else begin
          wait_line[0] <= take;
          for (i = 1; i < Interval - 1; i = i + 1) begin
            wait_line[i] <= wait_line[i-1];
          end
        end
      end
    end else begin : gen_no_pace
      assign paced = 1'b1;
    end
  endgenerate

  always @(posedge clk) begin
    if (rst) begin
      slot <= {SlotBits{1'b0}};
      started <= 1'b0;
      bad_seen <= 1'b0;
      frame_error <= 1'b0;
      core_valid <= 1'b0;
    end else begin
      core_valid <= take;
      frame_error <= frame_error || bad;
      if (take) begin
        slot <= frame_end ? {SlotBits{1'b0}} : slot + 1'b1;
        started <= !frame_end;
        bad_seen <= !frame_end && (bad_seen || bad);
      end
    end
  end

endmodule

`default_nettype wire
