"""The ASIC's Verilog, run on numbers.

Owns ``Operation``, ``run``, ``unary`` and the files that they need (``sources``). Imports the build
cache and the tools. Who calls it compares with ``hw.pim.functions`` and ``hw.pim.asic``.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray

from gateformer.quant.errors import MismatchError, ToolError
from gateformer.quant.tools import require_tool
from gateformer.sim.rtl.build import cached, content_key, write_sources
from gateformer.sim.rtl.tools import Simulator, run_tool, tool_version, verilator_environment

UNITS = (
    "add", "multiply", "accumulate", "rotary", "relu", "gelu", "silu", "softmax", "layernorm",
    "rmsnorm", "quantize", "maximum", "select", "merge", "share", "rescale",
)  # fmt: skip
"""Units of ``gf_pim_asic`` by their numbers."""
UNARY = {"exp": 27, "reciprocal": 23, "rsqrt": 24, "gelu": 66, "silu": 55}
"""Units of one number, and the clocks from it to its result."""
OPTIONS = ("-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-assign", "fast",
           "--x-initial", "unique")  # fmt: skip
COMPILER = "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
"""Quick to compile; what it runs is short."""

FIELDS = 12
"""Numbers of an operation, as the benches read it."""

Bits16 = NDArray[np.uint16]
Bits32 = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of ``gf_pim_asic``; its header says what the fields are.

    Attributes
    ----------
    unit : str
        Of ``UNITS``.
    source_a, source_b, source_c, destination, stride : int
        Words of the memory.
    count, length, vectors : int
        Operands, numbers of a vector, vectors.
    inverse_width, epsilon : float
        Rounded to FP32.
    bias : bool
        Whether a bias is added to rescaled sums.
    """

    unit: str
    source_a: int = 0
    source_b: int = 0
    source_c: int = 0
    destination: int = 0
    stride: int = 0
    count: int = 2
    length: int = 1
    vectors: int = 1
    inverse_width: float = 0.0
    epsilon: float = 0.0
    bias: bool = False

    def fields(self) -> list[int]:
        """Return its numbers, in order."""
        own = [UNITS.index(self.unit), *astuple(self)[1:9]]
        scalars = np.array([self.inverse_width, self.epsilon], "<f4").view("<u4").tolist()
        return [*own, *scalars, int(self.bias)]


def sources(*tops: str) -> dict[str, str]:
    """Return the Verilog of modules and of all that they instantiate, by file name."""
    folders = [
        resources.files("gateformer.hw.pim") / "rtl",
        resources.files("gateformer.hw.rtl") / "lib",
    ]
    found: dict[str, str] = {}
    names = [*tops]
    while names:
        name = names.pop()
        if f"{name}.v" in found:
            continue
        text = next(
            (folder / f"{name}.v").read_text(encoding="utf-8")
            for folder in folders
            if (folder / f"{name}.v").is_file()
        )
        found[f"{name}.v"] = text
        names += re.findall(r"^\s*(gf_\w+)\s+(?:#\(|\w+\s*\()", text, re.MULTILINE)
    return dict(sorted(found.items()))


def run(
    operations: Sequence[Operation],
    memory: Bits16,
    *,
    work: Path,
    cache: Path,
    simulator: Simulator = "verilator",
    files: Mapping[str, str] | None = None,
) -> tuple[Bits16, list[int]]:
    """Run operations one after another on the ASIC's Verilog.

    Parameters
    ----------
    operations : sequence of Operation
        What to do.
    memory : array of uint16, shape (words, lanes)
        What its memory holds at first; its shape is that of the memory.
    work : Path
        Folder to run in.
    cache : Path
        Folder of finished builds.
    simulator : {"verilator", "icarus"}
        Compiled, or interpreted: slower, but there is nothing to build.
    files : mapping of str to str, optional
        The Verilog; the package's own by default.

    Returns
    -------
    memory : array of uint16, shape (words, lanes)
        What it holds at last.
    clocks : list of int
        From start to done, of each operation.

    Raises
    ------
    ToolError
        E501, E502 or E505 where a tool is missing or fails.
    MismatchError
        E405 for an operation that no unit can do; E401 where Icarus finds results that depend on
        what nothing has set.
    """
    words, lanes = memory.shape
    files = files or sources("gf_pim_asic")
    fields = [field for one in operations for field in one.fields()]
    work = work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    if simulator == "icarus":
        return _interpreted(files, fields, memory, work)
    program = _program("asic_rtl", "gf_pim_asic", files, cache, LANES=lanes, WORDS=words)
    memory.astype("<u2").tofile(work / "memory")
    np.array(fields, "<u4").tofile(work / "operations")
    _run([program, work / "memory", work / "operations", work / "clocks"], work)
    found = np.fromfile(work / "memory", "<u2").reshape(memory.shape)
    return found, np.fromfile(work / "clocks", "<u4").tolist()


def _interpreted(
    files: Mapping[str, str], fields: list[int], memory: Bits16, work: Path
) -> tuple[Bits16, list[int]]:
    """Do the same on Icarus Verilog, which needs no build."""
    words, lanes = memory.shape
    values = {"lanes": lanes, "words": words, "operations": len(fields) // FIELDS}
    lines = ["".join(f"{number:04x}" for number in word[::-1]) for word in memory.tolist()]
    (work / "memory.hex").write_text("\n".join(lines))
    (work / "operations.hex").write_text("\n".join(f"{one:08x}" for one in fields))
    out = _interpret("asic_bench", files, values, work)
    found = [
        [int(word[at : at + 4], 16) for at in range(0, 4 * lanes, 4)] for word in out["memory"]
    ]
    return np.array(found, np.uint16)[:, ::-1], [int(one) for one in out["clocks"]]


def _interpret(
    bench: str, files: Mapping[str, str], values: Mapping[str, object], work: Path
) -> dict[str, list[str]]:
    """Run a bench on Icarus Verilog; return the lines of each ``.out`` file that it writes."""
    require_tool("iverilog")
    source = resources.files("gateformer.sim.pim").joinpath(f"{bench}.v.j2").read_text("utf-8")
    text = jinja2.Template(source, undefined=jinja2.StrictUndefined).render(values)
    for name, own in {**files, f"{bench}.v": text}.items():
        (work / name).write_text(own, encoding="utf-8")
    command = ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-s", bench, "-o", "bench"]
    run_tool([*command, *files, f"{bench}.v"], work, os.environ, work / "icarus.log")
    _run(["vvp", "-n", "bench"], work)
    out = {one.stem: one.read_text("utf-8").splitlines() for one in work.glob("*.out")}
    if any("x" in line for lines in out.values() for line in lines):
        raise MismatchError("E401", "the Verilog computes with what it never set")
    return out


def unary(
    numbers: Bits32,
    *,
    work: Path,
    cache: Path,
    simulator: Simulator = "verilator",
    files: Mapping[str, str] | None = None,
) -> dict[str, Bits32]:
    """Send FP32 numbers through every unit of one number, one a clock.

    Parameters
    ----------
    numbers : array of uint32, shape (n,)
        Their bits.
    work, cache, simulator, files : Path, str and mapping
        As for `run`.

    Returns
    -------
    dict of str to array of uint32, shape (n,)
        Results' bits of each unit of ``UNARY``, taken that many clocks behind the numbers.

    Raises
    ------
    ToolError or MismatchError
        As for `run`.
    """
    units = "".join(
        f"  gf_pim_{name} {name}_unit (.clk(clk), .x(x), .y({name}));\n" for name in UNARY
    )
    files = files or sources(*(f"gf_pim_{name}" for name in UNARY))
    work = work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    if simulator == "icarus":
        values = {"units": units, "names": [*UNARY], "numbers": len(numbers)}
        (work / "numbers.hex").write_text("\n".join(f"{one:08x}" for one in numbers.tolist()))
        lines = _interpret("unary_bench", files, values, work)["results"]
        rows = np.array([[int(one, 16) for one in line.split()] for line in lines], np.uint32)
    else:
        outputs = ", ".join(f"output wire [31:0] {name}" for name in UNARY)
        ports = f"input wire clk, input wire [31:0] x, {outputs}"
        bench = f"`default_nettype none\n\nmodule gf_pim_unary ({ports});\n{units}endmodule\n"
        every = {**files, "gf_pim_unary.v": bench}
        program = _program("unary_rtl", "gf_pim_unary", every, cache)
        numbers.astype("<u4").tofile(work / "numbers")
        _run([program, work / "numbers", work / "results"], work)
        rows = np.fromfile(work / "results", "<u4").reshape(-1, len(UNARY))
    return {
        name: rows[latency : latency + len(numbers), column]
        for column, (name, latency) in enumerate(UNARY.items())
    }


def _program(
    bench: str, top: str, files: Mapping[str, str], cache: Path, **parameters: int
) -> Path:
    text = resources.files("gateformer.sim.pim").joinpath(f"{bench}.cpp").read_text("utf-8")
    every = {**files, "bench.cpp": text}
    chosen = [f"-G{name}={value}" for name, value in parameters.items()]
    key = content_key(every, tool_version("verilator"), top, COMPILER, *OPTIONS, *chosen)

    def make(folder: Path) -> None:
        written = write_sources(every, folder)
        command = [
            "verilator", "--cc", "--exe", "--build", "-j", "2", "--top-module", top, *chosen,
            "-Mdir", str(folder / "model"), "-MAKEFLAGS", COMPILER, *OPTIONS,
            "-o", "bench", str(folder / "sources" / "bench.cpp"), *written,
        ]  # fmt: skip
        environment = dict(os.environ) | verilator_environment()
        run_tool(command, folder, environment, cache / f"{key}.log")

    return cached(cache / key, make) / "model" / "bench"


def _run(command: Sequence[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    fatal = [line for line in done.stdout.splitlines() if "FATAL " in line]
    if fatal:
        raise MismatchError("E405", "the simulation ended by itself", cause=fatal[0])
    if done.returncode:
        raise ToolError("E502", "the bench failed", cause=done.stderr.strip()[-300:])
