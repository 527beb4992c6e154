// gf_pim_buffer: a channel's buffer of the vector that all its banks multiply with.
//
//   write  in clock t: the slot holds the access from clock t + 1 on
//   data   Step neighbouring slots from the one asked for, the lowest in the lowest bits, in the
//          same clock
//
// Slots is a multiple of Step.

`default_nettype none

module gf_pim_buffer #(
  parameter Slots = 64,
  parameter AccessBits = 256,
  parameter Step = 1
) (
  input  wire                       clk,
  input  wire                       write,
  input  wire [15:0]                write_slot,
  input  wire [AccessBits-1:0]      write_data,
  input  wire [15:0]                slot,
  output wire [Step*AccessBits-1:0] data
);

  localparam IndexBits = (Slots > 1) ? $clog2(Slots) : 1;

  reg [AccessBits-1:0] slots [0:Slots-1];
  wire [IndexBits-1:0] write_index = write_slot[IndexBits-1:0];

  always @(posedge clk) begin
    if (write) begin
      slots[write_index] <= write_data;
    end
  end

  genvar i;
  generate
    for (i = 0; i < Step; i = i + 1) begin : gen_access
      wire [15:0] place = slot + i;
      assign data[i*AccessBits +: AccessBits] = slots[place[IndexBits-1:0]];
    end
  endgenerate

endmodule

`default_nettype wire
