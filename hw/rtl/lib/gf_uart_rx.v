// gf_uart_rx: bytes from a serial line: one start bit, 8 data bits low bit first, one stop bit.
//
//   valid   for one clock when a byte is in data
//   broken  for one clock when a byte of zeros came without a stop bit: the line is held low
//
// A bit takes Divisor clocks, at least 4, and is sampled in its middle.

`default_nettype none

module gf_uart_rx #(
  parameter Divisor = 434
) (
  input  wire       clk,
  input  wire       rst,
  input  wire       rxd,
  output reg  [7:0] data,
  output reg        valid,
  output reg        broken
);

  localparam CountBits = $clog2(Divisor);
  localparam [31:0] Whole = Divisor - 1;
  localparam [31:0] Half = Divisor / 2 - 1;

  // the line comes from another clock
  (* async_reg = "true" *) reg [1:0] line;
  reg [CountBits-1:0] wait_left;
  reg [3:0] bits_left;
  reg busy;
  reg held;  // no stop bit came: nothing begins before the line is high again

  wire middle = busy && wait_left == {CountBits{1'b0}};
  wire stop = middle && bits_left == 4'd0;

  always @(posedge clk) begin
    line <= {line[0], rxd};
    // without reset: a break that resets is not over by then
    held <= (held || stop) && !line[1];
    if (rst) begin
      busy <= 1'b0;
    end else if (!busy) begin
      busy <= !held && !line[1];
    end else if (middle && (bits_left == 4'd9 ? line[1] : stop)) begin
      busy <= 1'b0;  // a start bit that is over by its middle was noise
    end
    if (!busy) begin
      bits_left <= 4'd9;
      wait_left <= Half[CountBits-1:0];
    end else if (middle) begin
      bits_left <= bits_left - 1'b1;
      wait_left <= Whole[CountBits-1:0];
      data <= stop ? data : {line[1], data[7:1]};
    end else begin
      wait_left <= wait_left - 1'b1;
    end
    valid <= stop && line[1] && !rst;
    broken <= stop && !line[1] && data == 8'd0 && !rst;
  end

endmodule

`default_nettype wire
