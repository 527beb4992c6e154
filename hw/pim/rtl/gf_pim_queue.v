// gf_pim_queue: what a channel has been sent and not yet issued.
//
// An instruction is one entry with a number of requests. An entry comes in at once; its requests
// are accepted as there is room for them, of which there is for Depth. A request that is pushed
// may be at the head in the same clock; room that is freed in clock t is used in clock t + 1.
//
//   push              an entry and its size, at least 1; only while not filling
//   filling           requests of the last entry still wait for room
//   head, index, last the request at the head: its entry, its place in it, whether it is the last
//   pop               takes it
//
// The entry leaves with its last request. There are never more than Depth + 1 of them.

`default_nettype none

module gf_pim_queue #(
  parameter Bits = 8,
  parameter Depth = 33
) (
  input  wire            clk,
  input  wire            rst,
  input  wire            push,
  input  wire [Bits-1:0] push_entry,
  input  wire [15:0]     push_size,
  output wire            filling,
  output wire            valid,
  output wire [Bits-1:0] head,
  output wire [15:0]     index,
  output wire            last,
  input  wire            pop
);

  localparam Entries = Depth + 1;
  localparam PointerBits = $clog2(Entries);
  localparam CountBits = $clog2(Depth + 1);
  localparam EntryBits = $clog2(Entries + 1);
  localparam [31:0] Last = Entries - 1;
  localparam [31:0] Room = Depth;

  reg [Bits+15:0] entries [0:Entries-1];
  reg [PointerBits-1:0] write_pointer;
  reg [PointerBits-1:0] read_pointer;
  reg [EntryBits-1:0] entry_count;
  reg [CountBits-1:0] count;
  reg [15:0] unaccepted;
  reg [15:0] served;

  // Requests that find room in this clock.
  wire [15:0] wanting = push ? push_size : unaccepted;
  wire [CountBits-1:0] room = Room[CountBits-1:0] - count;
  wire [15:0] wide_room = {{(16 - CountBits){1'b0}}, room};
  wire [15:0] accepted = (wanting < wide_room) ? wanting : wide_room;

  // An entry that comes into an empty queue is at its head at once.
  wire empty = entry_count == {EntryBits{1'b0}};
  wire [15:0] size;
  assign {head, size} = empty ? {push_entry, push_size} : entries[read_pointer];
  assign valid = count != {CountBits{1'b0}} || accepted != 16'd0;
  assign index = served;
  assign last = served + 16'd1 == size;
  assign filling = unaccepted != 16'd0;

  wire leaves = pop && last;

  always @(posedge clk) begin
    if (push) begin
      entries[write_pointer] <= {push_entry, push_size};
    end
  end

  always @(posedge clk) begin
    if (rst) begin
      write_pointer <= {PointerBits{1'b0}};
      read_pointer <= {PointerBits{1'b0}};
      entry_count <= {EntryBits{1'b0}};
      count <= {CountBits{1'b0}};
      unaccepted <= 16'd0;
      served <= 16'd0;
    end else begin
      if (push) begin
        write_pointer <= (write_pointer == Last[PointerBits-1:0]) ? {PointerBits{1'b0}}
                                                                  : write_pointer + 1'b1;
      end
      if (leaves) begin
        read_pointer <= (read_pointer == Last[PointerBits-1:0]) ? {PointerBits{1'b0}}
                                                                : read_pointer + 1'b1;
      end
      if (push && !leaves) begin
        entry_count <= entry_count + 1'b1;
      end else if (leaves && !push) begin
        entry_count <= entry_count - 1'b1;
      end
      count <= count + accepted[CountBits-1:0] - {{(CountBits - 1){1'b0}}, pop};
      unaccepted <= wanting - accepted;
      if (pop) begin
        served <= last ? 16'd0 : served + 16'd1;
      end
    end
  end

`ifndef SYNTHESIS
  always @(posedge clk) begin
    if (!rst && ((push && filling) || (pop && !valid))) begin
      $display("FATAL %m: push while filling, or pop while empty");
      $finish;
    end
  end
`endif

endmodule

`default_nettype wire
