"""What the memory's bench does and what it saw, as files between it and its parent.

Owns ``Job``, ``Record`` and their files. Imports numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]
FOLDER = "GATEFORMER_PIM_FOLDER"
"""Environment variable by which the bench's process is told where its jobs lie."""
INSTRUCTION = ("op", "size", "channels", "bank", "row", "column", "slot", "value")
"""Fields of an instruction, as the host's ports are named."""
COMMAND = ("channel", "command", "op", "bank", "row", "column")
"""Fields of a command, the clock apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One run from reset. What is written and what stands in rows is in bytes, the lowest first.

    Attributes
    ----------
    sizes : int64 array, (6,)
        Channels, bank groups, banks of a group, rows, whether the bench keeps them, and whether
        numbers matter at all.
    program : int64 array, (instructions, fields of ``INSTRUCTION``)
        What the host is sent.
    starts : int64 array, (instructions,)
        The clock from which on each is sent.
    write_counts : int64 array, (channels,)
        Writes of each channel; ``writes`` has those of channel 0 first.
    writes : uint8 array, (writes, bytes of ``write_data``)
        What the channels' writing commands take, in their order.
    write_masks : uint8 array, (writes, bytes of an access)
        1 for each byte that WR or WRA16 writes.
    places : int64 array, (rows, 3)
        Channel, bank and row of what stands in the memory at first; all else is zero.
    rows : uint8 array, (rows, bytes of a row)
        What stands there.
    """

    sizes: Integers
    program: Integers
    starts: Integers
    write_counts: Integers
    writes: Bytes
    write_masks: Bytes
    places: Integers
    rows: Bytes


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What one run showed; clocks count from 1.

    Attributes
    ----------
    end : int64 array, (4,)
        The last clock; reason of an error, 0 for none; instructions taken; writes that were asked
        for beyond those that were given, less those that were not asked for.
    clocks : int64 array, (commands,)
        The clock of each command.
    commands : int64 array, (commands, fields of ``COMMAND``)
        The commands.
    violations : int64 array, (violations, 2)
        Clock and channel of each command that the watch found illegal.
    read_clocks, result_clocks : int64 array, (reads, 2)
        Clock and channel of what came over ``read_data`` and ``result_data``.
    reads, results : uint8 array, (reads, bytes)
        What came.
    places : int64 array, (rows, 3)
        Channel, bank and row of what was written, or of every row where the memory keeps them.
    rows : uint8 array, (rows, bytes of a row)
        What stands there in the end.
    """

    end: Integers
    clocks: Integers
    commands: Integers
    violations: Integers
    read_clocks: Integers
    reads: Bytes
    result_clocks: Integers
    results: Bytes
    places: Integers
    rows: Bytes


def save(path: Path, items: Sequence[Job | Record]) -> None:
    """Write jobs or records."""
    arrays = {
        f"{number}/{field.name}": getattr(item, field.name)
        for number, item in enumerate(items)
        for field in fields(item)
    }
    np.savez(path, count=np.array(len(items)), **arrays)


_Kind = TypeVar("_Kind", Job, Record)


def load(path: Path, kind: type[_Kind]) -> list[_Kind]:
    """Read jobs or records."""
    with np.load(path) as arrays:
        return [
            kind(*(arrays[f"{number}/{field.name}"] for field in fields(kind)))
            for number in range(int(arrays["count"]))
        ]
