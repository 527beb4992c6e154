// gf_fifo: first-in first-out memory with fall-through read.
//
//   push in clock c   -> valid, pop_data in clock c + 1 where it was empty
//   pop               -> takes pop_data in the same clock; one word a clock, both sides
//
// The reader owns flow control (pop only while valid), the writer owns room: a push into a full
// FIFO ends a simulation. Asynchronous read, so that it maps to LUT memory.

`default_nettype none

module gf_fifo #(
  parameter Width = 8,
  parameter Depth = 2
) (
  input  wire             clk,
  input  wire             rst,
  input  wire             push,
  input  wire [Width-1:0] push_data,
  input  wire             pop,
  output wire             valid,
  output wire [Width-1:0] pop_data
);

  localparam PointerBits = (Depth > 1) ? $clog2(Depth) : 1;
  localparam CountBits = $clog2(Depth + 1);
  localparam [31:0] Last = Depth - 1;

  reg [Width-1:0] memory [0:Depth-1];
  reg [PointerBits-1:0] write_pointer;
  reg [PointerBits-1:0] read_pointer;
  reg [CountBits-1:0] count;

  assign valid = count != {CountBits{1'b0}};
  assign pop_data = memory[read_pointer];

  always @(posedge clk) begin
    if (push) begin
      memory[write_pointer] <= push_data;
    end
  end

  always @(posedge clk) begin
    if (rst) begin
      write_pointer <= {PointerBits{1'b0}};
      read_pointer <= {PointerBits{1'b0}};
      count <= {CountBits{1'b0}};
    end else begin
      if (push) begin
        write_pointer <= (write_pointer == Last[PointerBits-1:0]) ? {PointerBits{1'b0}}
                                                                  : write_pointer + 1'b1;
      end
      if (pop) begin
        read_pointer <= (read_pointer == Last[PointerBits-1:0]) ? {PointerBits{1'b0}}
                                                                : read_pointer + 1'b1;
      end
      if (push && !pop) begin
        count <= count + 1'b1;
      end else if (pop && !push) begin
        count <= count - 1'b1;
      end
    end
  end

`ifndef SYNTHESIS
  localparam [31:0] Full = Depth;
  always @(posedge clk) begin
    if (!rst && push && !pop && count == Full[CountBits-1:0]) begin
      $display("FATAL %m: push into a full FIFO");
      $finish;
    end
    if (!rst && pop && !valid) begin
      $display("FATAL %m: pop from an empty FIFO");
      $finish;
    end
  end
`endif

endmodule

`default_nettype wire
