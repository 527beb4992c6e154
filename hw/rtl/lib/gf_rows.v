// gf_rows: calls the rows of a frame, one every Interval clocks.
//
//   trigger in clock t -> strobe in clocks t, t + Interval, ... : Rows strobes in all
//
// A trigger before the last row was called starts over: the schedule keeps frames apart.

`default_nettype none

module gf_rows #(
  parameter Rows = 2,
  parameter Interval = 1
) (
  input  wire clk,
  input  wire rst,
  input  wire trigger,
  output wire strobe
);

  generate
    if (Rows == 1) begin : gen_single
      wire unused_clk = clk;
      wire unused_rst = rst;
      assign strobe = trigger;
    end else begin : gen_rows
      localparam RowBits = $clog2(Rows);
      localparam PauseBits = (Interval > 1) ? $clog2(Interval) : 1;
      localparam [31:0] LastRow = Rows - 1;
      localparam [31:0] Pause = Interval - 1;
      reg [RowBits-1:0] rows_left;
      reg [PauseBits-1:0] pause_left;
      wire next = (rows_left != {RowBits{1'b0}}) && (pause_left == {PauseBits{1'b0}});

      assign strobe = trigger || next;

      always @(posedge clk) begin
        if (rst) begin
          rows_left <= {RowBits{1'b0}};
          pause_left <= {PauseBits{1'b0}};
        end else if (trigger) begin
          rows_left <= LastRow[RowBits-1:0];
          pause_left <= Pause[PauseBits-1:0];
        end else if (next) begin
          rows_left <= rows_left - 1'b1;
          pause_left <= Pause[PauseBits-1:0];
        end else if (pause_left != {PauseBits{1'b0}}) begin
          pause_left <= pause_left - 1'b1;
        end
      end
    end
  endgenerate

endmodule

`default_nettype wire
