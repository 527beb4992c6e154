"""Every number of a device's generated rules a clock more and a clock less, in one circuit.

Owns ``Wait``, ``seeded`` and ``run``. All faults are in one text: a register of the bench says
which one is in force, so that one build on Verilator runs them all. The bench sends programs to the
memory and writes a sum over clocks and commands of each, which Python compares with the engine's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rtl.pim_memory import Memory

from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.verilog import TOP, emit
from gateformer.sim.dram import engine
from gateformer.sim.pim.rtl.run import encoded
from gateformer.sim.rtl.tools import run_tool, verilator_environment
from gateformer.sim.rtl.vectors import VERILATOR_OPTIONS

FACTOR = 6364136223846793005
LOAD = re.compile(r"^( +)([\w, ]+): (\w+)_load = (\d+)'d(\d+);$", re.MULTILINE)
LATENCY = re.compile(r"^( +)(\w+): clocks = 16'd(\d+);$", re.MULTILINE)
WINDOW = re.compile(
    r"  gf_pim_window #\(\.Clocks\((\d+)\), \.Most\((\d+)\)\) (\w+) \(\n"
    r"(.*?)\.held\((\w+)\)\n  \);",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Wait:
    """A number of the rules and what it is changed by.

    Attributes
    ----------
    level : str
        Its module: channel, group, bank or latency.
    after : tuple of str
        Commands that begin the wait.
    before : str
        The first of the commands that wait together; "" of a latency.
    clocks : int
        The number.
    change : int
        What it is changed by.
    """

    level: str
    after: tuple[str, ...]
    before: str
    clocks: int
    change: int

    @property
    def name(self) -> str:
        """Its name in a report."""
        what = f"{', '.join(self.after)} -> {self.before or 'completion'}"
        return f"{self.level}: {what}: {self.clocks} {self.change:+d}"


def seeded(rules: str) -> tuple[str, list[Wait]]:
    """Return the rules' text with all faults in it, and the faults; number 1 is the first."""
    faults: list[Wait] = []
    parts = re.split(r"(?=^module gf_pim_)", rules, flags=re.MULTILINE)
    return "".join(parts[:1] + [_seeded(part, faults) for part in parts[1:]]), faults


def _seeded(text: str, faults: list[Wait]) -> str:
    named = re.match(r"module gf_pim_(?:rules_)?(\w+)", text)
    assert named is not None
    level = named[1]

    def changed(after: str, before: str, clocks: int) -> str:
        commands = tuple(one.strip().upper() for one in after.split(","))
        faults.extend(Wait(level, commands, before.upper(), clocks, change) for change in (1, -1))
        return f"(rules_bench.fault == {len(faults) - 1}) - (rules_bench.fault == {len(faults)})"

    def load(found: re.Match[str]) -> str:
        space, after, before, bits, clocks = found.groups()
        if after == "default":
            return found[0]
        wide = int(bits) + 1
        terms = changed(after, before, int(clocks) + 1)
        return f"{space}{after}: {before}_load = {wide}'d{clocks} + {terms};"

    def latency(found: re.Match[str]) -> str:
        space, after, clocks = found.groups()
        return f"{space}{after}: clocks = 16'd{clocks} + {changed(after, '', int(clocks))};"

    def window(found: re.Match[str]) -> str:
        clocks, most, name, ports, held = found.groups()
        text, choice = "", f"{name}_0"
        for number, (more, others) in enumerate(((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))):
            wire = f"{name}_{number}"
            text += f"  wire {wire};\n  gf_pim_window #(.Clocks({int(clocks) + more}), "
            text += f".Most({int(most) + others})) {wire}_window (\n{ports}.held({wire})\n  );\n"
            if number:
                kept = int(most if others else clocks)
                faults.append(Wait(level, ("ACT",), "ACT in a window", kept, more + others))
                choice = f"(rules_bench.fault == {len(faults)}) ? {wire} : {choice}"
        return f"{text}  assign {held} = {choice};"

    text = re.sub(
        r"reg \[(\d+):0\] (\w+_load);", lambda m: f"reg [{int(m[1]) + 1}:0] {m[2]};", text
    )
    text = re.sub(r"#\(\.Bits\((\d+)\)\)", lambda m: f"#(.Bits({int(m[1]) + 1}))", text)
    return LATENCY.sub(latency, LOAD.sub(load, WINDOW.sub(window, text)))


BENCH = """
`timescale 1ns / 1ps
module rules_bench;
  reg clk = 1'b0;
  reg rst = 1'b1;
  integer fault, number, at, file, violations;
  reg [31:0] now;
  reg [63:0] sum;
  reg [159:0] words [0:{words}];
  reg [31:0] firsts [0:{programs}];
  wire ready, valid, finished, violation;
  wire [4:0] command;
  wire [159:0] word = words[at];
  reg offered = 1'b0;
  reg taken;
  {top} dut (
    .clk(clk), .rst(rst), .instruction_valid(offered), .instruction_ready(ready),
    .instruction_op(word[132:128]), .instruction_size(word[127:112]),
    .instruction_channels(word[96]), .instruction_bank(word[111:104]),
    .instruction_row(word[93:64]), .instruction_column(word[63:48]),
    .instruction_slot(word[47:32]), .instruction_value(word[28:0]),
    .command_valid(valid), .command(command), .finished(finished), .violation(violation),
    .write_data(0), .write_bytes(0)
  );
  initial begin
    $readmemh("words.hex", words);
    $readmemh("firsts.hex", firsts);
    file = $fopen("sums.txt", "w");
    for (fault = 0; fault <= {faults}; fault = fault + 1) begin
      for (number = 0; number < {programs}; number = number + 1) begin
        at = firsts[number];
        rst = 1'b1;
        offered = 1'b0;
        repeat (2) begin
          #1 clk = 1'b1;
          #1 clk = 1'b0;
        end
        rst = 1'b0;
        now = 1;
        sum = 0;
        violations = 0;
        offered = 1'b1;
        #1;
        while (!finished && now < 100000) begin
          if (valid) sum = sum * 64'd{factor} + {{27'd0, now, command}};
          violations = violations + violation;
          taken = offered && ready;
          #1 clk = 1'b1;
          #1 clk = 1'b0;
          if (taken) at = at + 1;
          now = now + 1;
          #1;
        end
        $fdisplay(file, "%0d %h %0d", now, sum, violations);
      end
    end
    $fclose(file);
    $finish;
  end
endmodule
"""
"""One channel; a word is an instruction, its fields as ``_word`` has them."""


@dataclass(frozen=True, slots=True)
class Results:
    """What programs do with each fault, the first row without one.

    Attributes
    ----------
    faults : list of Wait
    differs : bool array, (1 + faults, programs)
        Whether clocks and commands are not the engine's.
    violations : int64 array, (1 + faults, programs)
        Commands that the watch found illegal.
    """

    faults: list[Wait]
    differs: np.ndarray
    violations: np.ndarray


def run(one: Memory, programs: Sequence[Sequence[Instruction]], folder: Path) -> Results:
    """Run programs on a memory of one channel with each fault of its rules."""
    files = emit(
        one.device,
        policy=one.refresh.policy,
        interval=one.refresh.interval(one.device),
        postponed=one.refresh.postponed,
        strict=one.strict,
        queue=one.queue,
    )
    rules = f"gf_pim_rules_{one.device.name}.v"
    files[rules], faults = seeded(files[rules])
    rows = [encoded(program) for program in programs]
    firsts = np.cumsum([0, *(len(each) for each in rows)])
    files["rules_bench.v"] = BENCH.format(
        top=TOP, words=firsts[-1], programs=len(rows), faults=len(faults), factor=FACTOR
    )
    (folder / "words.hex").write_text("\n".join(map(_word, np.concatenate(rows).tolist())) + "\n")
    (folder / "firsts.hex").write_text("\n".join(f"{each:x}" for each in firsts) + "\n")
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    # The watch is there once only, so its tasks may reach its registers.
    command = ["verilator", *VERILATOR_OPTIONS, "-Wno-IMPURE", "--top-module", "rules_bench"]
    environment = dict(os.environ) | verilator_environment()
    run_tool(
        [*command, *files, "-Mdir", "model", "-o", "bench"],
        folder,
        environment,
        folder / "build.log",
    )
    run_tool([str(folder / "model" / "bench")], folder, os.environ, folder / "run.log")
    found = [line.split() for line in (folder / "sums.txt").read_text().splitlines()]
    shape = (1 + len(faults), len(rows))
    sums = np.array([int(each[1], 16) for each in found], np.uint64).reshape(shape)
    clocks = np.array([int(each[0]) for each in found]).reshape(shape)
    expected = [_expected(one, program) for program in programs]
    wrong = (sums != [each[1] for each in expected]) | (clocks != [each[0] for each in expected])
    violations = np.array([int(each[2]) for each in found]).reshape(shape)
    return Results(faults, wrong, violations)


def _word(row: list[int]) -> str:
    op, size, channels, bank, place, column, slot, value = row
    return f"{op:02x}{size:04x}{bank:02x}{channels:02x}{place:08x}{column:04x}{slot:04x}{value:08x}"


def _expected(one: Memory, program: Sequence[Instruction]) -> tuple[int, np.uint64]:
    """Return the engine's clocks, and its sum over clocks and commands."""
    done = engine.run(
        program, one.device, refresh=one.refresh, log=True, strict=one.strict, queue=one.queue
    )
    assert done.commands is not None
    total = 0
    for clock, command in zip(done.commands.clock, done.commands.command, strict=True):
        total = (total * FACTOR + (int(clock) << 5 | int(command))) % 2**64
    return done.clocks, np.uint64(total)
