"""A compiled step: stretches of instructions for the memory, and work for the ASIC.

Owns ``Loop``, ``Segment``, ``AsicWork``, ``Step`` and ``Program``. Imports the instructions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gateformer.hw.pim.isa import Instruction


@dataclass(frozen=True, slots=True)
class Loop:
    """Instructions sent ``count`` times in order; every row moves on by ``stride`` each time.

    Attributes
    ----------
    body : tuple of Instruction
        What is sent, with the rows of the first time.
    count : int
        Times, at least 1.
    stride : int
        Rows from one time to the next, for those instructions that address a row.
    """

    body: tuple[Instruction, ...]
    count: int = 1
    stride: int = 1

    def expand(self, offset: int = 0) -> Iterator[Instruction]:
        """Yield every instruction, its row moved by ``offset``."""
        for time in range(self.count):
            moved = offset + time * self.stride
            for one in self.body:
                yield one if one.row < 0 else replace(one, row=one.row + moved)


@dataclass(frozen=True, slots=True)
class Segment:
    """What the memory does without waiting for the ASIC.

    Segments are shared: all blocks use one object, each with its own row offset (``Step``), and so
    do all tokens for which nothing differs. Neither changes what a segment takes on its own.

    Attributes
    ----------
    name : str
        Operation, such as ``attention/score``.
    loops : tuple of Loop
        Sent one after another, to every channel alike unless the instructions say otherwise.
    sent, received : int
        Bytes over the link to all channels and from them.
    """

    name: str
    loops: tuple[Loop, ...]
    sent: int = 0
    received: int = 0

    def expand(self, offset: int = 0) -> Iterator[Instruction]:
        """Yield every instruction, its row moved by ``offset``."""
        for loop in self.loops:
            yield from loop.expand(offset)


@dataclass(frozen=True, slots=True)
class AsicWork:
    """What the ASIC does.

    Attributes
    ----------
    name : str
        Operation, such as ``attention/softmax``.
    unit : str
        A unit of the device's ASIC: ``softmax``, ``norm``, ``gelu``, ``add``, ...
    elements : int
        Numbers that go through it.
    vectors : int
        Independent vectors that these make up, each of which pays the unit's latency.
    results : int
        What vectors make together, where a unit puts several into one (``merge``: heads).
    """

    name: str
    unit: str
    elements: int
    vectors: int = 1
    results: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of work and what must have ended before it.

    Attributes
    ----------
    work : Segment or AsicWork
        The work.
    after : tuple of int
        Positions of the steps whose results it needs.
    block : int
        The decoder's block that it belongs to, from 0; -1 before and behind the blocks.
    offset : int
        Added to every row of a segment.
    macs : int
        Useful multiply-accumulates of all channels, padding apart.
    """

    work: Segment | AsicWork
    after: tuple[int, ...] = ()
    block: int = -1
    offset: int = 0
    macs: int = 0

    @property
    def name(self) -> str:
        """Block and operation, such as ``block3/attention/score``."""
        return self.work.name if self.block < 0 else f"block{self.block}/{self.work.name}"

    def expand(self) -> Iterator[Instruction]:
        """Yield every instruction with its row; none for the ASIC."""
        if isinstance(self.work, Segment):
            yield from self.work.expand(self.offset)


@dataclass(frozen=True, slots=True)
class Program:
    """All steps of one token of one sequence (or of a batch), in the order the host issues them.

    Attributes
    ----------
    name : str
        The model's name.
    steps : tuple of Step
        In issue order.
    """

    name: str
    steps: tuple[Step, ...]
