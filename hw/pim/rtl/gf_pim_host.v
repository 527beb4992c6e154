// gf_pim_host: takes instructions, one a clock, and hands each to its channels.
//
// An instruction is taken in a clock in which every channel has accepted all requests of the one
// before and, if that one blocks, has completed it. Its requests may issue in the same clock.
// SYNC and EOC go to all channels; after EOC nothing is taken. W_CFR sets a register: 2 is AFM,
// which AF adds to its pseudo row; the others are kept by who supplies data.
//
//   ready          an instruction would be taken in this clock
//   push[c]        channel c gets it, as op, size, bank, row, column, slot
//   error, reason  an instruction is illegal; neither it nor a later one is taken. Reasons:
//                  1 unknown operation, 2 bank, 3 row, 4 column and size beyond the row,
//                  5 column and size beyond the buffer, 6 not exactly one channel, 7 size 0 in an
//                  instruction that blocks

`default_nettype none

module gf_pim_host #(
  parameter Channels = 1,
  parameter Banks = 16,
  parameter Rows = 64,
  parameter Columns = 64,
  parameter Slots = 64,
  parameter Step = 1
) (
  input  wire                clk,
  input  wire                rst,
  input  wire                valid,
  output wire                ready,
  input  wire [4:0]          op,
  input  wire [15:0]         size,
  input  wire [Channels-1:0] channels,
  input  wire [7:0]          bank,
  input  wire [29:0]         row,
  input  wire [15:0]         column,
  input  wire [15:0]         slot,
  input  wire [28:0]         value,
  input  wire [Channels-1:0] busy,
  output wire [Channels-1:0] push,
  output wire [29:0]         push_row,
  output wire                push_blocks,
  output reg                 error,
  output reg  [2:0]          reason
);

  localparam [4:0] WriteBuffer = 5'd0;
  localparam [4:0] Af = 5'd6;
  localparam [4:0] WriteAll = 5'd7;
  localparam [4:0] FromBank = 5'd9;
  localparam [4:0] ToBank = 5'd10;
  localparam [4:0] ReadMemory = 5'd13;
  localparam [4:0] WriteMemory = 5'd14;
  localparam [4:0] Sync = 5'd15;
  localparam [4:0] Eoc = 5'd16;
  localparam [4:0] SetRegister = 5'd17;
  localparam [4:0] MacAll = 5'd4;
  localparam [4:0] MacOne = 5'd8;
  localparam [15:0] AfmRegister = 16'd2;
  localparam [31:0] MostBanks = Banks;
  localparam [31:0] MostRows = Rows;
  localparam [31:0] MostColumns = Columns;
  localparam [31:0] MostSlots = Slots;
  localparam [31:0] SlotStep = Step;

  reg ended;
  reg [28:0] afm;

  wire [4:0] unused_command;
  wire unused_register_mode;
  wire all_rows;
  wire one_row;
  wire blocks;
  wire host_only;
  wire known;

  gf_pim_decode decode (
    .op(op), .command(unused_command), .register_mode(unused_register_mode),
    .all_rows(all_rows), .one_row(one_row), .blocks(blocks), .host_only(host_only), .known(known)
  );

  // What an instruction may address.
  wire multiplies = op == MacAll || op == MacOne;
  wire copies = op == FromBank || op == ToBank;
  wire alone = op == WriteAll || op == ReadMemory || op == WriteMemory;
  wire [31:0] wide_size = {16'd0, size};
  wire [31:0] columns_end = {16'd0, column} + wide_size;
  wire [31:0] slots_begin = {16'd0, (op == WriteBuffer) ? column : slot};
  wire [31:0] slots_end = slots_begin + (multiplies ? wide_size * SlotStep : wide_size);
  wire one_channel = channels != {Channels{1'b0}}
                  && (channels & (channels - 1'b1)) == {Channels{1'b0}};
  wire in_rows = (all_rows && op != Af) || one_row;
  wire bad_bank = one_row && {24'd0, bank} >= MostBanks;
  wire bad_row = in_rows && {2'd0, row} >= MostRows;
  wire bad_columns = in_rows && columns_end > MostColumns;
  wire bad_slots = (op == WriteBuffer || multiplies || copies) && slots_end > MostSlots;
  wire bad_channels = alone && !one_channel;
  wire bad_size = blocks && size == 16'd0;
  wire [2:0] found = !known ? 3'd1 : bad_bank ? 3'd2 : bad_row ? 3'd3 : bad_columns ? 3'd4
                   : bad_slots ? 3'd5 : bad_channels ? 3'd6 : bad_size ? 3'd7 : 3'd0;

  assign ready = !rst && !ended && !error && busy == {Channels{1'b0}};

  wire taken = valid && ready && found == 3'd0;
  wire everywhere = op == Sync || op == Eoc;
  wire sent = taken && !host_only && size != 16'd0;

  assign push = sent ? (everywhere ? {Channels{1'b1}} : channels) : {Channels{1'b0}};
  assign push_row = (op == Af) ? {1'b1, afm} : row;
  assign push_blocks = blocks;

  always @(posedge clk) begin
    if (rst) begin
      ended <= 1'b0;
      afm <= 29'd0;
      error <= 1'b0;
      reason <= 3'd0;
    end else if (valid && ready) begin
      ended <= taken && op == Eoc;
      if (taken && op == SetRegister && column == AfmRegister) begin
        afm <= value;
      end
      error <= found != 3'd0;
      reason <= found;
    end
  end

`ifndef SYNTHESIS
  always @(posedge clk) begin
    if (valid && ready && found != 3'd0) begin
      $display("ERROR %m: illegal instruction, reason %0d: op %0d, size %0d, channels %h,", found,
               op, size, channels, " bank %0d, row %0d, column %0d, slot %0d", bank, row, column,
               slot);
    end
  end
`endif

endmodule

`default_nettype wire
