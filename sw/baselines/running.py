"""A whole run of baselines: the machine, its bandwidth, all models, all candidates, the files.

Owns ``Wanted``, ``Rows`` and ``run``. Imports the measuring loop, the works and the store.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateformer.baselines import bandwidth, store
from gateformer.baselines.hardware import cpu
from gateformer.baselines.measure import TIMEOUT_S, Failure, measure
from gateformer.baselines.opening import decoder_work, network_work
from gateformer.baselines.pinning import Pages, available, cores, no_huge_pages, pages
from gateformer.baselines.record import Hardware, Record
from gateformer.baselines.registry import PLACES, Device, chosen
from gateformer.baselines.runtime import Candidate
from gateformer.baselines.scratch import scratch, sweep
from gateformer.baselines.work import Work
from gateformer.config.schema import Config
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, GateformerError, Problems

CONTEXT = 128
"""Tokens in the KV cache where nothing is said."""
SECONDS = 3.0
"""Of timed calls, where nothing is said."""
KINDS = {Decoder: "decode", Config: "network"}

Model = Decoder | Config


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for.

    Attributes
    ----------
    runtimes : tuple of str
        Some of the candidates; all of them where empty.
    batch, context : int
        Inferences or sequences at once; tokens in a decoder's KV cache.
    threads : int or None
        Of each runtime; None: one a core, and for a single inference of a network just one: in
        its microseconds threads cannot even meet.
    seconds : float
        Of timed calls, for each candidate.
    seed : int
        Of a decoder's weights.
    huge_pages : bool or None
        As for ``measure``; None: for decoders on a CPU, where there are some. Their weights stand
        in memory, and on plain pages addresses take as long to look up as numbers to read.
    estimate : bool
        As for ``measure``.
    timeout_s : float
        Longest that a candidate may take.
    command : str
        What was typed.
    """

    runtimes: tuple[str, ...] = ()
    batch: int = 1
    context: int = CONTEXT
    threads: int | None = None
    seconds: float = SECONDS
    seed: int = 0
    huge_pages: bool | None = None
    estimate: bool = False
    timeout_s: float = TIMEOUT_S
    command: str = "gateformer baseline"


@dataclass(frozen=True, slots=True)
class Rows:
    """What became of one model.

    Attributes
    ----------
    name, kind : str
        The workload's.
    rows : tuple of Record or Failure
        A candidate each.
    path : Path or None
        Where the records stand; None where there are none.
    unkept : str or None
        Why some of them could not be written; they are among the rows all the same.
    """

    name: str
    kind: str
    rows: tuple[Record | Failure, ...]
    path: Path | None
    unkept: str | None = None

    @property
    def records(self) -> tuple[Record, ...]:
        """Return those that were measured."""
        return tuple(one for one in self.rows if isinstance(one, Record))


def run(
    models: Sequence[Model],
    wanted: Wanted,
    *,
    device: Device = "cpu",
    folder: Path = store.OWN,
    say: Callable[[str], None] = lambda line: None,
    done: Callable[[Rows], None] = lambda rows: None,
) -> list[Rows]:
    """Measure models on this machine; what was measured is stored at once.

    Parameters
    ----------
    models : sequence of Decoder or Config
        What to run.
    wanted : Wanted
        How.
    device : {"cpu", "cuda"}
        On what.
    folder : Path
        Where the records go.
    say : callable
        Told what is measured now.
    done : callable
        Gets each model's rows.

    Raises
    ------
    GateformerError, Problems
        E005 for a runtime that no model has, E022 for a context that a decoder does not take, for
        more threads than processors and for huge pages where there are none, E853 where there is
        no GPU, E850 where the file of a model's records is malformed: all before anything runs.
    OSError
        Where the folder takes no files, likewise.
    """
    picked = _picked(models, wanted, device)
    Problems.raise_if_any(_refused(models, wanted))
    for name in dict.fromkeys(str(model.name) for model in models):
        store.find(workload=name, own=folder)
    store.ready(folder)
    sweep()
    say("memory bandwidth")
    there = machine(device, wanted.threads)
    found = []
    for model in models:
        kind = KINDS[type(model)]
        huge = huge_pages_of(model, wanted, device)
        unkept: list[OSError] = []
        with scratch() as place:
            work = _work(model, wanted, place)
            rows = measure(
                work,
                picked[kind],
                hardware=there(pages(huge)),
                threads=threads_of(model, wanted),
                seconds=wanted.seconds,
                command=wanted.command,
                huge_pages=huge,
                estimate=wanted.estimate,
                timeout_s=wanted.timeout_s,
                say=lambda key, name=work.name: say(f"{name}: {key}"),  # type: ignore[misc] # bound
                keep=lambda record, unkept=unkept: _kept(record, folder, unkept),  # type: ignore[misc] # bound
            )
        records = [row for row in rows if isinstance(row, Record)]
        path = store.place(records[0], folder) if records else None
        why = str(unkept[0]) if unkept else None
        one = Rows(work.name, kind, tuple(rows), path, why)
        found.append(one)
        done(one)
    return found


def _kept(record: Record, folder: Path, unkept: list[OSError]) -> None:
    """Store a record; a disk that is full by now does not take the other candidates' times."""
    try:
        store.keep([record], folder)
    except OSError as error:
        unkept.append(error)


def _refused(models: Sequence[Model], wanted: Wanted) -> Iterator[GateformerError]:
    """Yield what of the settings cannot be had."""
    for model in models:
        if isinstance(model, Decoder):
            try:
                decoder_work(model, context=wanted.context)
            except ConfigError as error:
                yield error
    processors = len(available())
    if (wanted.threads or 1) > processors:
        cause = f"This process may use {processors} processors: more threads would only wait"
        yield ConfigError("E022", "setting out of range", layer="--threads", cause=cause)
    if wanted.huge_pages and (why := no_huge_pages(platform.libc_ver())) is not None:
        yield ConfigError("E022", "setting out of range", layer="--huge-pages", cause=why)


def threads_of(model: Model, wanted: Wanted) -> int:
    """Return how many threads a model's runtimes get."""
    alone = isinstance(model, Config) and wanted.batch == 1
    return wanted.threads or (1 if alone else cores())


def huge_pages_of(model: Model, wanted: Wanted, device: Device = "cpu") -> bool:
    """Return whether a model's runtimes ask for huge pages; a record's options say the same."""
    if wanted.huge_pages is not None:
        return wanted.huge_pages
    weighty = isinstance(model, Decoder) and device == "cpu"
    return weighty and no_huge_pages(platform.libc_ver()) is None


def machine(device: Device, threads: int | None) -> Callable[[Pages], Hardware]:
    """Return what runs, its memory's bandwidth measured with so many threads, by kind of pages.

    Raises
    ------
    BaselineError
        E853 where there is no GPU.
    """
    if device == "cuda":
        from gateformer.baselines.gpu.hardware import gpu

        board = gpu()
        return lambda kind: board
    found = bandwidth.measure(threads or cores())
    return lambda kind: cpu(found.on(kind))


def _work(model: Model, wanted: Wanted, place: Path) -> Work:
    if isinstance(model, Decoder):
        return decoder_work(model, context=wanted.context, batch=wanted.batch, seed=wanted.seed)
    return network_work(model, place, batch=wanted.batch)


def _picked(
    models: Sequence[Model], wanted: Wanted, device: Device
) -> dict[str, tuple[Candidate, ...]]:
    """Return the candidates of each kind of work; a runtime has to be one of some kind's."""
    found: dict[str, tuple[Candidate, ...]] = {}
    unknown: list[set[str | None]] = []
    faults: list[GateformerError] = []
    for kind in dict.fromkeys(KINDS[type(model)] for model in models):
        some, errors = _known(PLACES[kind, device], wanted.runtimes)
        found[kind] = some
        unknown.append({error.layer for error in errors})
        faults += errors
    nowhere = set.intersection(*unknown) if unknown else set()
    Problems.raise_if_any({e.layer: e for e in faults if e.layer in nowhere}.values())
    return found


def _known(place: str, runtimes: Sequence[str]) -> tuple[tuple[Candidate, ...], list[ConfigError]]:
    """Return the candidates that a place has of some runtimes, and an error for each other one."""
    if not runtimes:
        return chosen(place, ()), []
    some: list[Candidate] = []
    errors: list[ConfigError] = []
    for one in dict.fromkeys(runtimes):
        try:
            some += [each for each in chosen(place, (one,)) if each not in some]
        except ConfigError as error:
            errors.append(error)
    return tuple(some), errors
