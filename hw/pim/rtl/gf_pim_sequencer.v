// gf_pim_sequencer: which command a channel issues in this clock, if any.
//
// The request at the queue's head asks for its own command or for what must come before it:
//
//   all rows  PREA where a bank is open at another row, else ACT16 where one is closed
//   one row   PRE where its bank is open at another row, ACT where it is closed
//   REFab     PREA where a bank is open
//   REFpb     PRE where its bank is open
//
// In the other mode (register or array; array at first) TMOD issues in its place, in the first
// clock in which both are legal. SYNC and EOC wait for the last completion and take one clock.
// After EOC the channel does nothing more.
//
// A refresh that is due goes before requests where more than Postponed are due, or where the
// queue is empty; one that has begun goes through. REFpb goes round the banks.
//
//   issue, command   a command goes out in this clock
//   refreshing       it is for a refresh, else for the head of the queue
//   pop              the head of the queue is done with
//
// All of it hangs on this clock's inputs and on earlier clocks.

`default_nettype none

module gf_pim_sequencer #(
  parameter Banks = 16,
  parameter Modes = 1,
  parameter Postponed = 0,
  parameter PerBank = 0
) (
  input  wire             clk,
  input  wire             rst,
  input  wire             refresh_due,
  input  wire             request_valid,
  input  wire [4:0]       request_command,
  input  wire             request_register_mode,
  input  wire             request_all_rows,
  input  wire             request_one_row,
  input  wire             request_blocks,
  input  wire             request_last,
  input  wire [7:0]       request_bank,
  input  wire [Banks-1:0] open,
  input  wire [Banks-1:0] open_at_row,
  input  wire             legal,
  input  wire             switch_legal,
  input  wire [15:0]      latency,
  output wire             issue,
  output wire [4:0]       command,
  output reg  [4:0]       wanted,
  output wire [7:0]       bank,
  output wire             refreshing,
  output wire             pop,
  output wire             resume_held,
  output reg              finished
);

  localparam [4:0] Act = 5'd0;
  localparam [4:0] Act16 = 5'd2;
  localparam [4:0] Pre = 5'd3;
  localparam [4:0] Prea = 5'd5;
  localparam [4:0] RefAb = 5'd21;
  localparam [4:0] RefPb = 5'd22;
  localparam [4:0] Tmod = 5'd23;
  localparam [4:0] Sync = 5'd24;
  localparam [4:0] Eoc = 5'd25;
  localparam [31:0] MostPostponed = Postponed;
  localparam [31:0] LastBank = Banks - 1;
  localparam BankBits = (Banks > 1) ? $clog2(Banks) : 1;

  reg [15:0] owed;
  reg begun;
  reg [7:0] refresh_bank;
  reg register_mode;

  // Refreshes: one that is due in this clock may issue in it.
  wire [15:0] owed_now = owed + {15'd0, refresh_due};
  wire urgent = begun || {16'd0, owed_now} > MostPostponed;
  assign refreshing = owed_now != 16'd0 && (urgent || !request_valid);
  assign bank = refreshing ? refresh_bank : request_bank;

  // What is asked for.
  wire any_open = |open;
  wire all_open = &open;
  wire any_other = |(open & ~open_at_row);
  wire [BankBits-1:0] bank_index = bank[BankBits-1:0];
  wire bank_open = open[bank_index];
  wire bank_at_row = open_at_row[bank_index];

  always @* begin
    wanted = request_command;
    if (refreshing && PerBank != 0) begin
      wanted = bank_open ? Pre : RefPb;
    end else if (refreshing) begin
      wanted = any_open ? Prea : RefAb;
    end else if (request_all_rows) begin
      if (any_other) begin
        wanted = Prea;
      end else if (!all_open) begin
        wanted = Act16;
      end
    end else if (request_one_row) begin
      if (!bank_open) begin
        wanted = Act;
      end else if (!bank_at_row) begin
        wanted = Pre;
      end
    end
  end

  // What goes out.
  wire barrier = !refreshing && (request_command == Sync || request_command == Eoc);
  wire wants_register_mode = !refreshing && request_register_mode;
  wire switch = Modes != 0 && wants_register_mode != register_mode;
  wire active = !rst && !finished && (refreshing || request_valid);
  wire completion_held;
  wire barrier_passes = active && barrier && !completion_held;

  assign issue = active && !barrier && legal && (!switch || switch_legal);
  assign command = switch ? Tmod : wanted;

  wire served = issue && !switch && !refreshing && wanted == request_command;
  wire refreshed = issue && !switch && refreshing && (wanted == RefAb || wanted == RefPb);
  assign pop = served || barrier_passes;

  // A command of clock t completes in t + latency: SYNC goes then, the host a clock later.
  wire [15:0] until_completed = (served && latency != 16'd0) ? latency - 16'd1 : 16'd0;
  wire resumes = pop && request_blocks && request_last;
  wire [15:0] until_resumed = !resumes ? 16'd0 : served ? latency : 16'd1;

  gf_pim_countdown #(.Bits(16)) completion (
    .clk(clk), .rst(rst), .load(until_completed), .held(completion_held)
  );
  gf_pim_countdown #(.Bits(16)) resume (
    .clk(clk), .rst(rst), .load(until_resumed), .held(resume_held)
  );

  always @(posedge clk) begin
    if (rst) begin
      owed <= 16'd0;
      begun <= 1'b0;
      refresh_bank <= 8'd0;
      register_mode <= 1'b0;
      finished <= 1'b0;
    end else begin
      owed <= owed_now - {15'd0, refreshed};
      if (issue && (refreshing || switch)) begin
        begun <= refreshing && !refreshed;
      end
      if (refreshed) begin
        refresh_bank <= (refresh_bank == LastBank[7:0]) ? 8'd0 : refresh_bank + 8'd1;
      end
      if (issue && switch) begin
        register_mode <= wants_register_mode;
      end
      if (barrier_passes && request_command == Eoc) begin
        finished <= 1'b1;
      end
    end
  end

endmodule

`default_nettype wire
