"""What was measured of a model: stored records, and what this machine measures where they lack.

Owns ``Measuring``, ``records``, ``check`` and ``measure``. Imports the baselines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from gateformer.baselines import running, store
from gateformer.baselines.hardware import cpu
from gateformer.baselines.measure import Failure
from gateformer.baselines.opening import fingerprint
from gateformer.baselines.pinning import available
from gateformer.baselines.record import Record
from gateformer.baselines.registry import PLACES, Device, candidates
from gateformer.baselines.runtime import Candidate
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
        Of each runtime; None: one a core. Records of other numbers are not shown.
    seconds : float
        Of timed calls, for each.
    """

    mode: Mode = "missing"
    runtimes: tuple[str, ...] = ()
    context: int = running.CONTEXT
    batch: int = 1
    threads: int | None = None
    seconds: float = running.SECONDS

    def shows(self, runtime: str, precision: str) -> bool:
        """Whether a runtime at a precision is one of those asked for."""
        return not self.runtimes or not {runtime, f"{runtime}:{precision}"}.isdisjoint(
            self.runtimes
        )


def records(model: Model, how: Measuring, here: str) -> list[Record]:
    """Return a model's records: this machine's and all GPUs', other processors' where it has none.

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
        and how.threads in (None, one.record.setup.threads)
    ]
    processors = [one for one in found if one.hardware.kind == "cpu"]
    own = [one for one in processors if one.hardware.id == here]
    return (own or processors) + [one for one in found if one.hardware.kind == "gpu"]


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
    here: str,
    device: Device,
    command: str,
    say: Callable[[str], None],
) -> dict[str, list[tuple[str, str]]]:
    """Measure what is asked for and has no record on this machine, and store it.

    Returns
    -------
    dict of str to list of (str, str)
        By model: candidates that have no time, and why.
    """
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
        wanted = running.Wanted(
            runtimes=some,
            batch=how.batch,
            context=how.context,
            threads=how.threads,
            seconds=how.seconds,
            command=command,
        )
        for rows in running.run(group, wanted, device=device, say=say):
            reasons[rows.name] += [
                (one.key, str(one.error)) for one in rows.rows if isinstance(one, Failure)
            ]
    return reasons


def lacking(
    model: Model, how: Measuring, device: Device, held: Iterable[Record], here: str
) -> list[Candidate]:
    """Return the candidates that are asked for and that this machine has no record of."""
    there = {
        (one.setup.runtime, one.setup.precision, one.setup.tier)
        for one in held
        if one.hardware.id == here
    }
    return [
        one
        for one in candidates(PLACES[running.KINDS[type(model)], device])
        if how.shows(one.runtime, one.precision)
        and (one.runtime, one.precision, one.tier) not in there
    ]


def here(device: Device) -> str | None:
    """Return this machine's id, or None where it has no GPU."""
    if device == "cpu":
        return cpu().id
    from gateformer.baselines.gpu.hardware import gpu

    try:
        return gpu().id
    except BaselineError:
        return None
