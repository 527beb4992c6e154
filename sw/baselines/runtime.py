"""What a baseline's runtime has to offer, so that one measuring loop serves all of them.

Owns ``Session``, what a network's can do besides, and ``Candidate``. Imports the records' words
and how outputs are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.agreement import Agreement
from gateformer.baselines.record import Tier


class Session(Protocol):
    """A model that stands ready in a runtime, its inputs in place."""

    version: str
    """Of the runtime."""
    options: Mapping[str, str]
    """Settings that differ from its defaults."""
    bytes: int
    """Read from memory for one step: weights as this runtime stores them, and caches."""

    def step(self) -> None:
        """Run one inference of the whole batch, or one decoding step, to its end."""

    def outputs(self) -> NDArray[np.float64]:
        """Return what the last step gave: (batch, outputs), for the check against the reference."""

    def close(self) -> None:
        """Give its memory back."""


@runtime_checkable
class Turning(Session, Protocol):
    """A network: it has several batches of frames at hand."""

    batches: int
    """How many."""

    def turn(self, place: int) -> None:
        """Put one of them into the inputs; no part of a step's time."""


@runtime_checkable
class Clocked(Turning, Protocol):
    """A network that reads the clock itself, as a call from Python would show in its time."""

    def repeat(self, calls: int) -> NDArray[np.float64]:
        """Run so many steps, each on the next batch; return the seconds of each."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a workload.

    Attributes
    ----------
    runtime, precision : str
        Such as ``onnxruntime`` and ``int8``.
    tier : str
        How much work a user puts into it.
    packages : tuple of str
        Modules that have to be importable.
    extra : str
        The package's extra that brings them.
    open : callable
        ``open(work, threads) -> Session`` of a `gateformer.baselines.work` object; runs in the
        worker, after pinning.
    tolerance : float
        Largest difference from the reference that rounding at this precision explains, of the
        largest output.
    device : str
        ``cpu`` or ``cuda``.
    environment : mapping of str to str
        For the worker's process.
    exact : bool
        It computes the lowered graph's integers: held to those, as reals.
    quantizers : bool
        It computes a network with its activation quantizers: held to that one.
    weights : str
        How a decoder's weights are stored: held to a decoder of the weights that this leaves, a key
        of `gateformer.baselines.decoders.rounding`; empty: to one of float32 weights.
    agreement : Agreement or None
        In the place of the tolerance: a network's outputs over many frames.
    transfer : bool
        Whether a step moves its inputs to the device and its outputs back, or works on the host's
        own memory: true; inputs that stay on a device: false.
    """

    runtime: str
    precision: str
    tier: Tier
    packages: tuple[str, ...]
    extra: str
    open: Callable[[Any, int], Session]
    tolerance: float
    device: str = "cpu"
    environment: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False
    transfer: bool = True
    quantizers: bool = False
    agreement: Agreement | None = None
    weights: str = ""

    @property
    def key(self) -> str:
        """Return what a user types, such as ``onnxruntime:int8``."""
        return f"{self.runtime}:{self.precision}"

    @property
    def install(self) -> str:
        """Return the command that brings its packages."""
        return f"pip install -e '.[{self.extra}]'"

    def lacking(self) -> tuple[str, ...]:
        """Return the modules that are not installed."""
        return tuple(name for name in self.packages if find_spec(name) is None)

    def missing(self) -> str | None:
        """Return what is not installed, as a sentence, or None."""
        lacking = self.lacking()
        return f"not installed: {', '.join(lacking)} ({self.install})" if lacking else None
