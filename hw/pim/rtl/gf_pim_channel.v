// gf_pim_channel: a channel: its queue, its sequencer and timing, its banks, and their buffer.
//
// Commands go over command_*: at most one a clock, and the instruction that it serves (REFab and
// REFpb are operations 21 and 22 here). Their numbers go over three ports:
//
//   write_*   WRGB, WRMAC16, WR and WRA16 take theirs in the clock in which they issue
//             (write_take). WRGB: an access for the buffer. WRMAC16: lane b is bank b's sum. WR: an
//             access of which write_bytes says what is written. WRA16: the same for all banks.
//   read_*    what RD reads, ReadClocks after it issued
//   result_*  what RDMAC16 reads, lane b from bank b, ResultClocks after it issued. RDAF16 gives
//             NaN in all lanes: AF has its time only.
//
// What a command does with numbers is done in the order of the commands: whatever issues later sees
// it, however few clocks later.
//
//   MAC, MAC16  column + i of the open row times slot + i Step of the buffer
//   RDCP, WRCP  column + i of the bank to and from slot + i of the buffer
//   EWMUL16     in each group: column + i of bank 0 times that of bank 1, into bank 2; nothing
//               where a group has fewer banks

`default_nettype none

module gf_pim_channel #(
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
  parameter Postponed = 0,
  parameter PerBank = 0,
  parameter ReadClocks = 26,
  parameter ResultClocks = 2
) (
  input  wire                               clk,
  input  wire                               rst,
  input  wire                               refresh_due,
  input  wire                               push,
  input  wire                               push_blocks,
  input  wire [4:0]                         push_op,
  input  wire [15:0]                        push_size,
  input  wire [7:0]                         push_bank,
  input  wire [29:0]                        push_row,
  input  wire [15:0]                        push_column,
  input  wire [15:0]                        push_slot,
  output wire                               busy,
  output wire                               finished,
  output wire                               command_valid,
  output wire [4:0]                         command,
  output wire [4:0]                         command_op,
  output wire [7:0]                         command_bank,
  output wire [29:0]                        command_row,
  output wire [15:0]                        command_column,
  output wire                               write_take,
  input  wire [DataBits-1:0]                write_data,
  input  wire [AccessBits/8-1:0]            write_bytes,
  output wire                               read_valid,
  output wire [AccessBits-1:0]              read_data,
  output wire                               result_valid,
  output wire [16*Groups*BanksPerGroup-1:0] result_data
);

  localparam Banks = Groups * BanksPerGroup;
  localparam AccessBytes = AccessBits / 8;
  localparam EntryBits = 5 + 8 + 30 + 16 + 16;
  localparam MacClocks = MacStages + 1;
  localparam [31:0] SlotStep = Step;
  localparam [4:0] Act = 5'd0;
  localparam [4:0] Act16 = 5'd2;
  localparam [4:0] Pre = 5'd3;
  localparam [4:0] Prea = 5'd5;
  localparam [4:0] Rd = 5'd6;
  localparam [4:0] Wr = 5'd8;
  localparam [4:0] Mac = 5'd10;
  localparam [4:0] Mac16 = 5'd11;
  localparam [4:0] Ewmul16 = 5'd13;
  localparam [4:0] Rdcp = 5'd14;
  localparam [4:0] Wrcp = 5'd15;
  localparam [4:0] Wrgb = 5'd16;
  localparam [4:0] Rdmac16 = 5'd17;
  localparam [4:0] Rdaf16 = 5'd18;
  localparam [4:0] Wrmac16 = 5'd19;
  localparam [4:0] Wra16 = 5'd20;
  localparam [4:0] Refresh = (PerBank != 0) ? 5'd22 : 5'd21;

  // The head of the queue, and what it asks for.
  wire filling;
  wire head_valid;
  wire head_last;
  wire pop;
  wire [4:0] head_op;
  wire [7:0] head_bank;
  wire [29:0] head_row;
  wire [15:0] head_column;
  wire [15:0] head_slot;
  wire [15:0] index;
  wire [4:0] head_command;
  wire head_register_mode;
  wire head_all_rows;
  wire head_one_row;
  wire head_blocks;
  wire unused_host_only;
  wire unused_known;

  gf_pim_queue #(.Bits(EntryBits), .Depth(Queue)) queue (
    .clk(clk), .rst(rst),
    .push(push), .push_entry({push_op, push_bank, push_row, push_column, push_slot}),
    .push_size(push_size), .filling(filling),
    .valid(head_valid), .head({head_op, head_bank, head_row, head_column, head_slot}),
    .index(index), .last(head_last), .pop(pop)
  );

  gf_pim_decode decode (
    .op(head_op), .command(head_command), .register_mode(head_register_mode),
    .all_rows(head_all_rows), .one_row(head_one_row), .blocks(head_blocks),
    .host_only(unused_host_only), .known(unused_known)
  );

  // What is issued.
  wire [Banks-1:0] open;
  wire [Banks-1:0] open_at_row;
  wire [4:0] wanted;
  wire [7:0] bank;
  wire legal;
  wire switch_legal;
  wire refreshing;
  wire resume_held;
  wire [15:0] latency;

  gf_pim_sequencer #(
    .Banks(Banks), .Modes(Modes), .Postponed(Postponed), .PerBank(PerBank)
  ) sequencer (
    .clk(clk), .rst(rst), .refresh_due(refresh_due),
    .request_valid(head_valid), .request_command(head_command),
    .request_register_mode(head_register_mode), .request_all_rows(head_all_rows),
    .request_one_row(head_one_row), .request_blocks(head_blocks), .request_last(head_last),
    .request_bank(head_bank), .open(open), .open_at_row(open_at_row),
    .legal(legal), .switch_legal(switch_legal), .latency(latency),
    .issue(command_valid), .command(command), .wanted(wanted), .bank(bank),
    .refreshing(refreshing), .pop(pop), .resume_held(resume_held), .finished(finished)
  );

  gf_pim_timing #(.Groups(Groups), .BanksPerGroup(BanksPerGroup)) timing (
    .clk(clk), .rst(rst), .issue(command_valid), .command(command),
    .wanted(wanted), .bank(bank), .legal(legal), .switch_legal(switch_legal)
  );

  gf_pim_latency completes (.command(head_command), .clocks(latency));

  assign command_op = refreshing ? Refresh : head_op;
  assign command_bank = bank;
  assign command_row = head_row;
  assign command_column = head_column + index;

  // From an instruction that blocks to its completion the host waits.
  reg blocked;
  wire unblocked = pop && head_blocks && head_last;

  assign busy = filling || blocked || resume_held;

  always @(posedge clk) begin
    if (rst) begin
      blocked <= 1'b0;
    end else begin
      blocked <= ((push && push_blocks) || blocked) && !unblocked;
    end
  end

  // What the command does.
  wire multiply_all = command_valid && command == Mac16;
  wire multiply_one = command_valid && command == Mac;
  wire elementwise = command_valid && command == Ewmul16;
  wire from_bank = command_valid && command == Rdcp;
  wire to_bank = command_valid && command == Wrcp;
  wire write_buffer = command_valid && command == Wrgb;
  wire write_one = command_valid && command == Wr;
  wire write_all = command_valid && command == Wra16;
  wire read_one = command_valid && command == Rd;
  wire load_sums = command_valid && command == Wrmac16;
  wire read_sums = command_valid && command == Rdmac16;
  wire read_functions = command_valid && command == Rdaf16;
  wire activate_all = command_valid && command == Act16;
  wire precharge_all = (command_valid && command == Prea) || write_all;

  assign write_take = write_buffer || write_one || write_all || load_sums;

  // The buffer, and its numbers in the register that all banks share.
  wire multiplies = head_command == Mac || head_command == Mac16;
  wire [31:0] slot_offset = {16'd0, index} * (multiplies ? SlotStep : 32'd1);
  wire [15:0] slot = head_slot + slot_offset[15:0];
  wire [AccessBits*Banks-1:0] columns_data;
  wire [AccessBits-1:0] bank_data = columns_data[bank*AccessBits +: AccessBits];
  wire [Step*AccessBits-1:0] buffer_data;
  reg [Step*AccessBits-1:0] inputs;

  gf_pim_buffer #(.Slots(Slots), .AccessBits(AccessBits), .Step(Step)) buffer (
    .clk(clk), .write(write_buffer || from_bank),
    .write_slot(from_bank ? slot : command_column),
    .write_data(from_bank ? bank_data : write_data[AccessBits-1:0]),
    .slot(slot), .data(buffer_data)
  );

  always @(posedge clk) begin
    if (multiply_all || multiply_one) begin
      inputs <= buffer_data;
    end
  end

  // The banks.
  wire [AccessBits-1:0] access_data = to_bank ? buffer_data[AccessBits-1:0]
                                              : write_data[AccessBits-1:0];
  wire [AccessBytes-1:0] access_bytes = to_bank ? {AccessBytes{1'b1}} : write_bytes;
  wire [16*Banks-1:0] results;

  genvar g;
  genvar b;
  generate
    for (g = 0; g < Groups; g = g + 1) begin : gen_group
      localparam First = g * BanksPerGroup;
      wire [AccessBits-1:0] products;

      if (BanksPerGroup > 2) begin : gen_products
        // Zeros while there is nothing to multiply: a simulation then has less to do.
        wire [2*AccessBits-1:0] both = columns_data[First*AccessBits +: 2*AccessBits];
        wire [2*AccessBits-1:0] shown = elementwise ? both : {2*AccessBits{1'b0}};
        gf_pim_products #(.AccessBits(AccessBits)) multiply (
          .clk(clk), .a(shown[AccessBits-1:0]), .b(shown[2*AccessBits-1:AccessBits]),
          .products(products)
        );
      end else begin : gen_nothing
        assign products = {AccessBits{1'b0}};
      end

      for (b = First; b < First + BanksPerGroup; b = b + 1) begin : gen_bank
        wire here = {24'd0, bank} == b;
        wire takes_products = elementwise && b == First + 2;
        gf_pim_bank #(
          .Rows(Rows), .Columns(Columns), .AccessBits(AccessBits), .InputBits(Step * AccessBits),
          .WeightBits(WeightBits), .MacStages(MacStages), .Outside(Outside)
        ) own (
          .clk(clk), .rst(rst),
          .activate(activate_all || (here && command_valid && command == Act)),
          .precharge(precharge_all || (here && command_valid && command == Pre)),
          .row(head_row), .open(open[b]), .at_row(open_at_row[b]),
          .column(command_column), .column_data(columns_data[b*AccessBits +: AccessBits]),
          .write(write_all || (here && (write_one || to_bank)) || takes_products),
          .write_data(takes_products ? products : access_data),
          .write_bytes(takes_products ? {AccessBytes{1'b1}} : access_bytes),
          .multiply(multiply_all || (here && multiply_one)), .inputs(inputs),
          .load(load_sums), .bias(write_data[16*b +: 16]), .result(results[16*b +: 16])
        );
      end
    end
  endgenerate

  // What is read.
  wire results_now;
  wire functions_now;

  gf_pim_reply #(.Width(AccessBits), .Clocks(ReadClocks)) read_reply (
    .clk(clk), .rst(rst), .in_valid(read_one), .in(bank_data),
    .out_valid(read_valid), .out(read_data)
  );
  gf_valid_delay #(.Depth(MacClocks)) results_delay (
    .clk(clk), .rst(rst), .in(read_sums || read_functions), .out(results_now)
  );
  gf_valid_delay #(.Depth(MacClocks)) functions_delay (
    .clk(clk), .rst(rst), .in(read_functions), .out(functions_now)
  );
  gf_pim_reply #(.Width(16 * Banks), .Clocks(ResultClocks - MacClocks)) result_reply (
    .clk(clk), .rst(rst), .in_valid(results_now),
    .in(functions_now ? {Banks{16'h7FC0}} : results),
    .out_valid(result_valid), .out(result_data)
  );

endmodule

`default_nettype wire
