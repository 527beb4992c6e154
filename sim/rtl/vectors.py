"""A module's outputs for a list of inputs, one a clock, on Icarus or compiled by Verilator.

Owns ``Ports`` and ``stream``. Imports the build cache and the tools. The bench is Verilog that
reads and writes text, so that both simulators run the same one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path

from gateformer.quant.errors import MismatchError
from gateformer.quant.tools import require_tool
from gateformer.sim.rtl.build import cached, content_key, write_sources
from gateformer.sim.rtl.tools import Simulator, run_tool, tool_version, verilator_environment

BENCH = "bench.v"
VERILATOR_OPTIONS = (
    "--binary", "--timing", "-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-assign", "fast",
    "--x-initial", "unique", "-CFLAGS", "-std=c++20 -fcoroutines", "-MAKEFLAGS", "OPT_FAST=-O1",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ports:
    """What of a module is driven and read.

    Attributes
    ----------
    inputs, outputs : mapping of str to int
        Bits by port, without the clock.
    clock : bool
        Whether it has a port ``clk``.
    parameters : mapping of str to int
        Its parameters.
    latency : int
        Clocks from inputs to their outputs.
    """

    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    clock: bool = True
    parameters: Mapping[str, int] = field(default_factory=dict)
    latency: int = 0


def stream(
    simulator: Simulator,
    files: Mapping[str, str],
    top: str,
    ports: Ports,
    words: Sequence[Sequence[int]],
    *,
    work: Path,
    cache: Path,
) -> list[tuple[int, ...]]:
    """Return a module's outputs for inputs that come one a clock.

    Parameters
    ----------
    simulator : {"icarus", "verilator"}
        Icarus starts at once, Verilator runs faster.
    files : mapping of str to str
        Verilog by file name.
    top : str
        The module.
    ports : Ports
        Its ports.
    words : sequence of sequence of int, shape (clocks, inputs)
        For each clock a number a port, without sign.
    work : Path
        Folder to run in.
    cache : Path
        Folder of finished builds.

    Returns
    -------
    list of tuple of int, shape (clocks, outputs)
        Entry i is the answer to word i, taken ``latency`` clocks later; -1 for a number with
        undefined bits.

    Raises
    ------
    ToolError
        E501, E502 or E505 where a tool is missing or fails.
    MismatchError
        E405 where the simulation ends early.
    """
    program = _program(simulator, {**files, BENCH: bench_text(top, ports)}, cache)
    work.mkdir(parents=True, exist_ok=True)
    line = " ".join(f"%0{-(-bits // 4)}x" for bits in ports.inputs.values())
    flush = repeat(words[-1], ports.latency)
    text = "\n".join(line % tuple(word) for word in chain(words, flush))
    (work / "inputs.hex").write_text(f"{text}\n", encoding="utf-8")
    run_tool(program, work, os.environ, work / "simulation.log")
    answers = (work / "outputs.hex").read_text(encoding="utf-8").splitlines()[ports.latency :]
    found = [tuple(_number(one) for one in answer.split()) for answer in answers]
    if len(found) != len(words):
        raise MismatchError(
            "E405", f"{top} answered {len(found)} of {len(words)} words", fix=f"See {work}."
        )
    return found


def bench_text(top: str, ports: Ports) -> str:
    """Return the bench: inputs change between clock edges, outputs are read before the next."""
    declared = [f"  reg [{bits - 1}:0] {name};" for name, bits in ports.inputs.items()]
    declared += [f"  wire [{bits - 1}:0] {name};" for name, bits in ports.outputs.items()]
    names = [*ports.inputs, *ports.outputs]
    connected = ", ".join(f".{name}({name})" for name in ["clk"] * ports.clock + names)
    chosen = ", ".join(f".{name}({value})" for name, value in ports.parameters.items())
    return "\n".join([
        "`timescale 1ns / 1ps",
        "module bench;",
        "  reg clk = 1'b0;",
        "  integer in, out;",
        *declared,
        f"  {top} {f'#({chosen}) ' if chosen else ''}dut ({connected});",
        "  initial begin",
        '    in = $fopen("inputs.hex", "r");',
        '    out = $fopen("outputs.hex", "w");',
        f'    while ($fscanf(in, "{" ".join(["%h"] * len(ports.inputs))}\\n", '
        f"{', '.join(ports.inputs)}) == {len(ports.inputs)}) begin",
        "      #1;",
        f'      $fwrite(out, "{" ".join(["%h"] * len(ports.outputs))}\\n", '
        f"{', '.join(ports.outputs)});",
        "      #1 clk = 1'b1;",
        "      #1 clk = 1'b0;",
        "    end",
        "    $fclose(out);",
        "    $finish;",
        "  end",
        "endmodule",
        "",
    ])  # fmt: skip


def _number(text: str) -> int:
    return int(text, 16) if set(text).isdisjoint("xXzZ") else -1


def _program(simulator: Simulator, files: Mapping[str, str], cache: Path) -> list[str]:
    """Build the bench, or find it built; returns the command that runs it."""
    environment = dict(os.environ)
    if simulator == "icarus":
        require_tool("iverilog")
        options: tuple[str, ...] = ("-g2005", "-s", "bench")
    else:
        environment |= verilator_environment()
        options = (*VERILATOR_OPTIONS, "--top-module", "bench")
    key = content_key(files, simulator, tool_version(simulator), *options)

    def make(folder: Path) -> None:
        sources = write_sources(files, folder)
        if simulator == "icarus":
            command = ["iverilog", *options, "-o", str(folder / "bench"), *sources]
        else:
            command = ["verilator", *options, "-Mdir", str(folder / "model"), *sources]
            command += ["-o", str(folder / "bench")]
        run_tool(command, folder, environment, cache / f"{key}.log")

    program = str(cached(cache / key, make) / "bench")
    return ["vvp", "-n", program] if simulator == "icarus" else [program]
