// gf_pim_refresh: tells all channels when a refresh is due.
//
//   due in every clock k Interval, counted from 1; never where Interval is 0

`default_nettype none

module gf_pim_refresh #(
  parameter Interval = 0
) (
  input  wire clk,
  input  wire rst,
  output wire due
);

  generate
    if (Interval == 0) begin : gen_never
      wire unused_clk = clk;
      wire unused_rst = rst;
      assign due = 1'b0;
    end else begin : gen_counter
      localparam [31:0] Whole = Interval;
      reg [31:0] clocks;
      assign due = clocks == Whole;
      always @(posedge clk) begin
        if (rst || due) begin
          clocks <= 32'd1;
        end else begin
          clocks <= clocks + 32'd1;
        end
      end
    end
  endgenerate

endmodule

`default_nettype wire
