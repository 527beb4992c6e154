"""The memory as a timeline uses it: one segment after another on an absolute clock.

Owns ``Memory``, ``Totals``, ``ClosedMemory``, and ``CommandMemory``, which steps through every
command. Imports the command-level engine and the closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.program import Segment
from gateformer.quant.errors import MismatchError
from gateformer.sim.dram.chain import Chain
from gateformer.sim.dram.engine import Machine
from gateformer.sim.dram.refresh import Refresh

FIRST = 1
"""The first clock: the memory's clocks are counted from 1."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What the memory did.

    Attributes
    ----------
    counts : mapping of str to int
        Commands of all channels.
    stalls : mapping of (str, str) to int
        Clocks by constraint and by what waited, all channels.
    distinct : int
        Commands worked out one by one.
    """

    counts: Mapping[str, int]
    stalls: Mapping[tuple[str, str], int]
    distinct: int


class Memory(Protocol):
    """Segments run in the order of their clocks."""

    def run(self, segment: Segment, start: int, offset: int) -> int:
        """Run a segment; return the clock at which its last completion is known.

        Parameters
        ----------
        segment : Segment
            The segment.
        start : int
            Clock at which its first instruction is decoded, not before the last segment's end.
        offset : int
            Added to its rows.
        """
        ...

    def totals(self, clock: int) -> Totals:
        """Return what was done up to a clock, from the start."""
        ...

    def lost(self) -> Mapping[int, int]:
        """Return, by a segment's id, the clocks by which refreshes lengthened it.

        They are counted against the same segment from the same state with no refresh due.
        """
        ...

    def forget(self) -> None:
        """Let go of all that was kept; nothing can be run from then on."""
        ...


class ClosedMemory(Chain):
    """Whole segments, in closed form; parameters as for ``Chain``."""

    def totals(self, clock: int) -> Totals:
        """Return what was done up to a clock."""
        found = self.result(clock)
        return Totals(found.counts, found.stalls, found.distinct)

    def lost(self) -> Mapping[int, int]:
        """Return the clocks by which refreshes lengthened each segment."""
        return self.lengthened


class CommandMemory:
    """Every command of every channel, by the command-level engine.

    The closed form runs beside it, to tell what refresh costs; the two must agree.

    Parameters
    ----------
    device : Device
        The memory.
    refresh : Refresh
        How it is refreshed.
    """

    def __init__(self, device: Device, refresh: Refresh) -> None:
        self._machine = Machine(device, refresh)
        self._closed = ClosedMemory(device, refresh)

    def run(self, segment: Segment, start: int, offset: int) -> int:
        """Run a segment, command by command.

        Raises
        ------
        MismatchError
            E402 where the closed form ends at another clock.
        """
        end = self._machine.run(segment.expand(offset), start)
        other = self._closed.run(segment, start, offset)
        if end != other:
            raise MismatchError(
                "E402",
                "simulated clocks differ",
                layer=segment.name,
                cause=f"From clock {start} it ends at {end}, in closed form at {other}",
                fix="Report this with the device's file",
            )
        return end

    def totals(self, clock: int) -> Totals:
        """Return what was done up to a clock."""
        found = self._machine.result(clock)
        self._closed.totals(clock)
        return Totals(found.counts, found.stalls, found.distinct)

    def lost(self) -> Mapping[int, int]:
        """Return the clocks by which refreshes lengthened each segment."""
        return self._closed.lost()

    def forget(self) -> None:
        """Let go of all that was kept."""
        self._closed.forget()
