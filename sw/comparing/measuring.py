"""What was measured of a model: stored records, and what this machine measures where they lack.

Owns ``Measuring``, ``records``, ``check`` and ``measure``. Imports the baselines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import metadata
from typing import Literal

from gateformer.baselines import running, store
from gateformer.baselines.measure import Failure
from gateformer.baselines.opening import fingerprint
from gateformer.baselines.pinning import available
from gateformer.baselines.record import Hardware, Record
from gateformer.baselines.registry import PLACES, Device, candidates
from gateformer.baselines.runtime import Candidate
from gateformer.baselines.timing import LEAST
from gateformer.comparing.measured import Key, same
from gateformer.config.schema import Config
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import BaselineError, ConfigError, Problems

Mode = Literal["missing", "anew", "recorded"]
"""Measure what has no record here, or everything anew, or nothing."""
Model = Decoder | Config
DEVICES: tuple[Device, ...] = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Measuring:
    """How baselines are had.

    Attributes
    ----------
    mode : str
        What is measured.
    runtimes : tuple of str
        Runtimes, or ``runtime:precision``; all where empty.
    context, batch : int
        As the workload has them.
    threads : int or None
        Of each runtime; None: as `gateformer.baselines.running` resolves it. Records of other
        numbers are not shown.
    seconds : float
        Of timed calls, for each.
    huge_pages : bool or None
        As for ``running``. Records of both kinds of pages are shown, each with its name.
    """

    mode: Mode = "missing"
    runtimes: tuple[str, ...] = ()
    context: int = running.CONTEXT
    batch: int = 1
    threads: int | None = None
    seconds: float = running.SECONDS
    huge_pages: bool | None = None

    @property
    def wanted(self) -> running.Wanted:
        """Return the same as a run of baselines has it, all its runtimes."""
        return running.Wanted(
            batch=self.batch,
            context=self.context,
            threads=self.threads,
            seconds=self.seconds,
            huge_pages=self.huge_pages,
        )

    def shows(self, runtime: str, precision: str) -> bool:
        """Whether a runtime at a precision is one of those asked for."""
        return not self.runtimes or not {runtime, f"{runtime}:{precision}"}.isdisjoint(
            self.runtimes
        )


def records(model: Model, how: Measuring, here: Hardware) -> list[Record]:
    """Return a model's records: this machine's and all GPUs', other processors' where it has none.

    Without a number of threads, those that each machine's own command takes.

    Raises
    ------
    BaselineError, Problems
        E850 where a file of records is malformed.
    """
    stored = store.find(workload=str(model.name), fingerprint=fingerprint(model))
    context = how.context if isinstance(model, Decoder) else 0
    found = [
        one.record
        for one in stored
        if (one.record.workload.batch, one.record.workload.context) == (how.batch, context)
        and how.shows(one.record.setup.runtime, one.record.setup.precision)
    ]
    processors = [
        one
        for one in found
        if one.hardware.kind == "cpu" and one.setup.threads == threads(model, how, one.hardware)
    ]
    own = [one for one in processors if same(one.hardware, here)]
    return (own or processors) + [one for one in found if one.hardware.kind == "gpu"]


def threads(model: Model, how: Measuring, machine: Hardware) -> int:
    """Return how many threads a model's runtimes have on a machine where nothing else is said."""
    alone = isinstance(model, Config) and how.batch == 1
    return how.threads or (1 if alone else max(machine.cores, 1))


def check(models: Sequence[Model], how: Measuring) -> None:
    """Raise where no model has a runtime that is asked for, or threads would only wait.

    Raises
    ------
    ConfigError, Problems
        E005 for each unknown runtime, E022 for more threads than processors.
    """
    problems: list[ConfigError] = []
    processors = len(available())
    if how.mode != "recorded" and (how.threads or 1) > processors:
        cause = f"This process may use {processors} processors: more threads would only wait"
        problems.append(ConfigError("E022", "setting out of range", layer="--threads", cause=cause))
    kinds = {running.KINDS[type(model)] for model in models} if how.runtimes else set()
    places = sorted({PLACES[kind, device] for kind in kinds for device in DEVICES})
    known = [one for place in places for one in candidates(place)]
    names = sorted({one.key for one in known} | {one.runtime for one in known})
    problems += [
        ConfigError(
            "E005",
            "unknown --runtime",
            layer=one,
            cause=f"There are {', '.join(sorted({each.key for each in known}))}",
            fix=f"Did you mean '{near[0]}'?" if (near := get_close_matches(one, names, 1)) else "",
        )
        for one in how.runtimes
        if one not in names
    ]
    Problems.raise_if_any(problems)


def measure(
    models: Sequence[Model],
    how: Measuring,
    here: Hardware,
    device: Device,
    command: str,
    say: Callable[[str], None],
) -> tuple[dict[str, list[tuple[str, str]]], set[Key]]:
    """Measure what is asked for and has no record on this machine, and store it.

    Returns
    -------
    reasons : dict of str to list of (str, str)
        By model: candidates that have no time, and why.
    fresh : set of tuple
        Keys of the records that were made.
    """
    fresh: set[Key] = set()
    groups: dict[tuple[str, ...], list[Model]] = {}
    reasons: dict[str, list[tuple[str, str]]] = {str(model.name): [] for model in models}
    for model in models:
        held = records(model, how, here) if how.mode == "missing" else []
        keys = []
        for one in lacking(model, how, device, held, here):
            if (why := one.missing()) is None:
                keys.append(one.key)
            else:
                reasons[str(model.name)].append((one.key, why))
        if keys:
            groups.setdefault(tuple(keys), []).append(model)
    for some, group in groups.items():
        wanted = replace(how.wanted, runtimes=some, command=command)
        for rows in running.run(group, wanted, device=device, say=say):
            fresh |= {store.key(one) for one in rows.records}
            reasons[rows.name] += [
                (one.key, str(one.error)) for one in rows.rows if isinstance(one, Failure)
            ]
    return reasons, fresh


def lacking(
    model: Model, how: Measuring, device: Device, held: Iterable[Record], here: Hardware
) -> list[Candidate]:
    """Return the candidates that are asked for and that this machine has no such record of.

    One of other pages, of another version of the runtime or of fewer calls than any run makes is
    none; `records` has left out other numbers of threads.
    """
    pages = "huge" if running.huge_pages_of(model, how.wanted, device) else "plain"
    own = [
        one
        for one in held
        if same(one.hardware, here) and one.pages == pages and one.times.samples >= LEAST
    ]
    return [
        one
        for one in candidates(PLACES[running.KINDS[type(model)], device])
        if how.shows(one.runtime, one.precision) and not any(_made(record, one) for record in own)
    ]


def _made(record: Record, candidate: Candidate) -> bool:
    """Whether a record is a candidate's, with the packages that are installed."""
    setup = record.setup
    if (setup.runtime, setup.precision, setup.tier) != (
        candidate.runtime,
        candidate.precision,
        candidate.tier,
    ):
        return False
    installed = [one for one in map(installed_version, candidate.packages) if one is not None]
    return not installed or _release(setup.version) in installed


def installed_version(module: str) -> str | None:
    """Return a module's installed version, or None where no package is known by its name."""
    for name in metadata.packages_distributions().get(module, ()):
        return _release(metadata.version(name))
    return None


def _release(version: str) -> str:
    """Return a version without what names its build: ``2.13.0`` of ``2.13.0+cpu``."""
    return re.split(r"[+-]", version, maxsplit=1)[0]


def board() -> Hardware | None:
    """Return this machine's GPU, or None where it has none."""
    from gateformer.baselines.gpu.hardware import gpu

    try:
        return gpu()
    except BaselineError:
        return None
