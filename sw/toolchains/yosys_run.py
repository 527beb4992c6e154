"""One run of yosys: its request, its process, its cache and its result.

Owns ``Synthesis`` and ``Job``. yosys ends its process at any error, so it gets one of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Literal, TypeAlias

from gateformer.quant.errors import BuildError, BuildTimeout, ToolError
from gateformer.toolchains import yosys_reports as reports
from gateformer.toolchains import yosys_worker
from gateformer.toolchains.yosys_sources import canonical, closure, modules_in, renamed

Process: TypeAlias = subprocess.Popen[bytes]
Family = Literal["xcup", "xc7", "ecp5", "gowin"]
TIMED: Family = "xc7"
"""The family whose cells yosys has times of."""


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What yosys made of one module.

    Attributes
    ----------
    top, family : str
        The module and the cells that it was mapped to.
    lut, ff, dsp : int
        LUTs (shift registers and LUT memories among them), flip-flops, DSP slices or 18 x 18
        multipliers. Flip-flops are an upper bound on all but ``xc7``: yosys moves none into a
        DSP48E2 or a multiplier.
    bram : float
        36 Kbit block RAMs; an 18 Kbit one is a half.
    cells : mapping of str to int
        Cells by type.
    logic_ns : float or None
        The longest path from register to register, clock-to-output included; where timed.
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


@dataclass(frozen=True, slots=True)
class Job:
    """One run of yosys; jobs with equal keys give equal results but for names."""

    top: str
    family: Family
    files: Mapping[str, str]
    left_out: tuple[str, ...]
    names: tuple[str, ...]
    key: str


def job_of(files: Mapping[str, str], top: str, family: Family, boundaries: Iterable[str]) -> Job:
    """Return what yosys has to do for a module, of the given ones those inside it left out."""
    inside = closure(files, top)
    left_out = tuple(sorted(set(boundaries) & set(modules_in(inside)) - {top}))
    text, names = canonical(inside)
    worker = Path(yosys_worker.__file__).read_text(encoding="utf-8")
    chosen = [names.index(module) for module in (top, *left_out)]
    parts = json.dumps([yosys_version(), worker, family, chosen, text])
    return Job(top, family, inside, left_out, names, sha256(parts.encode()).hexdigest()[:32])


def done(
    job: Job, work: Path, cache: Path | None, timeout_s: float, live: set[Process] | None = None
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
        "timed": job.family == TIMED,
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


def twin(found: Synthesis, names: tuple[str, ...], job: Job) -> Synthesis:
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


def size(job: Job) -> int:
    """Return how much yosys has to do, roughly: the largest begin first."""
    left_out = set(job.left_out)
    where = modules_in(job.files)
    skipped = {where[module] for module in left_out}
    return sum(len(text) for name, text in job.files.items() if name not in skipped)


def _stored(path: Path, job: Job) -> Synthesis | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        found = kept["result"]
        for name in ("path", "unregistered"):
            found[name] = tuple(found[name])
        return twin(Synthesis(**found), tuple(kept["names"]), job)
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
            raise BuildTimeout(
                "E503",
                "yosys ran out of time",
                layer=top,
                cause=f"It was stopped after {timeout_s:.0f} s",
                fix="Raise the reuse factor of this layer, or leave synthesis out",
            ) from None
        finally:
            stop(process)
            live.discard(process)
    if status:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.strip() for line in lines if "ERROR" in line] or lines[-1:]
        cause = said[0] if said else f"It ended with status {status}"
        raise BuildError("E502", "yosys failed", layer=top, cause=cause, fix=f"See {log}")


def stop(process: Process) -> None:
    """End yosys and the abc that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(place: Path, top: str, family: Family, seconds: float) -> Synthesis:
    timed = family == TIMED
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
