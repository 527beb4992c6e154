"""A device's constraints, one by one, as Verilog that checks a stream of commands by time stamps.

Owns ``watch_file``. Imports the device and what the rules' file says of commands. It shares no
grouping with the rules that the sequencer goes by.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateformer.hw.pim.device import Device, Level
from gateformer.hw.pim.verilog_rules import (
    command_constants,
    constraints,
    issued,
    reaches,
    verilog_name,
)


def watch_file(device: Device, policy: str, strict: bool, header: str) -> str:
    """Return the text of ``gf_pim_watch_<device>.v``.

    Parameters
    ----------
    device, policy, strict, header
        As for ``verilog_rules.rules_file``.
    """
    commands = issued(device, policy)
    depth = max((one.window for one in constraints(device, strict)), default=1)
    rules: list[tuple[str, str]] = []
    edges: list[str] = []
    for name in commands:
        found = _rules(device, strict, name, commands)
        first, last = len(rules), len(rules) + len(found)
        if found:
            edges += [f"    first[{verilog_name(name)}] = {first};  "]
            edges += [f"last[{verilog_name(name)}] = {last};\n"]
        rules += found
    table = "".join(
        f'    rules[{at}] = {{{fields}}};  texts[{at}] = "{text}";\n'
        for at, (fields, text) in enumerate(rules)
    )
    return f"""{header}
// gf_pim_watch_timing: whether a channel's commands keep their distances.
//
// It keeps the clocks of the last {depth} commands of each kind, of the channel, of each group and
// of each bank, and asks every constraint of the device anew. Simulation only.
//
//   violation  the command of the clock before came too early

`default_nettype none
`ifndef SYNTHESIS

module gf_pim_watch_timing #(
  parameter Groups = 4,
  parameter BanksPerGroup = 4
) (
  input  wire       clk,
  input  wire       rst,
  input  wire       valid,
  input  wire [4:0] command,
  input  wire [7:0] bank,
  output reg        violation
);

  localparam Banks = Groups * BanksPerGroup;
  localparam Depth = {depth};
  localparam Rules = {len(rules)};
  localparam [31:0] PerGroup = BanksPerGroup;
  localparam [1:0] OfChannel = 2'd0;
  localparam [1:0] OfGroup = 2'd1;
  localparam [1:0] OfBank = 2'd2;
  // Commands of a single bank: ACT, PRE, RD, RDA, WR, WRA, MAC, RDCP, WRCP, REFpb.
  localparam [31:0] Single = 32'h0040_C7C9;
{command_constants(commands)}
  // The constraints: those of command n are first[n] to last[n] - 1. Each is a level, the command
  // before, how many of it back the wait counts from, and the wait.
  reg [31:0] first [0:31];
  reg [31:0] last [0:31];
  reg [46:0] rules [0:Rules-1];
  reg [8*48-1:0] texts [0:Rules-1];
  reg [1:0] level;
  reg [4:0] after;
  reg [7:0] back;
  reg [31:0] wait_clocks;
  integer n;

  initial begin
    for (n = 0; n < 32; n = n + 1) begin
      first[n] = 0;
      last[n] = 0;
    end
{"".join(edges)}
{table}  end

  // Entry (instance x 32 + command) x Depth + n - 1: the clock of the n-th last one; 0: none.
  reg [47:0] channel_clocks [0:32*Depth-1];
  reg [47:0] group_clocks [0:32*Groups*Depth-1];
  reg [47:0] bank_clocks [0:32*Banks*Depth-1];
  reg [47:0] now;
  reg [47:0] since;
  integer group;
  integer number;
  integer own;
  integer place;
  integer nth;
  integer i;

  always @(posedge clk) begin
    violation <= 1'b0;
    if (rst) begin
      now <= 48'd1;
      for (i = 0; i < 32 * Depth; i = i + 1) begin
        channel_clocks[i] <= 48'd0;
      end
      for (i = 0; i < 32 * Groups * Depth; i = i + 1) begin
        group_clocks[i] <= 48'd0;
      end
      for (i = 0; i < 32 * Banks * Depth; i = i + 1) begin
        bank_clocks[i] <= 48'd0;
      end
    end else begin
      now <= now + 48'd1;
    end
    if (!rst && valid) begin
      number = {{24'd0, bank}};
      group = number / PerGroup;
      own = {{27'd0, command}};
      for (i = first[command]; i < last[command]; i = i + 1) begin
        {{level, after, back, wait_clocks}} = rules[i];
        place = {{27'd0, after}};
        nth = {{24'd0, back}} - 1;
        case (level)
          OfGroup: since = group_clocks[(32*group + place)*Depth + nth];
          OfBank: since = bank_clocks[(32*number + place)*Depth + nth];
          default: since = channel_clocks[place*Depth + nth];
        endcase
        if (since != 48'd0 && now < since + {{16'd0, wait_clocks}}) begin
          violation <= 1'b1;
          $display("ERROR %m: clock %0d: command %0d of bank %0d comes %0d clocks after %0d", now,
                   command, bank, now - since, after, ", not %0d: %0s", wait_clocks, texts[i]);
        end
      end
      for (i = 1; i < Depth; i = i + 1) begin
        channel_clocks[own*Depth + i] <= channel_clocks[own*Depth + i - 1];
        if (Single[command]) begin
          group_clocks[(32*group + own)*Depth + i] <= group_clocks[(32*group + own)*Depth + i - 1];
          bank_clocks[(32*number + own)*Depth + i] <= bank_clocks[(32*number + own)*Depth + i - 1];
        end
      end
      channel_clocks[own*Depth] <= now;
      if (Single[command]) begin
        group_clocks[(32*group + own)*Depth] <= now;
        bank_clocks[(32*number + own)*Depth] <= now;
      end
    end
  end

endmodule

`endif
`default_nettype wire
"""


PLACES: dict[Level, str] = {"channel": "OfChannel", "bankgroup": "OfGroup", "bank": "OfBank"}


def _rules(
    device: Device, strict: bool, before: str, commands: Sequence[str]
) -> list[tuple[str, str]]:
    """Return fields and text for each command that this one waits for, constraint by constraint."""
    return [
        (
            f"{PLACES[one.level]}, {verilog_name(after)}, 8'd{one.window}, 32'd{one.wait}",
            one.text,
        )
        for one in constraints(device, strict)
        if before in one.before and one.wait > 0 and reaches(before, one.level)
        for after in one.after
        if after in commands and reaches(after, one.level)
    ]
