"""What the memory's bench does and what it saw, as files between it and its parent.

Owns ``Job``, ``Record`` and their files. Imports numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
FOLDER = "GATEFORMER_PIM_FOLDER"
"""Environment variable by which the bench's process is told where its jobs lie."""
INSTRUCTION = ("op", "size", "channels", "bank", "row", "column", "slot", "value")
"""Fields of an instruction, as the host's ports are named."""
COMMAND = ("channel", "command", "op", "bank", "row", "column")
"""Fields of a command, the clock apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One run from reset.

    Attributes
    ----------
    program : int64 array, (instructions, fields of ``INSTRUCTION``)
        What the host is sent.
    starts : int64 array, (instructions,)
        The clock from which on each is sent.
    """

    program: Integers
    starts: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What one run showed; clocks count from 1.

    Attributes
    ----------
    clocks : int64 array, (commands,)
        The clock of each command.
    commands : int64 array, (commands, fields of ``COMMAND``)
        The commands.
    end : int64 array, (3,)
        The clock at which all channels had finished; reason of an error, 0 for none; clock of it.
    """

    clocks: Integers
    commands: Integers
    end: Integers


def save(path: Path, items: Sequence[Job] | Sequence[Record]) -> None:
    """Write jobs or records."""
    arrays = {
        f"{number}/{field.name}": getattr(item, field.name)
        for number, item in enumerate(items)
        for field in fields(item)
    }
    np.savez(path, count=np.array(len(items)), **arrays)


def load_jobs(path: Path) -> list[Job]:
    """Read jobs."""
    with np.load(path) as arrays:
        return [
            Job(*(arrays[f"{number}/{field.name}"] for field in fields(Job)))
            for number in range(int(arrays["count"]))
        ]


def load_records(path: Path) -> list[Record]:
    """Read records."""
    with np.load(path) as arrays:
        return [
            Record(*(arrays[f"{number}/{field.name}"] for field in fields(Record)))
            for number in range(int(arrays["count"]))
        ]
