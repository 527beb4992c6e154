// gf_hold: captures a beat and holds it.
//
//   load in clock t -> out is that beat from clock t + 1 until the clock after the next load

`default_nettype none

module gf_hold #(
  parameter Width = 8
) (
  input  wire             clk,
  input  wire             load,
  input  wire [Width-1:0] in,
  output reg  [Width-1:0] out
);

  always @(posedge clk) begin
    if (load) begin
      out <= in;
    end
  end

endmodule

`default_nettype wire
