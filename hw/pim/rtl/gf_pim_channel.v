// gf_pim_channel: queue, sequencer, timing and banks of one channel.
`default_nettype none

module gf_pim_channel #(
  parameter Groups = 4,
  parameter BanksPerGroup = 4,
  parameter Queue = 33,
  parameter Modes = 1,
  parameter Postponed = 0,
  parameter PerBank = 0
) (
  input  wire        clk,
  input  wire        rst,
  input  wire        refresh_due,
  input  wire        push,
  input  wire [4:0]  push_op,
  input  wire [15:0] push_size,
  input  wire [7:0]  push_bank,
  input  wire [29:0] push_row,
  input  wire [15:0] push_column,
  input  wire [15:0] push_slot,
  output wire        busy,
  output wire        finished,
  output wire        command_valid,
  output wire [4:0]  command,
  output wire [4:0]  command_op,
  output wire [7:0]  command_bank,
  output wire [29:0] command_row,
  output wire [15:0] command_column
);

  localparam Banks = Groups * BanksPerGroup;
  localparam [4:0] Act = 5'd0;
  localparam [4:0] Act16 = 5'd2;
  localparam [4:0] Pre = 5'd3;
  localparam [4:0] Prea = 5'd5;
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

  gf_pim_queue #(.Bits(75), .Depth(Queue)) queue (
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

  // From the instruction that blocks to its completion the host waits.
  reg blocked;
  wire unblocked = pop && head_blocks && head_last;
  wire push_blocks;
  wire [8:0] unused_push;

  gf_pim_decode push_decode (
    .op(push_op), .command(unused_push[4:0]), .register_mode(unused_push[5]),
    .all_rows(unused_push[6]), .one_row(unused_push[7]), .blocks(push_blocks),
    .host_only(unused_push[8]), .known()
  );
  assign busy = filling || blocked || resume_held;

  always @(posedge clk) begin
    if (rst) begin
      blocked <= 1'b0;
    end else begin
      blocked <= ((push && push_blocks) || blocked) && !unblocked;
    end
  end

  // The banks.
  wire every_activate = command_valid && command == Act16;
  wire every_precharge = command_valid && (command == Prea || command == Wra16);

  genvar b;
  generate
    for (b = 0; b < Banks; b = b + 1) begin : gen_bank
      wire here = command_valid && {24'd0, bank} == b;
      gf_pim_bank own (
        .clk(clk), .rst(rst), .activate(every_activate || (here && command == Act)),
        .precharge(every_precharge || (here && command == Pre)),
        .row(head_row), .open(open[b]), .at_row(open_at_row[b])
      );
    end
  endgenerate

endmodule

`default_nettype wire
