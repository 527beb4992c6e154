"""A device's timing as Verilog: who waits after whom, at each level, as countdowns.

Owns ``rules_file``, ``issued`` and ``pairs``. Imports the device and the instruction set.

Commands that wait after the same commands for the same clocks share a countdown; a constraint with
a window has a shift register of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateformer.hw.pim.device import Constraint, Device, Level
from gateformer.hw.pim.isa import COMMANDS, OPS, SCOPES

LEVELS: tuple[Level, ...] = ("channel", "bankgroup", "bank")
MODULES: Mapping[Level, str] = {"channel": "channel", "bankgroup": "group", "bank": "bank"}
"""Level to the last part of its module's name."""
NUMBER = {name: number for number, name in enumerate(COMMANDS)}
REFRESHES = {"all-bank": "REFab", "per-bank": "REFpb"}
LATENCY_BITS = 16
COMMAND_BITS = 5


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a command waits after another one.

    Attributes
    ----------
    after : str
        The other command.
    clocks : int
        At least so many later it may issue.
    texts : tuple of str
        The sums of parameters that give these clocks.
    """

    after: str
    clocks: int
    texts: tuple[str, ...]


def issued(device: Device, policy: str) -> tuple[str, ...]:
    """Return the commands that a memory issues, in the order of ``isa.COMMANDS``.

    Parameters
    ----------
    device : Device
        The device.
    policy : {"none", "all-bank", "per-bank"}
        Its refresh.
    """
    names = {op.command for op in OPS.values()} | {"ACT", "ACT16", "PRE", "PREA"}
    names |= {"TMOD"} if device.organization.modes else set()
    names |= {REFRESHES[policy]} if policy in REFRESHES else set()
    return tuple(name for name in COMMANDS if name in names - {"SYNC", "EOC"})


def constraints(device: Device, strict: bool) -> tuple[Constraint, ...]:
    """Return the constraints in force."""
    return (*device.constraints, *(device.strict if strict else ()))


def pairs(
    rules: Iterable[Constraint], level: Level, commands: Sequence[str]
) -> dict[str, tuple[Wait, ...]]:
    """Return what each command waits for at a level, windows apart, in the commands' order.

    A wait of one clock is left out: a channel issues one command a clock. So is a command that the
    level never sees, as its scope is wider.
    """
    longest: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for one in rules:
        if one.level != level or one.window > 1 or one.wait <= 1:
            continue
        for before in one.before:
            for after in one.after:
                clocks, texts = longest.get((before, after), (0, []))
                if one.wait > clocks:
                    longest[before, after] = (one.wait, [one.text])
                elif one.wait == clocks and one.text not in texts:
                    texts.append(one.text)
    seen = tuple(name for name in commands if reaches(name, level))
    return {
        before: tuple(
            Wait(after, longest[before, after][0], tuple(longest[before, after][1]))
            for after in seen
            if (before, after) in longest
        )
        for before in seen
    }


def reaches(command: str, level: Level) -> bool:
    """Return whether a command counts at a level: at its own scope and above."""
    return LEVELS.index(SCOPES[command]) >= LEVELS.index(level)


def windows(
    rules: Iterable[Constraint], level: Level, commands: Sequence[str]
) -> list[tuple[str, Constraint]]:
    """Return the constraints with a window that may bind at a level, one for each ``after``."""
    return [
        (after, one)
        for one in rules
        if one.level == level and one.window > 1 and one.wait > 1
        for after in one.after
        if after in commands and reaches(after, level)
    ]


def rules_file(device: Device, policy: str, strict: bool, header: str) -> str:
    """Return the text of ``gf_pim_rules_<device>.v``.

    Parameters
    ----------
    device : Device
        Timing and constraints.
    policy : {"none", "all-bank", "per-bank"}
        Refresh: which commands there are.
    strict : bool
        Whether the device's strict constraints hold too.
    header : str
        What the file says of its origin, as comment lines.
    """
    commands = issued(device, policy)
    parts = [header, "\n`default_nettype none\n"]
    parts += [_level(device, level, commands, strict) for level in LEVELS]
    parts += [_latency(device, commands), "\n`default_nettype wire\n"]
    return "".join(parts)


def verilog_name(command: str) -> str:
    """Return a command's name as a Verilog constant: ``RDMAC16`` is ``Rdmac16``."""
    return command.capitalize()


def signal_name(command: str) -> str:
    """Return a command's name as part of a signal's."""
    return command.lower()


def command_constants(commands: Iterable[str]) -> str:
    """Return the localparams of commands."""
    return "".join(
        f"  localparam [4:0] {verilog_name(name)} = 5'd{NUMBER[name]};\n" for name in commands
    )


def _level(device: Device, level: Level, commands: Sequence[str], strict: bool) -> str:
    rules = constraints(device, strict)
    waits = {before: found for before, found in pairs(rules, level, commands).items() if found}
    classes: dict[tuple[Wait, ...], list[str]] = {}
    for before, found in waits.items():
        classes.setdefault(found, []).append(before)
    limited = windows(rules, level, commands)
    held: dict[str, list[str]] = {}
    body: list[str] = []
    for found, befores in classes.items():
        signal = f"{signal_name(befores[0])}_held"
        body.append(_countdown(befores, found))
        for before in befores:
            held.setdefault(before, []).append(signal)
    for number, (after, one) in enumerate(limited):
        befores = [name for name in one.before if name in commands and reaches(name, level)]
        signal = f"window{number}_held"
        body.append(_window(number, after, befores, one))
        for before in befores:
            held.setdefault(before, []).append(signal)
    used = [
        name
        for name in commands
        if any(name == wait.after for found in classes for wait in found)
        or any(name == after for after, _ in limited)
    ]
    own = MODULES[level]
    bits = "".join(
        f"  assign held[{number}] = {' || '.join(held.get(name, ['1' + chr(39) + 'b0']))};"
        f"  // {name}\n"
        for number, name in enumerate(COMMANDS)
    )
    return f"""
// gf_pim_rules_{own}: which commands must wait at {_place(level)}.
//
//   issue, command  a command goes out here in this clock
//   held[n]         command n of isa.COMMANDS must wait in this clock

module gf_pim_rules_{own} (
  input  wire        clk,
  input  wire        rst,
  input  wire        issue,
  input  wire [4:0]  command,
  output wire [31:0] held
);

{command_constants(used)}{"".join(body)}
{bits}  assign held[31:{len(COMMANDS)}] = {32 - len(COMMANDS)}'d0;

endmodule
"""


def _place(level: Level) -> str:
    return {"channel": "a channel", "bankgroup": "a group of banks", "bank": "a bank"}[level]


def _countdown(befores: Sequence[str], found: Sequence[Wait]) -> str:
    """Return the countdown of a class of commands."""
    signal = signal_name(befores[0])
    longest = max(wait.clocks for wait in found) - 1
    bits = longest.bit_length()
    same: dict[tuple[int, tuple[str, ...]], list[str]] = {}
    for wait in found:
        same.setdefault((wait.clocks, wait.texts), []).append(wait.after)
    arms = "".join(
        f"        // {'; '.join(texts)} = {clocks}\n"
        f"        {', '.join(map(verilog_name, afters))}: {signal}_load = {bits}'d{clocks - 1};\n"
        for (clocks, texts), afters in same.items()
    )
    return f"""
  // {", ".join(befores)}
  reg [{bits - 1}:0] {signal}_load;
  wire {signal}_held;

  always @* begin
    {signal}_load = {bits}'d0;
    if (issue) begin
      case (command)
{arms}        default: {signal}_load = {bits}'d0;
      endcase
    end
  end

  gf_pim_countdown #(.Bits({bits})) {signal}_wait (
    .clk(clk), .rst(rst), .load({signal}_load), .held({signal}_held)
  );
"""


def _window(number: int, after: str, befores: Sequence[str], one: Constraint) -> str:
    return f"""
  // {", ".join(befores)}: {one.text} = {one.wait} after the last {one.window} {after}
  wire window{number}_held;

  gf_pim_window #(.Clocks({one.wait}), .Most({one.window})) window{number} (
    .clk(clk), .rst(rst), .in(issue && command == {verilog_name(after)}),
    .held(window{number}_held)
  );
"""


LATENCIES: Mapping[str, str] = {
    "RDMAC16": "nCLREG + nBL",
    "RDAF16": "nCLREG + nBL",
    "WRGB": "nCWLGB + nBL",
    "WRMAC16": "nCWLREG + nBL",
    "RD": "nCL + nBL",
    "WR": "nCWL + nBL",
    "WRA16": "nCWL + nBL + nRP",
}
"""Command to its completion, in clocks after its issue; one clock for all others."""


def clocks_of(device: Device, text: str) -> int:
    """Return a sum of timing parameters, such as ``nCL + nBL``; one that is not given counts 0."""
    return sum(device.timing.get(name, 0) for name in text.split(" + "))


def _latency(device: Device, commands: Sequence[str]) -> str:
    known = [name for name in commands if name in LATENCIES]
    arms = "".join(
        f"      // {LATENCIES[name]}\n"
        f"      {verilog_name(name)}: clocks = {LATENCY_BITS}'d"
        f"{clocks_of(device, LATENCIES[name])};\n"
        for name in known
    )
    return f"""
// gf_pim_latency: clocks from a command to its completion.

module gf_pim_latency (
  input  wire [4:0]  command,
  output reg  [15:0] clocks
);

{command_constants(known)}
  always @* begin
    case (command)
{arms}      default: clocks = {LATENCY_BITS}'d1;
    endcase
  end

endmodule
"""
