"""The pieces that a simulated generation is made of.

Owns ``Settings``, ``Part``, ``Slice``, ``Timeline`` and ``Capacity``. Imports only numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Clocks = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Settings:
    """What was simulated, as ``simulate`` takes it.

    Attributes
    ----------
    tokens, prompt, past : int
        Tokens generated; tokens of the prompt before them; tokens in the cache before those.
    batch, v_batch : int
        Sequences at once; tokens whose values are written together.
    mapping, weights : str
        Mapping policy and format of the weights.
    refresh : str
        Policy.
    hot, overlap : bool
        Refresh twice as often; ASIC and memory together.
    method : str
        ``closed`` or ``command``.
    ffn_keep : float
        Share of the feed-forward network's hidden vector that is multiplied.
    """

    tokens: int
    prompt: int
    past: int
    batch: int
    v_batch: int
    mapping: str
    weights: str
    refresh: str
    hot: bool
    overlap: bool
    method: str
    ffn_keep: float = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of work, over all tokens and blocks.

    Attributes
    ----------
    name : str
        Operation, such as ``ffn/up`` or ``attention/softmax``.
    on : {"memory", "asic"}
        What does it.
    clocks : int
        Clocks of the memory that it takes, ``refresh`` and ``link`` among them.
    refresh, link : int
        Of them, those by which refreshes lengthened it, and those spent on the link beyond what its
        commands take.
    times : int
        How often it was done.
    macs, sent, received : int
        Useful multiply-accumulates, and bytes over the link to and from the memory.
    """

    name: str
    on: str
    clocks: int
    refresh: int = 0
    link: int = 0
    times: int = 0
    macs: int = 0
    sent: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of clocks, for traces.

    Attributes
    ----------
    track : str
        ``token``, ``memory`` or ``asic``.
    name : str
        What went on.
    start, clocks : int
        First clock and length.
    """

    track: str
    name: str
    start: int
    clocks: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Each step's place in time, for tokens of one shape after another.

    Attributes
    ----------
    tokens : range
        Tokens, counted from the first of the prompt.
    steps : tuple of (str, str)
        Track and name of each step, in issue order.
    starts, clocks : int64 array, shape (tokens, steps)
        First clock and length of each.
    """

    tokens: range
    steps: tuple[tuple[str, str], ...]
    starts: Clocks
    clocks: Clocks


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the model takes of each channel.

    Attributes
    ----------
    weights, cache, total : int
        Bytes a channel of weights and of KV cache as reserved, and bytes that there are.
    """

    weights: int
    cache: int
    total: int

    @property
    def share(self) -> float:
        """Share of the channel that is taken."""
        return (self.weights + self.cache) / self.total
