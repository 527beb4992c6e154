// gf_pim_window: no more than Most events in any Clocks clocks.
//
//   held in clock t where Most or more of the clocks t - Clocks + 1 to t - 1 had an event
//
// A shift register remembers the last Clocks - 1 clocks; a counter follows the ones in it.
// Clocks is at least 2.

`default_nettype none

module gf_pim_window #(
  parameter Clocks = 16,
  parameter Most = 4
) (
  input  wire clk,
  input  wire rst,
  input  wire in,
  output wire held
);

  localparam Remembered = Clocks - 1;
  localparam CountBits = $clog2(Remembered + 1);
  localparam [31:0] Limit = Most;

  reg [Remembered-1:0] recent;
  reg [CountBits-1:0] count;
  wire [Remembered:0] shifted = {recent, in};
  wire leaves = shifted[Remembered];

  assign held = {{(32 - CountBits){1'b0}}, count} >= Limit;

  always @(posedge clk) begin
    if (rst) begin
      recent <= {Remembered{1'b0}};
      count <= {CountBits{1'b0}};
    end else begin
      recent <= shifted[Remembered-1:0];
      if (in && !leaves) begin
        count <= count + 1'b1;
      end else if (leaves && !in) begin
        count <= count - 1'b1;
      end
    end
  end

endmodule

`default_nettype wire
