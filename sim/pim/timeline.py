"""Steps in time: the memory and the ASIC, one after the other or together.

Owns ``Work``, ``Works``, ``serial`` and ``together``. Imports devices, programs and the memory.

Without overlap a step starts when memory and ASIC are both idle, in issue order, as PIM-GPT's
simulator does. With overlap each of the two takes its steps in issue order, each as soon as the
steps that it needs have ended and the one before it on the same side has. Times are clocks of the
memory; the ASIC's are rounded up, once a step. A token starts when the one before it has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import cast

from gateformer.hw.pim import asic
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.program import AsicWork, Program, Segment, Step
from gateformer.quant.errors import PimError
from gateformer.sim.pim.loads import Load, link_clocks, load_of
from gateformer.sim.pim.memory import Memory

MEMORY, ASIC = "memory", "asic"
_WORK, _OFFSET = attrgetter("work"), attrgetter("offset")


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
    uses : int
        How often it was done.
    """

    part: int
    segment: Segment | None
    load: Load | None
    clocks: int
    uses: int = 0


class Works:
    """All work seen, each object once.

    Parameters
    ----------
    device : Device
        The memory and its ASIC.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.parts: dict[tuple[str, str], int] = {}
        self._known: dict[int, Work] = {}
        self._kept: list[Segment | AsicWork] = []

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


def serial(
    program: Program, works: Sequence[Work], memory: Memory, clock: int
) -> tuple[list[int], list[int]]:
    """Run a token's steps one after another.

    Parameters
    ----------
    program : Program
        The token.
    works : sequence of Work
        The work of each step.
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
    for offset, work in zip(map(_OFFSET, program.steps), works, strict=True):
        segment = work.segment
        if segment is None:
            clock += work.clocks
        else:
            clock = run(segment, clock, offset) + work.clocks
        note(clock)
    return [first, *ends[:-1]], ends


def together(
    program: Program, works: Sequence[Work], memory: Memory, clock: int
) -> tuple[list[int], list[int]]:
    """Run a token's steps with memory and ASIC at once; as ``serial``."""
    starts: list[int] = []
    ends: list[int] = []
    memory_free = asic_free = clock
    for step, work in zip(program.steps, works, strict=True):
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
