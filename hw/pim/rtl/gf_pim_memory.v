// gf_pim_memory: the whole memory: a host, and channels that run on their own.
//
// Instructions come in over instruction_*, one in each clock in which instruction_valid and
// instruction_ready are 1; gf_pim_host says what they may be. The register that W_CFR sets is named
// by instruction_column. What a channel's ports carry is in bits c Width + Width - 1 to c Width of
// a port; gf_pim_channel says when.
//
//   finished[c]     channel c is through with EOC
//   error, reason   the host refused an instruction (gf_pim_host), and stands still
//   violation[c]    channel c's watch saw an illegal command (gf_pim_watch; simulation only)
//
// Clock 1 is the first one after reset. gf_pim_device is this module with a device's parameters.

`default_nettype none

module gf_pim_memory #(
  parameter Channels = 1,
  parameter Groups = 4,
  parameter BanksPerGroup = 4,
  parameter Rows = 64,
  parameter Columns = 64,
  parameter AccessBits = 256,
  parameter DataBits = 256,
  parameter Slots = 64,
  parameter Step = 1,
  parameter WeightBits = 16,
  parameter MacStages = 0,
  parameter Outside = 0,
  parameter Queue = 33,
  parameter Modes = 1,
  parameter RefreshInterval = 0,
  parameter Postponed = 0,
  parameter PerBank = 0,
  parameter ReadClocks = 26,
  parameter ResultClocks = 2
) (
  input  wire                                        clk,
  input  wire                                        rst,
  input  wire                                        instruction_valid,
  output wire                                        instruction_ready,
  input  wire [4:0]                                  instruction_op,
  input  wire [15:0]                                 instruction_size,
  input  wire [Channels-1:0]                         instruction_channels,
  input  wire [7:0]                                  instruction_bank,
  input  wire [29:0]                                 instruction_row,
  input  wire [15:0]                                 instruction_column,
  input  wire [15:0]                                 instruction_slot,
  input  wire [28:0]                                 instruction_value,
  output wire [Channels-1:0]                         command_valid,
  output wire [5*Channels-1:0]                       command,
  output wire [5*Channels-1:0]                       command_op,
  output wire [8*Channels-1:0]                       command_bank,
  output wire [30*Channels-1:0]                      command_row,
  output wire [16*Channels-1:0]                      command_column,
  output wire [Channels-1:0]                         write_take,
  input  wire [DataBits*Channels-1:0]                write_data,
  input  wire [AccessBits/8*Channels-1:0]            write_bytes,
  output wire [Channels-1:0]                         read_valid,
  output wire [AccessBits*Channels-1:0]              read_data,
  output wire [Channels-1:0]                         result_valid,
  output wire [16*Groups*BanksPerGroup*Channels-1:0] result_data,
  output wire [Channels-1:0]                         finished,
  output wire                                        error,
  output wire [2:0]                                  reason,
  output wire [Channels-1:0]                         violation
);

  localparam Banks = Groups * BanksPerGroup;
  localparam ResultBits = 16 * Banks;
  localparam AccessBytes = AccessBits / 8;

  wire [Channels-1:0] busy;
  wire [Channels-1:0] push;
  wire [29:0] push_row;
  wire push_blocks;
  wire refresh_due;

  gf_pim_host #(
    .Channels(Channels), .Banks(Banks), .Rows(Rows), .Columns(Columns), .Slots(Slots), .Step(Step)
  ) host (
    .clk(clk), .rst(rst), .valid(instruction_valid), .ready(instruction_ready),
    .op(instruction_op), .size(instruction_size), .channels(instruction_channels),
    .bank(instruction_bank), .row(instruction_row), .column(instruction_column),
    .slot(instruction_slot), .value(instruction_value),
    .busy(busy), .push(push), .push_row(push_row), .push_blocks(push_blocks),
    .error(error), .reason(reason)
  );

  gf_pim_refresh #(.Interval(RefreshInterval)) refresh (
    .clk(clk), .rst(rst), .due(refresh_due)
  );

  genvar c;
  generate
    for (c = 0; c < Channels; c = c + 1) begin : gen_channel
      gf_pim_channel #(
        .Groups(Groups), .BanksPerGroup(BanksPerGroup), .Rows(Rows), .Columns(Columns),
        .AccessBits(AccessBits), .DataBits(DataBits), .Slots(Slots), .Step(Step),
        .WeightBits(WeightBits), .MacStages(MacStages), .Outside(Outside), .Queue(Queue),
        .Modes(Modes), .Postponed(Postponed), .PerBank(PerBank), .ReadClocks(ReadClocks),
        .ResultClocks(ResultClocks)
      ) channel (
        .clk(clk), .rst(rst), .refresh_due(refresh_due),
        .push(push[c]), .push_blocks(push_blocks), .push_op(instruction_op),
        .push_size(instruction_size), .push_bank(instruction_bank), .push_row(push_row),
        .push_column(instruction_column), .push_slot(instruction_slot),
        .busy(busy[c]), .finished(finished[c]),
        .command_valid(command_valid[c]), .command(command[5*c +: 5]),
        .command_op(command_op[5*c +: 5]), .command_bank(command_bank[8*c +: 8]),
        .command_row(command_row[30*c +: 30]), .command_column(command_column[16*c +: 16]),
        .write_take(write_take[c]), .write_data(write_data[DataBits*c +: DataBits]),
        .write_bytes(write_bytes[AccessBytes*c +: AccessBytes]),
        .read_valid(read_valid[c]), .read_data(read_data[AccessBits*c +: AccessBits]),
        .result_valid(result_valid[c]), .result_data(result_data[ResultBits*c +: ResultBits])
      );

`ifdef SYNTHESIS
      assign violation[c] = 1'b0;
`else
      gf_pim_watch #(
        .Groups(Groups), .BanksPerGroup(BanksPerGroup), .Rows(Rows), .Columns(Columns),
        .Slots(Slots), .Modes(Modes)
      ) watch (
        .clk(clk), .rst(rst), .valid(command_valid[c]), .command(command[5*c +: 5]),
        .bank(command_bank[8*c +: 8]), .row(command_row[30*c +: 30]),
        .column(command_column[16*c +: 16]), .violation(violation[c])
      );
`endif
    end
  endgenerate

endmodule

`default_nettype wire
