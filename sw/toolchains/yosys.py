"""yosys: LUT, FF, DSP and BRAM counts, and the longest logic between two registers.

Owns the call of yosys in a process of its own (its errors end the process) and what its reports
mean. Counts are of UltraScale+ (``xcup``); delays are of 7-series cells (``xc7``), the only ones
that yosys has times of: logic alone, without wires, so no vendor's Fmax.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Literal, TypeAlias

from gateformer.quant.errors import ToolError
from gateformer.toolchains import yosys_reports as reports
from gateformer.toolchains import yosys_worker
from gateformer.toolchains.yosys_sources import (
    canonical,
    closure,
    modules_in,
    parametric,
    renamed,
)

Process: TypeAlias = subprocess.Popen[bytes]
Family = Literal["xcup", "xc7"]
FAMILIES: tuple[Family, Family] = ("xcup", "xc7")
"""Cells to count, and cells to time."""
TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What yosys made of one module.

    Attributes
    ----------
    top, family : str
        The module and the cells that it was mapped to.
    lut, ff, dsp : int
        LUTs (shift registers and LUT memories among them), flip-flops, DSP slices. On ``xcup``
        flip-flops are an upper bound: yosys moves none into a DSP48E2.
    bram : float
        36 Kbit block RAMs; an 18 Kbit one is a half.
    cells : mapping of str to int
        Cells by type.
    logic_ns : float or None
        The longest path from register to register, clock-to-output included; ``xc7`` only.
    path : tuple of str
        Nets or cells at which that path begins and ends.
    unregistered : tuple of str
        Outputs with logic behind their registers: their paths end in other modules.
    seconds : float
        How long yosys took, when it ran.
    log : str
        Its log file.
    """

    top: str
    family: Family
    lut: int
    ff: int
    dsp: int
    bram: float
    cells: Mapping[str, int] = field(default_factory=dict)
    logic_ns: float | None = None
    path: tuple[str, ...] = ()
    unregistered: tuple[str, ...] = ()
    seconds: float = 0.0
    log: str = ""


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
    family : {"xcup", "xc7"}
        ``xcup`` to count, ``xc7`` to time.
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
    return _done(_job(files, top, family, boundaries), work, cache, timeout_s, live)


@dataclass(frozen=True, slots=True)
class _Job:
    """One run of yosys; jobs with equal keys give equal results but for names."""

    top: str
    family: Family
    files: Mapping[str, str]
    left_out: tuple[str, ...]
    names: tuple[str, ...]
    key: str


def _job(files: Mapping[str, str], top: str, family: Family, boundaries: Iterable[str]) -> _Job:
    inside = closure(files, top)
    left_out = tuple(sorted(set(boundaries) & set(modules_in(inside)) - {top}))
    text, names = canonical(inside)
    worker = Path(yosys_worker.__file__).read_text(encoding="utf-8")
    chosen = [names.index(module) for module in (top, *left_out)]
    parts = json.dumps([yosys_version(), worker, family, chosen, text])
    return _Job(top, family, inside, left_out, names, sha256(parts.encode()).hexdigest()[:32])


def _done(
    job: _Job, work: Path, cache: Path | None, timeout_s: float, live: set[Process] | None = None
) -> Synthesis:
    """Return what the cache has, or run yosys."""
    stored = None if cache is None else cache / f"{job.key}.json"
    if stored is not None and (known := _stored(stored, job)) is not None:
        return known
    place = work / f"{job.top}.{job.family}"
    place.mkdir(parents=True, exist_ok=True)
    for name, text in job.files.items():
        (place / name).write_text(text, encoding="utf-8")
    request = {
        "sources": [name for name in job.files if name.endswith(".v")],
        "top": job.top,
        "family": job.family,
        "boundaries": job.left_out,
        "timed": job.family == "xc7",
    }
    (place / "request.json").write_text(json.dumps(request, indent=1), encoding="utf-8")
    start = perf_counter()
    _call(place, job.top, timeout_s, set() if live is None else live)
    result = _read(place, job.top, job.family, round(perf_counter() - start, 1))
    if stored is not None:
        stored.parent.mkdir(parents=True, exist_ok=True)
        fresh = stored.with_suffix(f".{os.getpid()}.{job.top}.tmp")
        text = json.dumps({"names": job.names, "result": asdict(result)})
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(stored)
    return result


def _twin(found: Synthesis, names: tuple[str, ...], job: _Job) -> Synthesis:
    """Return a result under the names of a module that is the same circuit."""

    def own(text: str) -> str:
        return renamed(text, names, job.names)

    return replace(
        found,
        top=job.top,
        cells={own(kind): number for kind, number in found.cells.items()},
        path=tuple(own(net) for net in found.path),
        unregistered=tuple(own(port) for port in found.unregistered),
    )


@dataclass(frozen=True, slots=True)
class Total:
    """What yosys made of a whole design, module by module.

    Attributes
    ----------
    counted, timed : mapping of str to Synthesis
        Each module by itself, the other listed ones left out: on ``xcup`` and on ``xc7``.
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
        slowest = self.slowest
        return {
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
) -> Total:
    """Synthesize a design module by module, two at a time; what differs only in names, once.

    Parameters
    ----------
    files : mapping of str to str
        All of the design's Verilog by file name.
    modules : mapping of str to int
        Distinct modules and how often each is there, the tops among them. One with parameters
        is counted inside what instantiates it instead.
    work, cache, timeout_s
        As for `synthesize`.
    workers : int
        Yosys processes at a time; more than 2 gain little and need gigabytes.
    progress : callable
        Told how many of how many runs are done.
    """
    yosys_version()
    wanted = {name: count for name, count in modules.items() if not parametric(files, name)}
    twins: dict[str, list[_Job]] = {}
    for name in wanted:
        for family in FAMILIES:
            job = _job(files, name, family, wanted)
            twins.setdefault(job.key, []).append(job)
    jobs = sorted((alike[0] for alike in twins.values()), key=_size, reverse=True)
    found: dict[tuple[str, Family], Synthesis] = {}
    live: set[Process] = set()
    pool = ThreadPoolExecutor(workers)
    try:
        running = {pool.submit(_done, job, work, cache, timeout_s, live): job for job in jobs}
        for future in as_completed(running):
            first, result = running[future], future.result()
            for job in twins[first.key]:
                found[job.top, job.family] = _twin(result, first.names, job)
            progress(len(found), len(FAMILIES) * len(wanted))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in tuple(live):
            _stop(process)
        raise
    pool.shutdown()
    counted, timed = ({n: found[n, family] for n in wanted} for family in FAMILIES)
    return Total(counted, timed, wanted)


def yosys_version() -> str:
    """Return the version of pyosys, or raise the error that says how to get it."""
    try:
        return version("pyosys")
    except PackageNotFoundError:
        raise ToolError(
            "E505",
            "Python package not installed",
            layer="pyosys",
            cause="yosys synthesizes the modules",
            fix="pip install -e '.[synth]'",
        ) from None


def _size(job: _Job) -> int:
    """Return how much yosys has to do, roughly: the largest begin first."""
    left_out = set(job.left_out)
    where = modules_in(job.files)
    skipped = {where[module] for module in left_out}
    return sum(len(text) for name, text in job.files.items() if name not in skipped)


def _stored(path: Path, job: _Job) -> Synthesis | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        found = kept["result"]
        for name in ("path", "unregistered"):
            found[name] = tuple(found[name])
        return _twin(Synthesis(**found), tuple(kept["names"]), job)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _call(place: Path, top: str, timeout_s: float, live: set[Process]) -> None:
    yosys_version()
    log = place / "yosys.log"
    command = [sys.executable, "-I", yosys_worker.__file__, "request.json"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=place, stdout=output, stderr=output, start_new_session=True
        )
        live.add(process)
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ToolError(
                "E503",
                "yosys ran out of time",
                layer=top,
                cause=f"It was stopped after {timeout_s:.0f} s",
                fix="Raise the reuse factor of this layer, or leave synthesis out",
            ) from None
        finally:
            _stop(process)
            live.discard(process)
    if status:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.strip() for line in lines if "ERROR" in line] or lines[-1:]
        cause = said[0] if said else f"It ended with status {status}"
        raise ToolError("E502", "yosys failed", layer=top, cause=cause, fix=f"See {log}")


def _stop(process: Process) -> None:
    """End yosys and the abc that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(place: Path, top: str, family: Family, seconds: float) -> Synthesis:
    timed = family == "xc7"
    name = yosys_worker.HARNESS if timed else top
    stat = json.loads((place / "stat.json").read_text(encoding="utf-8"))
    cells = reports.cells(stat, name)
    logic_ns, path = (
        reports.arrival((place / "sta.txt").read_text("utf-8")) if timed else (None, ())
    )
    coarse = json.loads((place / "coarse.json").read_text(encoding="utf-8"))["modules"]
    return Synthesis(
        top,
        family,
        **reports.count(cells),
        cells=cells,
        logic_ns=logic_ns,
        path=path,
        unregistered=() if timed else reports.unregistered(coarse[top]),
        seconds=seconds,
        log=str(place / "yosys.log"),
    )
