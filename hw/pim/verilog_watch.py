"""A device's constraints, one by one, as Verilog that checks a stream of commands by time stamps.

Owns ``watch_file``. Imports the device and what the rules' file says of commands. It shares no
grouping with the rules that the sequencer goes by.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateformer.hw.pim.device import Device, Level
from gateformer.hw.pim.verilog_rules import (
    MODULES,
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
    arms = "".join(
        f"        {verilog_name(name)}: begin\n{lines}        end\n"
        for name in commands
        if (lines := "".join(_gaps(device, strict, name, commands)))
    )
    tasks = "".join(_task(level) for level in ("channel", "bankgroup", "bank"))
    return f"""{header}
// gf_pim_watch_timing: whether a channel's commands keep their distances.
//
// It keeps the clocks of the last {depth} commands of each kind, of the channel, of each group and of
// each bank, and asks every constraint of the device anew. Simulation only.
//
//   violation  the command of the clock before came too early

`default_nettype none

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
  localparam [31:0] PerGroup = BanksPerGroup;
  // Commands of a single bank: ACT, PRE, RD, RDA, WR, WRA, MAC, RDCP, WRCP, REFpb.
  localparam [31:0] Single = 32'h0040_C7C9;
{command_constants(commands)}
  // Entry (instance x 32 + command) x Depth + n - 1: the clock of the n-th last one; 0: none.
  reg [47:0] channel_clocks [0:32*Depth-1];
  reg [47:0] group_clocks [0:32*Groups*Depth-1];
  reg [47:0] bank_clocks [0:32*Banks*Depth-1];
  reg [47:0] now;
  integer group;
  integer number;
  integer i;

  task too_early;
    input [4:0] after;
    input [47:0] last;
    input [31:0] wait_clocks;
    input [8*48-1:0] text;
    begin
      if (last != 48'd0 && now < last + {{16'd0, wait_clocks}}) begin
        violation <= 1'b1;
        $display("ERROR %m: clock %0d: command %0d of bank %0d comes %0d clocks after command %0d",
                 now, command, bank, now - last, after, ", not %0d: %0s", wait_clocks, text);
      end
    end
  endtask
{tasks}
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
      case (command)
{arms}        default: ;
      endcase
      for (i = Depth - 1; i >= 0; i = i - 1) begin
        channel_clocks[command*Depth + i] <= (i == 0) ? now : channel_clocks[command*Depth + i - 1];
        if (Single[command]) begin
          group_clocks[(32*group + command)*Depth + i] <=
            (i == 0) ? now : group_clocks[(32*group + command)*Depth + i - 1];
          bank_clocks[(32*number + command)*Depth + i] <=
            (i == 0) ? now : bank_clocks[(32*number + command)*Depth + i - 1];
        end
      end
    end
  end

endmodule

`default_nettype wire
"""


def _task(level: Level) -> str:
    """Return the task that asks for one constraint at a level."""
    own = MODULES[level]
    place = {"channel": "after", "bankgroup": "32*group + after", "bank": "32*number + after"}[level]
    return f"""
  task of_{own};
    input [4:0] after;
    input [31:0] window;
    input [31:0] wait_clocks;
    input [8*48-1:0] text;
    begin
      too_early(after, {own}_clocks[({place})*Depth + window - 1], wait_clocks, text);
    end
  endtask
"""


def _gaps(device: Device, strict: bool, before: str, commands: Sequence[str]) -> list[str]:
    """Return a line for each command that this one waits for, constraint by constraint."""
    return [
        f"          of_{MODULES[one.level]}({verilog_name(after)}, {one.window}, {one.wait},"
        f' "{one.text}");\n'
        for one in constraints(device, strict)
        if before in one.before and one.wait > 0 and reaches(before, one.level)
        for after in one.after
        if after in commands and reaches(after, one.level)
    ]
