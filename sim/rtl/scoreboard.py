"""Compares what the hardware gave with what the model gives, integer by integer.

Owns ``Mismatch``, ``compare`` and the clocks that a run shows. Imports ports and streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gateformer.hw.dataflow.design import Design, Port
from gateformer.quant.types import IntArray
from gateformer.sim.rtl.jobs import ClockArray, Record
from gateformer.sim.rtl.streams import BoolArray, tokens_of, unpack

Kind = Literal["value", "lost", "repeated", "reordered", "surplus"]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first integer that differs.

    Attributes
    ----------
    value : str
        The graph's value.
    frame : int
        Frame in the order sent.
    index : tuple of int
        (token, feature) inside the frame.
    expected, actual : int or None
        The model's integer and the hardware's; None where there is none.
    kind : {"value", "lost", "repeated", "reordered", "surplus"}
        ``value``: the frame belongs here but differs. The others: this is another frame, or
        none, or one too many.
    """

    value: str
    frame: int
    index: tuple[int, ...]
    expected: int | None
    actual: int | None
    kind: Kind = "value"

    def __str__(self) -> str:
        place = ", ".join(map(str, self.index))
        return (
            f"'{self.value}' frame {self.frame} element ({place}): "
            f"expected {self.expected}, got {self.actual} ({self.kind})"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What a comparison of one output found.

    Attributes
    ----------
    frames : ndarray of int, (n, tokens, features)
        The complete frames that came.
    mismatches : int
        Frames that differ, are missing or are too many.
    first : Mismatch or None
        The first of them.
    problems : tuple of str
        Wrong ``tlast`` or padding.
    """

    frames: IntArray
    mismatches: int
    first: Mismatch | None
    problems: tuple[str, ...]


def compare(port: Port, record: Record, expected: Mapping[str, IntArray]) -> Comparison:
    """Compare one output of a run with the model's frames.

    Parameters
    ----------
    port : Port
        The output.
    record : Record
        What the run showed.
    expected : mapping of str to ndarray of int, (n, tokens, features) or (n, features)
        The model's frames by value, in the order sent.
    """
    wanted = tokens_of(port, expected, port.value, port.features)
    last = record.last[port.name]
    problems = []
    wrong = np.flatnonzero(last != ((np.arange(len(last)) + 1) % port.beats == 0))
    if wrong.size:
        problems.append(f"{port.name}: tlast is wrong at beat {int(wrong[0])}")
    whole = len(last) // port.beats
    if len(last) % port.beats:
        problems.append(f"{port.name}: the last frame is not complete")
    frames, padding = unpack(port, record.data[port.name][: whole * port.beats])
    first, mismatches = _first(port.value, frames, wanted)
    return Comparison(frames, mismatches, first, (*problems, *padding))


def latency_of(design: Design, record: Record) -> int | None:
    """Most clocks from a frame's first input handshake to its last output handshake."""
    starts, ends = _starts(design, record), []
    for port in design.outputs:
        clocks = record.received[port.name]
        ends.append(clocks[port.beats - 1 :: port.beats])
    count = min(len(starts), *(len(end) for end in ends))
    if not count:
        return None
    return int((np.max([end[:count] for end in ends], axis=0) - starts[:count]).max())


def interval_of(design: Design, record: Record) -> int | None:
    """Most clocks between first beats of consecutive frames; None for a single frame."""
    starts = _starts(design, record)
    return int(np.diff(starts).max()) if len(starts) > 1 else None


def _starts(design: Design, record: Record) -> ClockArray:
    firsts = [record.sent[port.name][:: port.beats] for port in design.inputs]
    count = min(len(first) for first in firsts)
    return np.min([first[:count] for first in firsts], axis=0)


def _first(value: str, got: IntArray, wanted: IntArray) -> tuple[Mismatch | None, int]:
    common = min(len(got), len(wanted))
    bad: BoolArray = (got[:common] != wanted[:common]).any(axis=(1, 2))
    mismatches = int(bad.sum()) + abs(len(got) - len(wanted))
    if bad.any():
        frame = int(np.flatnonzero(bad)[0])
        index = tuple(int(i) for i in np.argwhere(got[frame] != wanted[frame])[0])
        kind = _kind(frame, got[frame], wanted)
        pair = int(wanted[frame][index]), int(got[frame][index])
        return Mismatch(value, frame, index, *pair, kind), mismatches
    if len(got) == len(wanted):
        return None, 0
    if len(got) < len(wanted):
        missing = int(wanted[common].flat[0])
        return Mismatch(value, common, (0, 0), missing, None, "lost"), mismatches
    surplus = int(got[common].flat[0])
    return Mismatch(value, common, (0, 0), None, surplus, "surplus"), mismatches


def _kind(frame: int, got: IntArray, wanted: IntArray) -> Kind:
    same = np.flatnonzero((wanted == got).all(axis=(1, 2)))
    if not same.size:
        return "value"
    if frame + 1 in same:
        return "lost"
    return "repeated" if frame - 1 in same else "reordered"
