// gf_pim_timing: whether a channel's next command is legal in this clock.
//
// Every command issued is told to the channel's rules; a command of a single bank is told to those
// of its group and its bank too. A command asks at its own level and at those above it. The rules
// (gf_pim_rules_channel, _group, _bank) are generated from the device.
//
//   legal         wanted may issue at this bank
//   switch_legal  TMOD may issue
//
// Both hang on the clocks before this one only.

`default_nettype none

module gf_pim_timing #(
  parameter Groups = 4,
  parameter BanksPerGroup = 4
) (
  input  wire       clk,
  input  wire       rst,
  input  wire       issue,
  input  wire [4:0] command,
  input  wire [4:0] wanted,
  input  wire [7:0] bank,
  output wire       legal,
  output wire       switch_legal
);

  localparam Banks = Groups * BanksPerGroup;
  localparam [31:0] PerGroup = BanksPerGroup;
  localparam [4:0] Tmod = 5'd23;

  // Commands of a single bank: ACT, PRE, RD, RDA, WR, WRA, MAC, RDCP, WRCP, REFpb.
  localparam [31:0] Single = 32'h0040_C7C9;

  wire [31:0] channel_held;
  wire [32*Groups-1:0] group_held;
  wire [32*Banks-1:0] bank_held;
  wire [31:0] whole_bank = {24'd0, bank};
  wire [31:0] group = whole_bank / PerGroup;
  wire near_held;

  assign near_held = group_held[{group[26:0], wanted}] || bank_held[{whole_bank[26:0], wanted}];
  assign legal = !channel_held[wanted] && !(Single[wanted] && near_held);
  assign switch_legal = !channel_held[Tmod];

  gf_pim_rules_channel channel_rules (
    .clk(clk), .rst(rst), .issue(issue), .command(command), .held(channel_held)
  );

  genvar g;
  genvar b;
  generate
    for (g = 0; g < Groups; g = g + 1) begin : gen_group
      wire here = issue && Single[command] && group == g;
      gf_pim_rules_group rules (
        .clk(clk), .rst(rst), .issue(here), .command(command), .held(group_held[32*g +: 32])
      );
    end
    for (b = 0; b < Banks; b = b + 1) begin : gen_bank
      wire here = issue && Single[command] && whole_bank == b;
      gf_pim_rules_bank rules (
        .clk(clk), .rst(rst), .issue(here), .command(command), .held(bank_held[32*b +: 32])
      );
    end
  endgenerate

endmodule

`default_nettype wire
