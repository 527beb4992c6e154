"""Candidates measured one by one, each in a process of its own, and held to the reference.

Owns ``measure`` and ``Failure``. Imports the jobs, outside processes and the records. One runtime
that crashes, hangs, takes all memory or computes something else is one row with its reason.
"""

from __future__ import annotations

import datetime
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from gateformer.baselines.jobs import ANSWER, JOB, JOBS, LOG, OUTPUTS, Answer, Job
from gateformer.baselines.pinning import HUGE_PAGES, choose, environment
from gateformer.baselines.record import Hardware, Record, Setup, Tier
from gateformer.baselines.registry import PLACES
from gateformer.baselines.runtime import Candidate
from gateformer.baselines.scratch import scratch
from gateformer.baselines.work import DecoderWork, Work
from gateformer.flow.files import write_whole
from gateformer.quant.errors import BaselineError, GateformerError, ToolError
from gateformer.toolchains.process import TimeUp, stream

TIMEOUT_S = 1800.0
"""Longest that one candidate may take, its loading and compiling included."""
WORDS = 300
"""Characters of a log's end that a message shows."""
LINES = 3

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Failure:
    """A candidate without a time.

    Attributes
    ----------
    runtime, precision : str
        The candidate's.
    tier : str
        Likewise.
    error : GateformerError
        E501 or E505 where a program or a package is not installed, E851 where it failed, E852
        where it computes something else, E853 where there is no GPU.
    """

    runtime: str
    precision: str
    tier: Tier
    error: GateformerError

    @property
    def key(self) -> str:
        """Return the candidate's key."""
        return f"{self.runtime}:{self.precision}"


def measure(
    work: Work,
    candidates: Sequence[Candidate],
    *,
    hardware: Hardware,
    threads: int,
    seconds: float,
    command: str,
    place: str | None = None,
    huge_pages: bool = False,
    estimate: bool = False,
    timeout_s: float = TIMEOUT_S,
    say: Say = lambda line: None,
    keep: Callable[[Record], object] = lambda record: None,
) -> list[Record | Failure]:
    """Return a record or a failure for each candidate, in their order.

    Parameters
    ----------
    work : Work
        The network or decoder, its batch with it.
    candidates : sequence of Candidate
        All of one place.
    hardware : Hardware
        What all of it runs on.
    threads : int
        Of the runtime; it is kept on as many processors.
    seconds : float
        Of timed calls, for each.
    command : str
        What the user typed, for the record.
    place : str, optional
        Where a worker finds the candidates; by default the registry's.
    huge_pages : bool
        Whether malloc is told to ask for huge pages; the record says so.
    estimate : bool
        Whether energy may be estimated, labelled ``modelled``, where no meter is.
    timeout_s : float
        Longest that each may take.
    say : callable
        Gets the candidate's name as it begins.
    keep : callable
        Gets each record as soon as it is there.
    """
    found: list[Record | Failure] = []
    references: dict[tuple[bool, bool, str], NDArray[np.float64] | GateformerError] = {}
    with _shared(work) as work:
        desk = _Desk(work, threads, seconds, timeout_s, huge_pages, estimate)
        for candidate in candidates:
            if lacking := candidate.lacking():
                what, fix = "Python package not installed", candidate.install
                error = ToolError("E505", what, layer=", ".join(lacking), fix=fix)
                found.append(_failure(candidate, error))
                continue
            kind = candidate.exact, candidate.quantizers, candidate.weights
            own = desk.of(candidate)
            if kind not in references:
                say("reference")
                references[kind] = own.reference(*kind[:2])
            reference = references[kind]
            if isinstance(reference, GateformerError):
                found.append(_failure(candidate, reference))
                continue
            say(candidate.key)
            where = place or PLACES[work.kind, "cuda" if candidate.device == "cuda" else "cpu"]
            try:
                answer, outputs = own.run(candidate, where)
                difference = compared(candidate, outputs, reference)
                record = own.record(candidate, answer, difference, hardware, command)
            except GateformerError as failed:
                found.append(_failure(candidate, failed))
                continue
            keep(record)
            found.append(record)
    return found


@contextmanager
def _shared(work: Work) -> Iterator[Work]:
    """Give the workers a file for what each of them needs of a decoder before its step."""
    if not isinstance(work, DecoderWork):
        yield work
        return
    with scratch() as folder:
        yield replace(work, kept=folder / "start.npz")


def compared(
    candidate: Candidate, outputs: NDArray[np.float64], reference: NDArray[np.float64]
) -> float:
    """Return the largest absolute difference of outputs from the reference.

    Raises
    ------
    BaselineError
        E852 where it is more than the candidate's tolerance times the largest output, or where
        many frames do not agree as it states; an exact candidate may not differ at all.
    """
    if outputs.shape != reference.shape:
        cause = f"They have the shape {outputs.shape}, the reference {reference.shape}"
        raise BaselineError("E852", "outputs differ from the model's", cause=cause)
    if candidate.agreement is not None:
        return candidate.agreement.held(outputs, reference, candidate.key)
    difference = float(np.abs(outputs - reference).max())
    largest = float(np.abs(reference).max())
    allowed = 0.0 if candidate.exact else candidate.tolerance * largest
    # Not "more than": a NaN is no agreement, nor is an infinity.
    if not (np.isfinite(largest) and difference <= allowed):
        raise BaselineError(
            "E852",
            "outputs differ from the model's",
            layer=candidate.key,
            cause=f"By {difference:.3g} where the largest is {largest:.3g}; rounding to "
            f"{candidate.precision} explains {allowed:.3g}",
        )
    return difference


@dataclass(frozen=True, slots=True)
class _Desk:
    """What all workers of one call have in common."""

    work: Work
    threads: int
    seconds: float
    timeout_s: float
    huge_pages: bool
    estimate: bool

    def of(self, candidate: Candidate) -> _Desk:
        """Return the same for the weights that a candidate stores."""
        if not isinstance(self.work, DecoderWork):
            return self
        return replace(self, work=self.work.stored(candidate.weights))

    def reference(self, exact: bool, quantizers: bool) -> NDArray[np.float64] | GateformerError:
        """Return the right outputs, from a worker as they may take much memory, or why not."""
        asked = Job("reference", self.work, os.getpid(), self._processors(), self.threads)
        try:
            asked = replace(asked, exact=exact, quantizers=quantizers)
            return self._done(asked, {})[1]
        except GateformerError as error:
            return error

    def run(self, candidate: Candidate, place: str) -> tuple[Answer, NDArray[np.float64]]:
        """Return a candidate's answer and outputs."""
        job = Job(
            "measure",
            self.work,
            os.getpid(),
            self._processors(),
            self.threads,
            place,
            candidate.key,
            self.seconds,
            estimate=self.estimate,
        )
        return self._done(job, candidate.environment)

    def record(
        self,
        candidate: Candidate,
        answer: Answer,
        difference: float,
        hardware: Hardware,
        command: str,
    ) -> Record:
        """Return what is stored.

        Raises
        ------
        BaselineError
            E851 where a runtime says of itself what cannot be.
        """
        try:
            return self._record(candidate, answer, difference, hardware, command)
        except ValidationError as error:
            said = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
            )
            raise BaselineError(
                "E851", "runtime failed", layer=candidate.key, cause=f"It gave {said}"
            ) from error

    def _record(
        self,
        candidate: Candidate,
        answer: Answer,
        difference: float,
        hardware: Hardware,
        command: str,
    ) -> Record:
        assert answer.times is not None
        options = dict(answer.options) | dict(candidate.environment)
        return Record(
            workload=self.work.workload(answer.bytes),
            hardware=hardware,
            setup=Setup(
                runtime=candidate.runtime,
                version=answer.version,
                precision=candidate.precision,
                tier=candidate.tier,
                threads=self.threads,
                options=options | (HUGE_PAGES if self.huge_pages else {}),
            ),
            times=answer.times,
            energy=answer.energy,
            energy_note=answer.energy_note,
            transfer=candidate.transfer,
            difference=difference,
            load=answer.load,
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            command=command[:200],
        )

    def _processors(self) -> tuple[int, ...]:
        return choose(self.threads)

    def _done(self, job: Job, extra: Mapping[str, str]) -> tuple[Answer, NDArray[np.float64]]:
        """Run a worker in a folder that goes with it: a model's files may fill a disk."""
        with scratch() as folder:
            write_whole(folder / JOB, JOBS.dump_json(job).decode())
            settings = environment(self.threads, huge_pages=self.huge_pages)
            # Whatever a runtime writes for itself goes there too.
            settings["TMPDIR"] = str(folder)
            command = [sys.executable, "-m", "gateformer.baselines.worker", str(folder)]
            try:
                status = stream(
                    command,
                    folder,
                    folder / LOG,
                    lambda line: None,
                    self.timeout_s,
                    {**os.environ, **settings, **extra},
                )
            except TimeUp:
                raise _failed(job, f"It was stopped after {self.timeout_s:.0f} s") from None
            if not (folder / ANSWER).is_file():
                raise _failed(job, _ended(status, folder / LOG))
            answer = _answer(job, folder / ANSWER)
            try:
                return answer, np.load(folder / OUTPUTS, allow_pickle=False)
            except (OSError, ValueError) as error:
                raise _failed(job, f"Its outputs cannot be read: {error}") from error


def _answer(job: Job, path: Path) -> Answer:
    try:
        answer = Answer.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _failed(job, str(error)) from error
    if answer.error:
        raise _own(answer.parts) or _failed(job, answer.error)
    return answer


def _own(parts: Mapping[str, str | None]) -> GateformerError | None:
    """Return a worker's error as it was, where it says what the user lacks: a tool or a GPU."""
    code = parts.get("code") or ""
    kinds = {"E5": ToolError, "E8": BaselineError}
    if code[:2] not in kinds:
        return None
    words = {name: parts.get(name) or "" for name in ("cause", "fix")}
    return kinds[code[:2]](code, parts.get("what") or "", layer=parts.get("layer"), **words)


def _failed(job: Job, cause: str) -> BaselineError:
    what = "the reference cannot be computed" if job.task == "reference" else "runtime failed"
    return BaselineError("E851", what, layer=job.key or job.work.name, cause=cause)


def _ended(status: int, log: Path) -> str:
    """Return why a worker left no answer: its status and its last words."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        text = file.read().decode("utf-8", errors="replace")
    said = " ".join(" ".join(text.split("\n")[-LINES:]).split())[-WORDS:]
    if status == -signal.SIGKILL:
        why = "It was killed, as the system does where memory runs out"
    elif status < 0:
        why = f"It ended by {signal.Signals(-status).name}"
    else:
        why = f"It ended with status {status} and no answer"
    return f"{why}. {said}" if said else why


def _failure(candidate: Candidate, error: GateformerError) -> Failure:
    return Failure(candidate.runtime, candidate.precision, candidate.tier, error)
