"""yosys: LUT, FF, DSP and BRAM counts, and the longest logic between two registers.

Owns the synthesis of a module and of a design, module by module. Counts are of UltraScale+
(``xcup``), or of ECP5 or Gowin where the device is one; delays are of 7-series cells (``xc7``), the
only ones that yosys has times of: logic alone, without wires, so no vendor's Fmax.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from gateformer.toolchains.yosys_reports import own
from gateformer.toolchains.yosys_run import (
    TIMED,
    Family,
    Job,
    Process,
    Synthesis,
    done,
    job_of,
    size,
    stop,
    twin,
    yosys_version,
)
from gateformer.toolchains.yosys_sources import parametric, repeated

__all__ = ["Synthesis", "Total", "synthesize", "synthesize_modules", "yosys_version"]
TIMEOUT_S = 1800.0


def synthesize(
    files: Mapping[str, str],
    top: str,
    family: Family,
    work: Path,
    cache: Path | None = None,
    *,
    boundaries: Iterable[str] = (),
    timeout_s: float = TIMEOUT_S,
    live: set[Process] | None = None,
) -> Synthesis:
    """Synthesize one module with all that it instantiates.

    Parameters
    ----------
    files : mapping of str to str
        Verilog text by file name; only what the top needs is read.
    top : str
        The module.
    family : {"xcup", "xc7", "ecp5", "gowin"}
        ``xc7`` to time, the others to count.
    work : Path
        Folder of sources, logs and reports.
    cache : Path, optional
        Folder of results, kept by a hash of all that they depend on.
    boundaries : iterable of str
        Modules to leave out, counted elsewhere.
    timeout_s : float
        Seconds after which yosys is stopped.
    live : set of processes, optional
        Holds the process while it runs, so that others may stop it.

    Raises
    ------
    ToolError
        E505 without pyosys, E502 where yosys fails, E503 where it takes too long.
    """
    return done(job_of(files, top, family, boundaries), work, cache, timeout_s, live)


@dataclass(frozen=True, slots=True)
class Total:
    """What yosys made of a whole design, module by module.

    Attributes
    ----------
    counted, timed : mapping of str to Synthesis
        Each module by itself, the other listed ones left out: on the family that is counted and
        on ``xc7``.
    instances : mapping of str to int
        How often each module is there.
    """

    counted: Mapping[str, Synthesis]
    timed: Mapping[str, Synthesis]
    instances: Mapping[str, int]

    @property
    def slowest(self) -> Synthesis:
        """The module with the longest logic between registers."""
        return max(self.timed.values(), key=lambda found: found.logic_ns or 0.0)

    def metrics(self) -> dict[str, float | int | str]:
        """Return the sums as ``synth.*`` metrics."""
        every = [(self.counted[name], number) for name, number in self.instances.items()]
        slowest, family = self.slowest, every[0][0].family
        cells = Counter[str]()
        for found, number in every:
            for kind, count in found.cells.items():
                cells[kind] += count * number
        return {
            "synth.family": family,
            **{f"synth.{name}": count for name, count in own(family, cells).items()},
            "synth.lut": sum(found.lut * number for found, number in every),
            "synth.ff": sum(found.ff * number for found, number in every),
            "synth.dsp": sum(found.dsp * number for found, number in every),
            "synth.bram": sum(found.bram * number for found, number in every),
            "synth.logic_ns": slowest.logic_ns or 0.0,
            "synth.logic_module": slowest.top,
            "synth.logic_path": " -> ".join(slowest.path),
            "synth.modules": len(self.counted),
            "synth.unregistered": sum(bool(found.unregistered) for found, _ in every),
            "synth.version": yosys_version(),
        }


def synthesize_modules(
    files: Mapping[str, str],
    modules: Mapping[str, int],
    work: Path,
    cache: Path | None = None,
    *,
    workers: int = 2,
    timeout_s: float = TIMEOUT_S,
    progress: Callable[[int, int], None] = lambda done, total: None,
    family: Family = "xcup",
) -> Total:
    """Synthesize a design module by module, two at a time; what differs only in names, once.

    Parameters
    ----------
    files : mapping of str to str
        All of the design's Verilog by file name.
    modules : mapping of str to int
        Distinct modules and how often each is there, the tops among them. One with parameters
        is counted inside what instantiates it instead; what is there several times inside one,
        with registers at its outputs, becomes a module of its own.
    work, cache, timeout_s
        As for `synthesize`.
    workers : int
        Yosys processes at a time; more than 2 gain little and need gigabytes.
    progress : callable
        Told how many of how many runs are done.
    family : {"xcup", "ecp5", "gowin"}
        Cells to count.
    """
    yosys_version()
    wanted = {name: count for name, count in modules.items() if not parametric(files, name)}
    parts = repeated(files, wanted)
    number = len(wanted) + len(parts)
    batch = _Batch(files, work, cache, timeout_s, workers, progress, number, (family, TIMED))
    batch.run(parts, [*wanted, *parts])
    # Logic behind a part's registers goes on in its parent: only there is it timed.
    whole = {name: n for name, n in parts.items() if not batch.found[name, family].unregistered}
    batch.run(wanted, [*wanted, *whole])
    instances = {**wanted, **whole}
    counted, timed = ({n: batch.found[n, each] for n in instances} for each in batch.families)
    return Total(counted, timed, instances)


@dataclass(slots=True)
class _Batch:
    """Runs of yosys that share a pool's width, folders and a count of what is done."""

    files: Mapping[str, str]
    work: Path
    cache: Path | None
    timeout_s: float
    workers: int
    progress: Callable[[int, int], None]
    total: int
    families: tuple[Family, Family]
    found: dict[tuple[str, Family], Synthesis] = field(default_factory=dict)

    def run(self, modules: Iterable[str], boundaries: Iterable[str]) -> None:
        """Count and time modules, the other boundaries left out."""
        boundaries = list(boundaries)
        twins: dict[str, list[Job]] = {}
        for name in modules:
            for family in self.families:
                job = job_of(self.files, name, family, boundaries)
                twins.setdefault(job.key, []).append(job)
        jobs = sorted((alike[0] for alike in twins.values()), key=size, reverse=True)
        live: set[Process] = set()
        pool = ThreadPoolExecutor(self.workers)
        try:
            running = {
                pool.submit(done, job, self.work, self.cache, self.timeout_s, live): job
                for job in jobs
            }
            for future in as_completed(running):
                first, result = running[future], future.result()
                for job in twins[first.key]:
                    self.found[job.top, job.family] = twin(result, first.names, job)
                self.progress(len(self.found), len(self.families) * self.total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in tuple(live):
                stop(process)
            raise
        pool.shutdown()
