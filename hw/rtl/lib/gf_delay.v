// gf_delay: a fixed delay line.
//
//   in in clock t -> out in clock t + Depth; Depth = 0 is a wire
//
// No reset, so that it maps to shift-register LUTs. For data only: a valid bit that must not
// survive a reset goes through gf_valid_delay.

`default_nettype none

module gf_delay #(
  parameter Width = 8,
  parameter Depth = 1
) (
  input  wire             clk,
  input  wire [Width-1:0] in,
  output wire [Width-1:0] out
);

  generate
    if (Depth == 0) begin : gen_wire
      wire unused_clk = clk;
      assign out = in;
    end else begin : gen_line
      reg [Width-1:0] line [0:Depth-1];
      integer i;
      always @(posedge clk) begin
        line[0] <= in;
        for (i = 1; i < Depth; i = i + 1) begin
          line[i] <= line[i-1];
        end
      end
      assign out = line[Depth-1];
    end
  endgenerate

endmodule

`default_nettype wire
