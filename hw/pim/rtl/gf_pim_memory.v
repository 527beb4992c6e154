// gf_pim_memory: host, refresh and channels.
`default_nettype none

module gf_pim_memory #(
  parameter Channels = 1,
  parameter Groups = 4,
  parameter BanksPerGroup = 4,
  parameter Rows = 64,
  parameter Columns = 64,
  parameter Slots = 64,
  parameter Queue = 33,
  parameter Modes = 1,
  parameter RefreshInterval = 0,
  parameter Postponed = 0,
  parameter PerBank = 0
) (
  input  wire                   clk,
  input  wire                   rst,
  input  wire                   instruction_valid,
  output wire                   instruction_ready,
  input  wire [4:0]             instruction_op,
  input  wire [15:0]            instruction_size,
  input  wire [Channels-1:0]    instruction_channels,
  input  wire [7:0]             instruction_bank,
  input  wire [29:0]            instruction_row,
  input  wire [15:0]            instruction_column,
  input  wire [15:0]            instruction_slot,
  input  wire [28:0]            instruction_value,
  output wire [Channels-1:0]    command_valid,
  output wire [5*Channels-1:0]  command,
  output wire [5*Channels-1:0]  command_op,
  output wire [8*Channels-1:0]  command_bank,
  output wire [30*Channels-1:0] command_row,
  output wire [16*Channels-1:0] command_column,
  output wire [Channels-1:0]    finished,
  output wire                   error,
  output wire [2:0]             reason
);

  wire [Channels-1:0] busy;
  wire [Channels-1:0] push;
  wire [29:0] push_row;
  wire refresh_due;

  gf_pim_host #(
    .Channels(Channels), .Banks(Groups * BanksPerGroup), .Rows(Rows), .Columns(Columns),
    .Slots(Slots)
  ) host (
    .clk(clk), .rst(rst), .valid(instruction_valid), .ready(instruction_ready),
    .op(instruction_op), .size(instruction_size), .channels(instruction_channels),
    .bank(instruction_bank), .row(instruction_row), .column(instruction_column),
    .slot(instruction_slot), .value(instruction_value),
    .busy(busy), .push(push), .push_row(push_row), .error(error), .reason(reason)
  );

  gf_pim_refresh #(.Interval(RefreshInterval)) refresh (
    .clk(clk), .rst(rst), .due(refresh_due)
  );

  genvar c;
  generate
    for (c = 0; c < Channels; c = c + 1) begin : gen_channel
      gf_pim_channel #(
        .Groups(Groups), .BanksPerGroup(BanksPerGroup), .Queue(Queue), .Modes(Modes),
        .Postponed(Postponed), .PerBank(PerBank)
      ) channel (
        .clk(clk), .rst(rst), .refresh_due(refresh_due),
        .push(push[c]), .push_op(instruction_op), .push_size(instruction_size),
        .push_bank(instruction_bank), .push_row(push_row), .push_column(instruction_column),
        .push_slot(instruction_slot), .busy(busy[c]), .finished(finished[c]),
        .command_valid(command_valid[c]), .command(command[5*c +: 5]),
        .command_op(command_op[5*c +: 5]), .command_bank(command_bank[8*c +: 8]),
        .command_row(command_row[30*c +: 30]), .command_column(command_column[16*c +: 16])
      );
    end
  endgenerate

endmodule

`default_nettype wire
