"""Steps in time: the memory and the ASIC, one after the other or together.

Owns ``Work``, ``Works``, ``Plan``, ``serial`` and ``together``. Imports devices, programs and the
memory.

Without overlap a step starts when memory and ASIC are both idle, in issue order, as PIM-GPT's
simulator does. With overlap each of the two takes its steps in issue order, each as soon as the
steps that it needs have ended and the one before it on the same side has. Times are clocks of the
memory; the ASIC's are rounded up, once a step. A token starts when the one before it has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from operator import attrgetter
from typing import cast

from gateformer.hw.pim import asic
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.program import AsicWork, Program, Segment, Step
from gateformer.quant.errors import PimError
from gateformer.sim.pim.loads import Load, link_clocks, load_of
from gateformer.sim.pim.memory import Memory

MEMORY, ASIC = "memory", "asic"
_WORK, _OFFSET, _MACS = attrgetter("work"), attrgetter("offset"), attrgetter("macs")


@dataclass(eq=False, slots=True)
class Work:
    """A segment or a piece of the ASIC's work, as the timeline needs it.

    Attributes
    ----------
    part : int
        Number of its name among all.
    segment : Segment or None
        What the memory does.
    load : Load or None
        What that asks of channels and banks.
    clocks : int
        Clocks of the ASIC's work, or those that the link adds to the segment.
    uses, macs : int
        How often it was done, and the useful multiply-accumulates of all times.
    """

    part: int
    segment: Segment | None
    load: Load | None
    clocks: int
    uses: int = 0
    macs: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A token.

    Attributes
    ----------
    works : list of Work
        The work of each step.
    offsets : list of int
        What is added to the rows of each.
    groups : tuple of (list of Work, list of int, int)
        The same steps but for their order: works, multiply-accumulates, and how often each list.
    """

    works: list[Work]
    offsets: list[int]
    groups: tuple[tuple[list[Work], list[int], int], ...]


class Works:
    """All work seen, each object once.

    Parameters
    ----------
    device : Device
        The memory and its ASIC.
    more : int
        Blocks that a token has besides those that were compiled: they are like these, and what
        stands behind them in the memory stands so much further on.
    """

    def __init__(self, device: Device, more: int = 0) -> None:
        self.device = device
        self.more = more
        self.parts: dict[tuple[str, str], int] = {}
        self._known: dict[int, Work] = {}
        self._kept: list[Segment | AsicWork] = []
        self._spans: dict[int, tuple[int, int, int]] = {}

    def of(self, steps: Sequence[Step]) -> list[Work]:
        """Return the work of each step."""
        found = list(map(self._known.get, map(id, map(_WORK, steps))))
        if None in found:
            for step in steps:
                if id(step.work) not in self._known:
                    self._known[id(step.work)] = self._make(step.work)
                    self._kept.append(step.work)  # so that no other object gets its id
            found = list(map(self._known.get, map(id, map(_WORK, steps))))
        return cast(list[Work], found)

    def plan(self, program: Program) -> Plan:
        """Return a token's steps as the timeline takes them; a block is looked at once for all."""
        steps = program.steps
        spans = self._spans.get(len(steps))
        if spans is None:
            spans = self._spans[len(steps)] = _blocks(steps)
        first, length, blocks = spans
        behind = first + length * blocks
        block = steps[first : first + length]
        other = steps[behind - length : behind]
        moved = other[0].offset - block[0].offset if blocks > 1 else 0
        if not blocks or not _alike(block, other, blocks - 1, moved):
            works = self.of(steps)
            offsets = list(map(_OFFSET, steps))
            return Plan(works, offsets, ((works, list(map(_MACS, steps)), 1),))
        stride = moved // max(blocks - 1, 1)
        further = stride * self.more
        blocks += self.more
        ends = (*steps[:first], *steps[behind:])
        around, middle = self.of(ends), self.of(block)
        outer = [row + further for row in map(_OFFSET, ends)]
        rows = list(map(_OFFSET, block))
        inner = [row + stride * number for number in range(blocks) for row in rows]
        return Plan(
            around[:first] + middle * blocks + around[first:],
            outer[:first] + inner + outer[first:],
            ((around, list(map(_MACS, ends)), 1), (middle, list(map(_MACS, block)), blocks)),
        )

    def names(self, program: Program) -> list[str]:
        """Return the name of each step of a token's plan."""
        steps = program.steps
        first, length, blocks = _blocks(steps)
        last = first + length * (blocks - 1)
        added = [
            replace(step, block=step.block + number).name
            for number in range(1, self.more + 1)
            for step in steps[last : last + length]
        ]
        found = [step.name for step in steps]
        return found[: last + length] + added + found[last + length :]

    def each(self) -> list[Work]:
        """Return all work seen."""
        return list(self._known.values())

    def _make(self, work: Segment | AsicWork) -> Work:
        if isinstance(work, Segment):
            part = self.parts.setdefault((MEMORY, work.name), len(self.parts))
            load = load_of(work, self.device)
            return Work(part, work, load, link_clocks(work, load, self.device))
        if self.device.asic is None:
            raise PimError(
                "E804",
                "device without an ASIC",
                layer=self.device.name,
                cause=f"'{work.name}' needs one",
                fix="Add [asic] to the device's file",
            )
        part = self.parts.setdefault((ASIC, work.name), len(self.parts))
        clocks = asic.memory_clocks(asic.clocks(work, self.device.asic), self.device)
        return Work(part, None, None, clocks)


def _blocks(steps: Sequence[Step]) -> tuple[int, int, int]:
    """Return where the first block begins, its steps, and how many such blocks follow at once."""
    first = next((at for at, step in enumerate(steps) if step.block == 0), len(steps))
    length = sum(1 for _ in takewhile(lambda step: step.block == 0, steps[first:]))
    blocks = 0
    while length and first + (blocks + 1) * length <= len(steps):
        at = first + blocks * length
        if any(step.block != blocks for step in steps[at : at + length]):
            break
        blocks += 1
    return first, length, blocks


def _alike(one: Sequence[Step], other: Sequence[Step], number: int, moved: int) -> bool:
    """Return whether a block is the first one moved by some rows."""
    return other[0].block == number and all(
        a.work is b.work and a.macs == b.macs and b.offset - a.offset == moved
        for a, b in zip(one, other, strict=True)
    )


def serial(program: Program, plan: Plan, memory: Memory, clock: int) -> tuple[list[int], list[int]]:
    """Run a token's steps one after another.

    Parameters
    ----------
    program : Program
        The token.
    plan : Plan
        Its plan.
    memory : Memory
        The memory.
    clock : int
        When the first step starts.

    Returns
    -------
    tuple of list of int
        First clock of each step, and the clock behind its last.
    """
    ends: list[int] = []
    run, note, first = memory.run, ends.append, clock
    for offset, work in zip(plan.offsets, plan.works, strict=True):
        segment = work.segment
        if segment is None:
            clock += work.clocks
        else:
            clock = run(segment, clock, offset) + work.clocks
        note(clock)
    return [first, *ends[:-1]], ends


def together(
    program: Program, plan: Plan, memory: Memory, clock: int
) -> tuple[list[int], list[int]]:
    """Run a token's steps with memory and ASIC at once; as ``serial``."""
    starts: list[int] = []
    ends: list[int] = []
    memory_free = asic_free = clock
    for step, work in zip(program.steps, plan.works, strict=True):
        ready = clock
        for one in step.after:
            if ends[one] > ready:
                ready = ends[one]
        if work.segment is None:
            start = asic_free if asic_free > ready else ready
            asic_free = start + work.clocks
            ends.append(asic_free)
        else:
            start = memory_free if memory_free > ready else ready
            memory_free = memory.run(work.segment, start, step.offset) + work.clocks
            ends.append(memory_free)
        starts.append(start)
    return starts, ends
