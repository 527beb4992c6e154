"""Stall patterns: in which clocks a neighbour of a stream does nothing.

Owns ``StallPattern``, shared by the RTL benches and the event simulator. Imports only numpy.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class StallPattern:
    """Clocks in which sources offer no new beat and sinks are not ready.

    A source that has offered a beat keeps offering it until it is taken, as AXI4-Stream asks.

    Attributes
    ----------
    kind : {"random", "bursts"}
        ``random``: each clock stalls on its own. ``bursts``: stalls and runs of geometric length.
    seed : int
        Same seed, same pattern; every stream has its own.
    probability : float
        Share of stalled clocks.
    burst : int
        Mean clocks of a stall in ``bursts``.
    sources, sinks : bool
        Which sides stall.
    """

    kind: Literal["random", "bursts"] = "random"
    seed: int = 0
    probability: float = 0.3
    burst: int = 8
    sources: bool = True
    sinks: bool = True

    def source(self, stream: str) -> Stalls:
        """Clocks in which the source of a stream offers no new beat."""
        return Stalls(self if self.sources else None, stream)

    def sink(self, stream: str) -> Stalls:
        """Clocks in which the sink of a stream is not ready."""
        return Stalls(self if self.sinks else None, stream)


class Stalls:
    """One stream's stalled clocks, made as far as they are asked for.

    Parameters
    ----------
    pattern : StallPattern or None
        None never stalls.
    stream : str
        The stream's name.
    """

    def __init__(self, pattern: StallPattern | None, stream: str) -> None:
        self._pattern = pattern
        self._known: list[bool] = []
        seed = 0 if pattern is None else pattern.seed
        self._random = np.random.default_rng([seed, zlib.crc32(stream.encode())])

    def __getitem__(self, clock: int) -> bool:
        if self._pattern is None:
            return False
        while clock >= len(self._known):
            self._known += self._block(self._pattern).tolist()
        return self._known[clock]

    def _block(self, pattern: StallPattern) -> NDArray[np.bool_]:
        if pattern.kind == "random":
            return self._random.random(_BLOCK) < pattern.probability
        runs = max(1.0, pattern.burst * (1 / max(pattern.probability, 1e-6) - 1))
        lengths = np.empty(2 * (_BLOCK // 2), np.int64)
        lengths[0::2] = self._random.geometric(1 / runs, _BLOCK // 2)
        lengths[1::2] = self._random.geometric(1 / max(1, pattern.burst), _BLOCK // 2)
        return np.repeat(np.tile([False, True], _BLOCK // 2), lengths)


def stalls_of(pattern: StallPattern | None, stream: str, source: bool) -> Stalls:
    """One stream's stalled clocks; none without a pattern."""
    if pattern is None:
        return Stalls(None, stream)
    return pattern.source(stream) if source else pattern.sink(stream)
