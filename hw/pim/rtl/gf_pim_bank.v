// gf_pim_bank: a bank's open row.
`default_nettype none

module gf_pim_bank (
  input  wire        clk,
  input  wire        rst,
  input  wire        activate,
  input  wire        precharge,
  input  wire [29:0] row,
  output reg         open,
  output wire        at_row
);

  reg [29:0] open_row;

  assign at_row = open && open_row == row;

  always @(posedge clk) begin
    if (rst) begin
      open <= 1'b0;
    end else if (activate) begin
      open <= 1'b1;
    end else if (precharge) begin
      open <= 1'b0;
    end
    if (activate) begin
      open_row <= row;
    end
  end

endmodule

`default_nettype wire
