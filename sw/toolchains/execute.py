"""Carrying a plan out: its files into a folder, its programs one by one, its reports into metrics.

Owns ``write``, ``execute`` and ``Built``. A plan is text; here alone are programs called.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from gateformer.flow.files import write_whole
from gateformer.quant.errors import (
    BuildError,
    BuildTimeout,
    GateformerError,
    TimingError,
    ToolError,
)
from gateformer.quant.tools import require_tool
from gateformer.toolchains.hearing import Heard, Say, nothing
from gateformer.toolchains.plan import LOG, PYTHON, Call, Metric, Metrics, Plan, Report
from gateformer.toolchains.process import TimeUp, stream
from gateformer.toolchains.shell_script import SCRIPT, script

OUTER_MAKE = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
"""What make tells the makes that it starts (GNU make manual, 5.7)."""
LARGEST_REPORT = 1 << 26
"""Bytes of a report that are read; a timing report of a full device has some megabytes."""
LARGEST_NUMBER = 1e12
"""Beyond all that a report counts or measures."""
SLACKS = frozenset({"wns_ns", "whs_ns", "wpws_ns"})
"""The metrics that may be negative."""
TIMEOUT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Built:
    """What came of a plan.

    Attributes
    ----------
    metrics : mapping
        Of all reports that were there, with the prefix ``build.<tool>.``.
    error : GateformerError or None
        What went wrong: E501, E502, E503, E506 (licence), E507 (timing) or E508 (report).
    products : tuple of Path
        Files worth keeping, relative to the folder; the log and the reports among them.
    """

    metrics: Metrics = field(default_factory=dict)
    error: GateformerError | None = None
    products: tuple[Path, ...] = ()


def write(plan: Plan, folder: Path) -> None:
    """Write a plan's files, each whole, and its calls as a script for a shell."""
    for name, text in {**plan.files, SCRIPT: script(plan)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)


def programs(plan: Plan, paths: Mapping[str, Path]) -> dict[str, Path]:
    """Return where each program of a plan is, by the name that its call uses.

    Raises
    ------
    ToolError
        E501 for the first that is nowhere, nor anything that may stand in for it.
    """
    found: dict[str, Path] = {}
    for call in plan.calls:
        chosen = _present(call, paths)
        found[chosen.program] = _where(chosen.program, paths)
    found.update((name, _where(name, paths)) for name in plan.needs)
    return found


def execute(
    plan: Plan,
    folder: Path,
    *,
    paths: Mapping[str, Path] | None = None,
    timeout_s: float = TIMEOUT_S,
    say: Say = nothing,
    kept: Path | None = None,
) -> Built:
    """Write a plan's files into a folder and carry out its calls there.

    Parameters
    ----------
    plan : Plan
        What to do.
    folder : Path
        Where; the log is in it as `LOG`.
    paths : mapping of str to Path, optional
        Programs that are not on PATH, by name.
    timeout_s : float
        Seconds for all calls together.
    say : callable
        Told what goes on, a line at a time.
    kept : Path, optional
        The folder that messages name, where the caller keeps the log; else ``folder``.

    Returns
    -------
    Built
        With the error, if any: the metrics of what reports there are come with it.
    """
    paths = paths or {}
    log = (kept or folder) / LOG
    heard = Heard()
    error: GateformerError | None = None
    write(plan, folder)
    try:
        programs(plan, paths)
        _call_all(plan, folder, paths, timeout_s, say, heard, log)
    except ToolError as raised:
        error = raised
    metrics, faults = read_reports(plan, folder, log)
    if error is None and faults:
        # Some tools end well after an error; a report that is not there gives them away.
        error = heard.failure(plan.tool, "", log) if heard.error else faults[0]
    prefixed = {f"build.{plan.tool}.{key}": value for key, value in metrics.items()}
    kept_files = tuple(_kept(plan, folder))
    return Built(prefixed, error or _timing(plan, metrics), kept_files)


def read_reports(plan: Plan, folder: Path, log: Path) -> tuple[dict[str, Metric], list[ToolError]]:
    """Return what a plan's reports say, and what is wrong with them."""
    metrics: dict[str, Metric] = {}
    faults: list[ToolError] = []
    for report in plan.reports:
        path = _found(report, folder)
        if path is None:
            if report.required:
                faults.append(
                    BuildError(
                        "E508",
                        "report not there",
                        layer=report.path,
                        cause=f"{plan.tool} ended without an error but did not write it",
                        fix=f"See {log}",
                    )
                )
            continue
        try:
            metrics.update(_read(report, path, folder))
        except ValueError as error:
            faults.append(
                BuildError(
                    "E508",
                    "report not understood",
                    layer=str(log.parent / report.path),
                    cause=str(error),
                    fix="Look into it; docs/build.md names the versions that are known",
                )
            )
    return metrics, faults


def _read(report: Report, path: Path, folder: Path) -> Metrics:
    """Return what a report says; ValueError with the reason where that is nothing to believe."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError("It is a link out of the build's folder")
    with path.open("rb") as file:
        text = file.read(LARGEST_REPORT).decode("utf-8", errors="replace")
    try:
        metrics = report.parse(text)
    except (ArithmeticError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    for name, value in metrics.items():
        if isinstance(value, int | float):
            least = -LARGEST_NUMBER if name in SLACKS else 0
            if not least <= value <= LARGEST_NUMBER:
                raise ValueError(f"It says that '{name}' is {f'{value}'[:24]}")
    return metrics


def _present(call: Call, paths: Mapping[str, Path]) -> Call:
    """Return the call whose program is here; the first where none is."""
    candidate: Call | None = call
    while candidate is not None:
        with suppress(ToolError):
            _where(candidate.program, paths)
            return candidate
        candidate = candidate.otherwise
    return call


def _where(program: str, paths: Mapping[str, Path]) -> Path:
    if program == PYTHON:
        return Path(sys.executable)
    return require_tool(program, paths.get(program))


def _call_all(
    plan: Plan,
    folder: Path,
    paths: Mapping[str, Path],
    timeout_s: float,
    say: Say,
    heard: Heard,
    log: Path,
) -> None:
    limit = monotonic() + timeout_s
    (folder / LOG).write_bytes(b"")
    environment = _environment(paths)
    for wanted in plan.calls:
        call = _present(wanted, paths)
        heard.begin(call.stage, say)
        command = [str(_where(call.program, paths).absolute()), *call.arguments]
        left = max(0.0, limit - monotonic())
        try:
            status = stream(command, folder, folder / LOG, heard, left, environment)
        except TimeUp:
            raise BuildTimeout(
                "E503",
                "tool ran out of time",
                layer=call.program,
                cause=f"{call.stage} was stopped after {timeout_s:.0f} s",
                fix=f"Raise build.timeout_s, or make the design smaller; see {log}",
            ) from None
        except OSError as error:
            if error.filename is None or str(error.filename) != command[0]:
                raise
            raise BuildError(
                "E502",
                "tool cannot be started",
                layer=call.program,
                cause=f"{command[0]}: {error.strerror}",
                fix="Check its installation",
            ) from error
        if status > 0:
            raise heard.failure(call.program, f"It ended with status {status}", log)
        if status < 0:
            raise BuildError(
                "E502", "tool failed", layer=call.program, cause=_killed(-status), fix=f"See {log}"
            )


def _environment(paths: Mapping[str, Path]) -> dict[str, str]:
    """Return the environment in which programs find those that the configuration names.

    What a make around this run tells its own children is left out: it is not for a project's.
    """
    folders = [str(path.absolute().parent) for path in paths.values()]
    kept = {name: text for name, text in os.environ.items() if name not in OUTER_MAKE}
    return {**kept, "PATH": os.pathsep.join([*folders, kept.get("PATH", os.defpath)])}


def _killed(number: int) -> str:
    """Return which signal ended a program, as a sentence."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    memory = ": the machine may have run out of memory" if number == signal.SIGKILL else ""
    return f"It was ended by {name}{memory}"


def _timing(plan: Plan, metrics: Metrics) -> TimingError | None:
    if metrics.get("timing_met") is not False:
        return None
    wns, fmax = metrics.get("wns_ns"), metrics.get("fmax_mhz")
    said = [f"The clock period is {plan.clock_ns:g} ns"]
    if isinstance(wns, int | float):
        said.append(f"the worst slack {wns:g} ns")
    if isinstance(fmax, int | float):
        said.append(f"{fmax:g} MHz can be had")
    return TimingError(
        "E507",
        "timing not met",
        layer=plan.tool,
        cause=", ".join(said),
        fix="Raise schedule.clock_ns, lower schedule.logic_ns, or choose another build.strategy",
    )


def _found(report: Report, folder: Path) -> Path | None:
    plain = folder / report.path
    if plain.is_file():
        return plain
    matches = sorted(path for path in folder.glob(report.path) if path.is_file())
    return matches[0] if matches else None


def _kept(plan: Plan, folder: Path) -> Iterator[Path]:
    """Yield the log, the reports and the products that are there, once each."""
    paths = [folder / LOG, *(path for report in plan.reports if (path := _found(report, folder)))]
    for pattern in plan.products:
        paths += sorted(folder.glob(pattern))
    for path in dict.fromkeys(paths):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder)
