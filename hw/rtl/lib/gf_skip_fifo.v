// gf_skip_fifo: holds the beats of a skip connection until the stage that joins them asks.
//
//   in_valid in clock t     -> that beat may be read by a strobe in clock t + 1 or later
//   read in clock r         -> out in clock r + 1, held until the clock after the next read
//
// Synchronous read, so that it maps to block memory or LUT memory; reset clears the pointers
// only. A beat too many or a read too early is a fault of the schedule: it ends a simulation.

`default_nettype none

module gf_skip_fifo #(
  parameter Width = 8,
  parameter Depth = 2
) (
  input  wire             clk,
  input  wire             rst,
  input  wire             in_valid,
  input  wire [Width-1:0] in,
  input  wire             read,
  output reg  [Width-1:0] out
);

  localparam PointerBits = (Depth > 1) ? $clog2(Depth) : 1;
  localparam [31:0] Last = Depth - 1;

  reg [Width-1:0] memory [0:Depth-1];
  reg [PointerBits-1:0] write_pointer;
  reg [PointerBits-1:0] read_pointer;

  always @(posedge clk) begin
    if (in_valid) begin
      memory[write_pointer] <= in;
    end
    if (read) begin
      out <= memory[read_pointer];
    end
  end

  always @(posedge clk) begin
    if (rst) begin
      write_pointer <= {PointerBits{1'b0}};
      read_pointer <= {PointerBits{1'b0}};
    end else begin
      if (in_valid) begin
        write_pointer <= (write_pointer == Last[PointerBits-1:0]) ? {PointerBits{1'b0}}
                                                                  : write_pointer + 1'b1;
      end
      if (read) begin
        read_pointer <= (read_pointer == Last[PointerBits-1:0]) ? {PointerBits{1'b0}}
                                                                : read_pointer + 1'b1;
      end
    end
  end

`ifndef SYNTHESIS
  localparam CountBits = $clog2(Depth + 1);
  localparam [31:0] Full = Depth;
  reg [CountBits-1:0] count;
  always @(posedge clk) begin
    if (rst) begin
      count <= {CountBits{1'b0}};
    end else begin
      if (in_valid && !read) begin
        count <= count + 1'b1;
      end else if (read && !in_valid) begin
        count <= count - 1'b1;
      end
      if (in_valid && !read && count == Full[CountBits-1:0]) begin
        $display("FATAL %m: a beat came while all %0d places were taken", Depth);
        $finish;
      end
      if (read && count == {CountBits{1'b0}}) begin
        $display("FATAL %m: read before the beat came");
        $finish;
      end
    end
  end
`endif

endmodule

`default_nettype wire
