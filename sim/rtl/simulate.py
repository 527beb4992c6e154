"""Simulates a design's RTL with cocotb and compares it with the model.

Owns ``simulate`` and its result. Imports the build, the jobs and the scoreboard.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateformer.hw.dataflow.design import Design
from gateformer.quant.errors import MismatchError, ToolError
from gateformer.quant.types import IntArray
from gateformer.sim.rtl.build import Build, build, run_cocotb, waveform
from gateformer.sim.rtl.jobs import FOLDER, Job, Record, load_records, save_jobs
from gateformer.sim.rtl.scoreboard import Mismatch, compare, interval_of, latency_of
from gateformer.sim.rtl.streams import pack
from gateformer.sim.rtl.tools import Simulator
from gateformer.sim.stalls import StallPattern

BENCH = "gateformer.sim.rtl.bench"


@dataclass(frozen=True, slots=True, eq=False)
class SimulationResult:
    """What a simulation showed.

    Attributes
    ----------
    simulator : str
        ``icarus``, ``verilator`` or ``bulk``.
    vectors : int
        Frames sent.
    mismatches : int
        Frames that differ from the model, are lost or are too many, over all outputs.
    first : Mismatch or None
        The first of them.
    latency_cycles : int or None
        As `Design.latency_cycles` defines it; of meaning without stalls only.
    interval_cycles : int or None
        Clocks between first beats of frames sent back to back; None for a single frame.
    problems : tuple of str
        Breaches of the stream protocol, wrong ``tlast`` or padding, ``frame_error``.
    clocks : int
        Clocks simulated after reset.
    build_seconds, seconds : float
        Wall time of building and of running.
    outputs : mapping of str to ndarray of int
        Frames that came, by value.
    record : Record
        The clock of every handshake.
    waves : Path or None
        The waveform.
    """

    simulator: str
    vectors: int
    mismatches: int
    first: Mismatch | None
    latency_cycles: int | None
    interval_cycles: int | None
    problems: tuple[str, ...]
    clocks: int
    build_seconds: float
    seconds: float
    outputs: Mapping[str, IntArray]
    record: Record
    waves: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing differs and no rule was broken."""
        return not self.mismatches and not self.problems


def simulate(
    design: Design,
    files: Mapping[str, str],
    frames: Mapping[str, IntArray],
    expected: Mapping[str, IntArray],
    simulator: Simulator = "icarus",
    *,
    work: Path,
    cache: Path | None = None,
    stalls: StallPattern | None = None,
    waves: bool = False,
) -> SimulationResult:
    """Send frames through ``gf_<name>_axis`` and compare every integer that comes out.

    Parameters
    ----------
    design : Design
        The scheduled design.
    files : mapping of str to str
        Text of all Verilog and memory files by name, the boundary's among them.
    frames, expected : mapping of str to ndarray of int
        Raw integers of inputs (masks too) and outputs by value: (n, tokens, features) or
        (n, features).
    simulator : {"icarus", "verilator"}
        The simulator.
    work : Path
        Folder for the run's files.
    cache : Path, optional
        Folder of finished builds; ``work / "builds"`` by default.
    stalls : StallPattern, optional
        Stalls on both sides of the streams; none by default.
    waves : bool
        Write a waveform.

    Raises
    ------
    ToolError
        E501, E502 or E505 where a tool is missing or fails.
    """
    started = time.perf_counter()
    cache = cache or work / "builds"
    built = build(simulator, files, f"gf_{design.name}_axis", cache, waves)
    ready = time.perf_counter()
    job = job_of(design, frames, stalls)
    (record,) = run_jobs(built, [job], work)
    return judge(
        design,
        record,
        expected,
        simulator,
        vectors=len(next(iter(frames.values()))),
        seconds=(ready - started, time.perf_counter() - ready),
        waves=waveform(built, work),
        stalled=stalls is not None,
    )


def job_of(
    design: Design, frames: Mapping[str, IntArray], stalls: StallPattern | None = None
) -> Job:
    """One run that sends all frames and waits for all that should come."""
    inputs = {port.name: pack(port, frames) for port in design.inputs}
    port = design.inputs[0]
    count = len(inputs[port.name]) // port.beats
    outputs = {p.name: count * p.beats for p in design.outputs}
    return Job(inputs, outputs, stalls, quiet_clocks(design), 20 * quiet_clocks(design) + 5000)


def quiet_clocks(design: Design) -> int:
    """Clocks after which a design with no input is empty."""
    return design.latency_cycles + design.interval_cycles + 8


def run_jobs(built: Build, jobs: Sequence[Job], work: Path) -> list[Record]:
    """Run the bench's jobs on a built model, one after the other, each from reset.

    Raises
    ------
    ToolError
        E502 where the simulator fails.
    MismatchError
        E405 where the simulation ended by itself.
    """
    work.mkdir(parents=True, exist_ok=True)
    (work / "records.json").unlink(missing_ok=True)
    save_jobs(work, jobs)
    log = work / "simulation.log"
    failure: ToolError | None = None
    try:
        run_cocotb(built, BENCH, work, {FOLDER: str(work.absolute())})
    except ToolError as error:
        failure = error
    if (work / "records.json").exists():
        return load_records(work)
    told = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    fatal = [line for line in told.splitlines() if line.startswith("FATAL ")]
    if fatal or failure is None:
        raise MismatchError(
            "E405",
            "the simulation ended by itself",
            cause=" / ".join(fatal[:3]) or "it wrote no record",
            fix=f"See {log}.",
        )
    raise failure


def judge(
    design: Design,
    record: Record,
    expected: Mapping[str, IntArray],
    simulator: str,
    *,
    vectors: int,
    seconds: tuple[float, float],
    waves: Path | None = None,
    stalled: bool = False,
) -> SimulationResult:
    """Compare a run of good frames with the model."""
    outputs: dict[str, IntArray] = {}
    problems = list(record.problems)
    mismatches, first = 0, None
    for port in design.outputs:
        found = compare(port, record, expected)
        outputs[port.value] = found.frames
        problems += found.problems
        mismatches += found.mismatches
        if found.first and (first is None or found.first.frame < first.frame):
            first = found.first
    if record.frame_error is not None:
        problems.append(f"frame_error rose in clock {record.frame_error}")
    return SimulationResult(
        simulator,
        vectors,
        mismatches,
        first,
        None if stalled else latency_of(design, record),
        None if stalled else interval_of(design, record),
        tuple(problems),
        record.clocks,
        *seconds,
        outputs,
        record,
        waves,
    )
