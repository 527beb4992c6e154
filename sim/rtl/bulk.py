"""Ten thousand frames and more through a compiled C++ bench on Verilator's model, without VPI.

Owns ``bulk`` and its two halves, which `gateformer.sim.rtl.activity` uses too. Imports the build
cache, the streams and the scoreboard.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np

from gateformer.hw.dataflow.design import Design, Port
from gateformer.quant.errors import MismatchError, ToolError
from gateformer.quant.types import IntArray
from gateformer.sim.rtl.build import cached, content_key, write_sources
from gateformer.sim.rtl.jobs import ClockArray, Record
from gateformer.sim.rtl.simulate import SimulationResult, judge, quiet_clocks
from gateformer.sim.rtl.streams import Beats, pack
from gateformer.sim.rtl.tools import run_tool, tool_version, verilator_environment

OPTIONS = ("-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-assign", "fast",
           "--x-initial", "unique")  # fmt: skip
COUNTING = ("--trace-saif", "--trace-max-width", "1000000", "--trace-max-array", "1000000",
            "-DSYNTHESIS")  # fmt: skip
"""For toggles: no net is left out for its size, and checks that are no hardware are."""
TREE = "tree"
"""Folder of Verilator's account of the sources, beside a bench that counts toggles."""
COMPILER = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1"
"""Quick to compile; ten thousand frames still run in seconds."""


def bulk(
    design: Design,
    files: Mapping[str, str],
    frames: Mapping[str, IntArray],
    expected: Mapping[str, IntArray],
    *,
    work: Path,
    cache: Path | None = None,
) -> SimulationResult:
    """Send frames at full rate through ``gf_<name>_axis``, compiled, and compare all integers.

    Registers start with random bits, so that nothing relies on what reset leaves alone.

    Parameters
    ----------
    design, files, frames, expected, work, cache
        As for `gateformer.sim.rtl.simulate.simulate`.

    Raises
    ------
    ToolError
        E501, E502 or E505 where a tool is missing or fails.
    MismatchError
        E405 where the design ended the simulation.
    """
    started = time.perf_counter()
    program = bench_program(design, files, cache or work / "builds")
    ready = time.perf_counter()
    vectors, record = send(design, program, files, frames, work)
    return judge(
        design,
        record,
        expected,
        "verilator",
        vectors=vectors,
        seconds=(ready - started, time.perf_counter() - ready),
    )


def send(
    design: Design,
    program: Path,
    files: Mapping[str, str],
    frames: Mapping[str, IntArray],
    work: Path,
    window: tuple[int, int] | None = None,
) -> tuple[int, Record]:
    """Run a compiled bench on frames; returns their number and what came.

    Parameters
    ----------
    design, files, frames, work
        As for `bulk`.
    program : Path
        The bench.
    window : tuple of int, optional
        First and last clock of the toggle count, for a bench that counts.
    """
    work = work.absolute()  # the bench runs in it, and is told of it
    work.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        if not name.endswith(".v"):
            (work / name).write_text(text, encoding="utf-8")
    vectors = 0
    for port in design.inputs:
        beats = pack(port, frames)
        vectors = len(beats) // port.beats
        rows(beats).tofile(work / f"{port.name}.in")
    return vectors, _run(design, program, work, vectors, window)


def rows(beats: Beats) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """One row of bytes a beat: ``tdata``, then ``tuser``."""
    if beats.user is None:
        return beats.data
    return np.concatenate([beats.data, np.packbits(beats.user, axis=1, bitorder="little")], axis=1)


def bench_text(design: Design, saif: bool = False) -> str:
    """Return the C++ bench of a design; with ``saif``, one that counts toggles."""

    def facts(port: Port) -> dict[str, object]:
        data = port.axis_bits // 8
        user = 0 if port.mask is None else -(-port.lanes // 8)
        return {"name": port.name, "data": data, "row": data + user, "beats": port.beats}

    source = resources.files("gateformer.sim.rtl").joinpath("bulk.cpp.j2").read_text("utf-8")
    template = jinja2.Template(
        source, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return template.render(
        top=f"gf_{design.name}_axis",
        inputs=[facts(p) for p in design.inputs],
        outputs=[facts(p) for p in design.outputs],
        saif=saif,
    )


def bench_program(
    design: Design, files: Mapping[str, str], cache: Path, saif: bool = False
) -> Path:
    """Build a design's bench, or find it built.

    Raises
    ------
    ToolError
        E501, E502 or E505 where a tool is missing or fails.
    """
    environment = dict(os.environ) | verilator_environment()
    top = f"gf_{design.name}_axis"
    bench = bench_text(design, saif)
    options = (*OPTIONS, *COUNTING) if saif else OPTIONS
    every = {**files, "bench.cpp": bench}
    key = content_key(every, tool_version("verilator"), top, COMPILER, *options)

    def make(folder: Path) -> None:
        sources = write_sources(every, folder)
        command = [
            "verilator", "--cc", "--exe", "--build", "-j", "2", "--top-module", top,
            "-Mdir", str(folder / "model"), "-MAKEFLAGS", COMPILER, *options,
            "-o", "bench", str(folder / "sources" / "bench.cpp"), *sources,
        ]  # fmt: skip
        run_tool(command, folder, environment, cache / f"{key}.log")
        if saif:
            tree = ["verilator", "--json-only", "--top-module", top, "-Mdir", str(folder / TREE)]
            tree += [*(o for o in OPTIONS if o.startswith("-W")), "-DSYNTHESIS", *sources]
            run_tool(tree, folder, environment, cache / f"{key}.log")

    return cached(cache / key, make) / "model" / "bench"


def _run(
    design: Design, program: Path, work: Path, vectors: int, window: tuple[int, int] | None
) -> Record:
    quiet = quiet_clocks(design)
    command = [str(program), str(work), str(vectors), str(quiet), str(20 * quiet + 5000)]
    command += [str(clock) for clock in window or ()]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    told = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    fatal = [line for line in told if line.startswith("FATAL ")]
    if fatal or done.returncode == 3:
        raise MismatchError(
            "E405", "the simulation ended by itself", cause=" / ".join(fatal[:3] or told[-3:])
        )
    if done.returncode:
        raise ToolError("E502", "the compiled bench failed", cause=" / ".join(told[-3:]))
    clocks, frame_error, hung = map(int, done.stdout.split()[-3:])

    def clocks_of(port: Port) -> ClockArray:
        return np.fromfile(work / f"{port.name}.clocks", np.int64)

    received = {
        p.name: np.fromfile(work / f"{p.name}.out", np.uint8).reshape(-1, p.axis_bits // 8 + 1)
        for p in design.outputs
    }
    return Record(
        {p.name: clocks_of(p) for p in design.inputs},
        {p.name: clocks_of(p) for p in design.outputs},
        {name: data[:, :-1] for name, data in received.items()},
        {name: data[:, -1] != 0 for name, data in received.items()},
        (f"no handshake for {quiet} clocks",) if hung else (),
        None if frame_error < 0 else frame_error,
        clocks,
    )
