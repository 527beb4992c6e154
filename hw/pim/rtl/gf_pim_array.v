// gf_pim_array: the rows of a bank.
//
//   row_data = the row at row, in the same clock
//   write    in clock t: the access at write_column of write_row is write_data from clock t + 1 on
//
// Outside = 0: Rows rows of Columns accesses of AccessBits bits; zeros when simulation starts.
// Outside = 1: no rows are kept here. What simulates it keeps them, puts a row into
//              gen_outside.word in the clock in which it is activated, and takes what was written
//              from the bank.

`default_nettype none

module gf_pim_array #(
  parameter Rows = 64,
  parameter Columns = 64,
  parameter AccessBits = 256,
  parameter Outside = 0
) (
  input  wire                          clk,
  input  wire [29:0]                   row,
  output wire [Columns*AccessBits-1:0] row_data,
  input  wire                          write,
  input  wire [29:0]                   write_row,
  input  wire [15:0]                   write_column,
  input  wire [AccessBits-1:0]         write_data
);

  localparam RowBits = Columns * AccessBits;
  localparam IndexBits = (Rows > 1) ? $clog2(Rows) : 1;

  generate
    if (Outside != 0) begin : gen_outside
      reg [RowBits-1:0] word;
      wire unused = &{clk, row, write, write_row, write_column, write_data};
      assign row_data = word;
    end else begin : gen_inside
      reg [RowBits-1:0] cells [0:Rows-1];
      wire [IndexBits-1:0] index = row[IndexBits-1:0];
      wire [IndexBits-1:0] write_index = write_row[IndexBits-1:0];

      assign row_data = cells[index];

      always @(posedge clk) begin
        if (write) begin
          cells[write_index][write_column*AccessBits +: AccessBits] <= write_data;
        end
      end

`ifndef SYNTHESIS
      integer i;
      integer j;
      initial begin
        for (i = 0; i < Rows; i = i + 1) begin
          for (j = 0; j < Columns; j = j + 1) begin
            cells[i][j*AccessBits +: AccessBits] = {AccessBits{1'b0}};
          end
        end
      end
`endif
    end
  endgenerate

endmodule

`default_nettype wire
