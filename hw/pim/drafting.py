"""Steps of a block before they are placed in a program.

Owns ``Draft``, ``Drafts`` and ``Lifted``. Imports the grid, programs and the decoder's operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from gateformer.hw.pim.grid import Grid, segment
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.program import AsicWork, Loop, Segment
from gateformer.quant.decoder import Operation

Draft = tuple[Segment | AsicWork, tuple[int, ...], int, int]
"""Work, steps that it needs, useful multiply-accumulates, and rows to add to the block's own. Steps
are counted from the first of the drafts; -1 is the step in front of it."""


class Drafts:
    """A list of steps that grows, and where each operation's result comes from."""

    def __init__(self) -> None:
        self.found: list[Draft] = []
        self.ends: dict[str, tuple[int, ...]] = {"input": (-1,)}

    def copy(self) -> Drafts:
        """Return a list that grows on its own."""
        other = Drafts()
        other.found, other.ends = self.found.copy(), self.ends.copy()
        return other

    def add(
        self, work: Segment | AsicWork, after: tuple[int, ...], macs: int = 0, rows: int = 0
    ) -> int:
        """Append a step; returns its number."""
        self.found.append((work, after, macs, rows))
        return len(self.found) - 1

    def asic(
        self,
        name: str,
        unit: str,
        elements: int,
        after: tuple[int, ...],
        vectors: int = 1,
        results: int = 1,
    ) -> int:
        """Append a step of the ASIC; returns its number."""
        return self.add(_work(name, unit, elements, vectors, results), after)

    def end(self, name: str, *steps: int) -> None:
        """Say which steps end an operation; those of its parts add up."""
        self.ends[name] = self.ends.get(name, ()) + steps

    def behind(self, one: Operation) -> tuple[int, ...]:
        """Return the steps that an operation's inputs end with."""
        return tuple(step for name in one.inputs for step in self.ends[name])


class Lifted:
    """Segments that are the same but for their rows, made only once.

    Parameters
    ----------
    grid : Grid
        Sizes.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._kept: dict[tuple[str, tuple[tuple[str, int, int, int, int, int], ...]], Segment] = {}

    def of(self, name: str, program: Sequence[Instruction]) -> tuple[Segment, int]:
        """Return reads or writes as a segment whose first row is 0, and their first row."""
        first = min(one.row for one in program)
        key = tuple(
            (one.op, one.size, one.channels, one.bank, one.row - first, one.column)
            for one in program
        )
        if (name, key) not in self._kept:
            body = tuple(replace(one, row=one.row - first) for one in program)
            self._kept[name, key] = segment(self.grid, name, (Loop(body),))
        return self._kept[name, key], first


@lru_cache(maxsize=4096)
def _work(name: str, unit: str, elements: int, vectors: int, results: int) -> AsicWork:
    return AsicWork(name, unit, elements, vectors, results)
