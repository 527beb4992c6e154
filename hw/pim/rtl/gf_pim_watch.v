// gf_pim_watch: a second opinion on every command of a channel.
//
// It sees the command bus alone and shares nothing with the sequencer: it keeps the clock of each
// command (gf_pim_watch_timing, generated from the device's constraints one by one), the open rows
// and the mode, and says so in words where a command
//
//   comes too early after another one       reads or writes a bank that is closed
//   reads or writes a row that is not open  opens an open bank, or refreshes one
//   is for the other mode                   addresses what is not there
//   is none that this memory has
//
//   violation  the command of the clock before was illegal
//
// Of several things that are wrong it names one. It goes on as if the open rows and the mode had
// been what the command needs. Simulation only.

`default_nettype none
`ifndef SYNTHESIS

module gf_pim_watch #(
  parameter Groups = 4,
  parameter BanksPerGroup = 4,
  parameter Rows = 64,
  parameter Columns = 64,
  parameter Slots = 64,
  parameter Modes = 1
) (
  input  wire        clk,
  input  wire        rst,
  input  wire        valid,
  input  wire [4:0]  command,
  input  wire [7:0]  bank,
  input  wire [29:0] row,
  input  wire [15:0] column,
  output wire        violation
);

  localparam Banks = Groups * BanksPerGroup;
  localparam [31:0] MostBanks = Banks;
  localparam [31:0] MostRows = Rows;
  localparam [31:0] MostColumns = Columns;
  localparam [31:0] MostSlots = Slots;
  localparam [29:0] FirstPseudoRow = 30'h2000_0000;
  localparam [4:0] Act = 5'd0;
  localparam [4:0] Act16 = 5'd2;
  localparam [4:0] Pre = 5'd3;
  localparam [4:0] Prea = 5'd5;
  localparam [4:0] Rd = 5'd6;
  localparam [4:0] Wr = 5'd8;
  localparam [4:0] Mac = 5'd10;
  localparam [4:0] Mac16 = 5'd11;
  localparam [4:0] Af16 = 5'd12;
  localparam [4:0] Ewmul16 = 5'd13;
  localparam [4:0] Rdcp = 5'd14;
  localparam [4:0] Wrcp = 5'd15;
  localparam [4:0] Wrgb = 5'd16;
  localparam [4:0] Rdmac16 = 5'd17;
  localparam [4:0] Rdaf16 = 5'd18;
  localparam [4:0] Wrmac16 = 5'd19;
  localparam [4:0] Wra16 = 5'd20;
  localparam [4:0] RefAb = 5'd21;
  localparam [4:0] RefPb = 5'd22;
  localparam [4:0] Tmod = 5'd23;

  // What kind of command it is.
  wire registers = command == Wrgb || command == Rdmac16 || command == Rdaf16 || command == Wrmac16;
  wire one_access = command == Rd || command == Wr || command == Mac || command == Rdcp
                 || command == Wrcp;
  wire all_access = command == Mac16 || command == Af16 || command == Ewmul16 || command == Wra16;
  wire activates = command == Act || command == Act16;
  wire refreshes = command == RefAb || command == RefPb;
  wire one_bank = one_access || command == Act || command == Pre || command == RefPb;
  wire known = registers || one_access || all_access || activates || refreshes
            || command == Pre || command == Prea || (command == Tmod && Modes != 0);

  reg register_mode;
  reg [Banks-1:0] open;
  reg [29:0] rows [0:Banks-1];
  reg state_violation;
  reg [8*32-1:0] problem;
  wire timing_violation;
  integer i;

  assign violation = state_violation || timing_violation;

  gf_pim_watch_timing #(.Groups(Groups), .BanksPerGroup(BanksPerGroup)) timing (
    .clk(clk), .rst(rst), .valid(valid), .command(command), .bank(bank),
    .violation(timing_violation)
  );

  always @(posedge clk) begin
    state_violation <= 1'b0;
    problem = {8*32{1'b0}};
    if (rst) begin
      register_mode <= 1'b0;
      open <= {Banks{1'b0}};
    end else if (valid) begin
      if (!known) begin
        problem = "unknown command";
      end
      if (one_bank && {24'd0, bank} >= MostBanks) begin
        problem = "no such bank";
      end
      if ((activates || one_access || all_access) && {2'd0, row} >= MostRows
          && !(row >= FirstPseudoRow && (command == Act16 || command == Af16))) begin
        problem = "no such row";
      end
      if ((one_access || all_access) && command != Af16 && {16'd0, column} >= MostColumns) begin
        problem = "no such column";
      end
      if (command == Wrgb && {16'd0, column} >= MostSlots) begin
        problem = "no such slot of the buffer";
      end
      if (Modes != 0 && known && command != Tmod && registers != register_mode) begin
        problem = "a TMOD is missing";
        register_mode <= registers;
      end
      if (command == Tmod) begin
        register_mode <= !register_mode;
      end
      for (i = 0; i < Banks; i = i + 1) begin
        if ((one_bank && {24'd0, bank} == i) || all_access || command == Act16
            || command == Prea || command == RefAb) begin
          if ((one_access || all_access) && !open[i]) begin
            problem = "closed row";
          end
          if ((one_access || all_access) && open[i] && rows[i] != row) begin
            problem = "wrong row";
          end
          if (activates && open[i] && (command == Act || rows[i] != row)) begin
            problem = "open bank";
          end
          if (refreshes && open[i]) begin
            problem = "open bank";
          end
          open[i] <= activates || one_access || (all_access && command != Wra16);
          if (activates || one_access || all_access) begin
            rows[i] <= row;
          end
        end
      end
      if (problem != {8*32{1'b0}}) begin
        state_violation <= 1'b1;
        $display("ERROR %m: command %0d, bank %0d, row %0d, column %0d: %0s", command, bank, row,
                 column, problem);
      end
    end
  end

endmodule

`endif
`default_nettype wire
