"""What is asked of a worker process and what it answers: JSON files.

Owns ``Job``, ``Answer``, their files and their names. Imports the work and the records' words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, TypeAdapter

from gateformer.baselines.record import Times
from gateformer.baselines.work import Work
from gateformer.energy.figure import Energy, Plain

JOB, ANSWER, OUTPUTS, LOG = "job.json", "answer.json", "outputs.npy", "log.txt"
"""Files in the worker's folder: what it reads, what it writes, and all that it says."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker does.

    Attributes
    ----------
    task : {"measure", "reference"}
        Time a candidate, or compute what all candidates are held to.
    work : Work
        The network or the decoder.
    parent : int
        Process that the worker ends with.
    processors : tuple of int
        Where it may run.
    threads : int
        For the runtime.
    place, key : str
        The candidate.
    seconds : float
        Of timed calls.
    exact : bool
        The reference of integers.
    quantizers : bool
        The reference of a network with its activation quantizers.
    estimate : bool
        Whether energy may be estimated where no meter is.
    """

    task: Literal["measure", "reference"]
    work: Work
    parent: int
    processors: tuple[int, ...]
    threads: int
    place: str = ""
    key: str = ""
    seconds: float = 0.0
    exact: bool = False
    estimate: bool = False
    quantizers: bool = False


class Answer(Plain):
    """What came of it."""

    version: str = ""
    options: dict[str, str] = Field(default_factory=dict)
    bytes: int = 0
    times: Times | None = None
    """None where it is a reference, or where it failed."""
    load: float = 0.0
    energy: Energy | None = None
    energy_note: str = ""
    error: str = ""
    """Why it failed, in a sentence."""
    parts: dict[str, str | None] = Field(default_factory=dict)
    """The error's parts, where it is one of gateformer's own: something is not installed, say."""


JOBS: TypeAdapter[Job] = TypeAdapter(Job)
