// gf_valid_delay: a fixed delay line for one valid bit, cleared by reset.
//
//   in in clock t -> out in clock t + Depth; Depth = 0 is a wire
//
// Reset clears the whole line, so that no beat from before a reset appears after it.

`default_nettype none

module gf_valid_delay #(
  parameter Depth = 1
) (
  input  wire clk,
  input  wire rst,
  input  wire in,
  output wire out
);

  generate
    if (Depth == 0) begin : gen_wire
      wire unused_clk = clk;
      wire unused_rst = rst;
      assign out = in;
    end else begin : gen_line
      reg [Depth-1:0] line;
      integer i;
      always @(posedge clk) begin
        if (rst) begin
          line <= {Depth{1'b0}};
        end else begin
          line[0] <= in;
          for (i = 1; i < Depth; i = i + 1) begin
            line[i] <= line[i-1];
          end
        end
      end
      assign out = line[Depth-1];
    end
  endgenerate

endmodule

`default_nettype wire
