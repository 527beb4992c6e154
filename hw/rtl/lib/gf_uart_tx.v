// gf_uart_tx: bytes to a serial line: one start bit, 8 data bits low bit first, one stop bit.
//
//   valid && ready  -> data leaves on txd, from the next clock on
//
// A bit takes Divisor clocks; the idle line is high.

`default_nettype none

module gf_uart_tx #(
  parameter Divisor = 434
) (
  input  wire       clk,
  input  wire       rst,
  input  wire [7:0] data,
  input  wire       valid,
  output wire       ready,
  output reg        txd
);

  localparam CountBits = $clog2(Divisor);
  localparam [31:0] Whole = Divisor - 1;

  reg [CountBits-1:0] wait_left;
  reg [3:0] bits_left;
  reg [7:0] rest;

  assign ready = bits_left == 4'd0;

  always @(posedge clk) begin
    if (rst) begin
      bits_left <= 4'd0;
      wait_left <= {CountBits{1'b0}};
      txd <= 1'b1;
    end else if (ready) begin
      txd <= !valid;
      rest <= data;
      wait_left <= Whole[CountBits-1:0];
      bits_left <= valid ? 4'd10 : 4'd0;
    end else if (wait_left != {CountBits{1'b0}}) begin
      wait_left <= wait_left - 1'b1;
    end else begin
      // ones follow the data: the stop bit
      txd <= rest[0];
      rest <= {1'b1, rest[7:1]};
      wait_left <= Whole[CountBits-1:0];
      bits_left <= bits_left - 1'b1;
    end
  end

endmodule

`default_nettype wire
