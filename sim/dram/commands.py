"""The log of issued commands: columns in memory, and the public simulator's text in a file.

Owns ``CommandLog``, ``read`` and the order of lines. Imports the commands' names and the errors.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.isa import COMMANDS
from gateformer.hw.pim.lines import MOST_PROBLEMS, lines_of
from gateformer.quant.errors import PimError, Problems
from gateformer.quant.replacing import replacing

Column: TypeAlias = NDArray[np.int64]

BLOCK = 1 << 16
"""Lines that are written or read at a time."""
NUMBER = {name: number for number, name in enumerate(COMMANDS)}
FORM = "clock channel command bank-group bank row column"


@dataclass(frozen=True, slots=True)
class CommandLog:
    """Every command, in order of clock, then channel.

    Attributes
    ----------
    clock, channel, command, bank_group, bank, row, column : int64 array
        One entry a command; ``command`` counts through ``isa.COMMANDS``, ``bank`` within its group;
        -1 where a command does not address the one or other.
    """

    clock: Column
    channel: Column
    command: Column
    bank_group: Column
    bank: Column
    row: Column
    column: Column

    def __len__(self) -> int:
        return len(self.clock)

    def columns(self) -> tuple[Column, ...]:
        """Return the seven columns, in a line's order."""
        return tuple(getattr(self, one.name) for one in fields(self))

    def lines(self) -> Iterator[str]:
        """Yield each command's line, without its end."""
        for start in range(0, len(self), BLOCK):
            parts = [column[start : start + BLOCK].tolist() for column in self.columns()]
            for clock, channel, command, *address in zip(*parts, strict=True):
                where = " ".join(map(str, address))
                yield f"{clock} {channel} {COMMANDS[command]} {where}"

    def write(self, path: str | Path) -> None:
        """Write the log, one command a line; compressed where the name ends in ``.gz``.

        The file appears whole or not at all, and the same log gives the same bytes.
        """
        path = Path(path)
        with replacing(path) as own, own.open("wb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream:
                    self._write(stream)
            else:
                self._write(raw)

    def _write(self, stream: IO[bytes] | gzip.GzipFile) -> None:
        block: list[str] = []
        for line in self.lines():
            block.append(line)
            if len(block) == BLOCK:
                stream.write(("\n".join(block) + "\n").encode())
                block.clear()
        if block:
            stream.write(("\n".join(block) + "\n").encode())


def read(path: str | Path) -> CommandLog:
    """Read a log; row i is line i + 1.

    Raises
    ------
    PimError or Problems
        E810 for malformed lines (the first twenty at once and how many more), E809 for an endless
        one.
    """
    path = Path(path)
    rows: list[tuple[int, ...]] = []
    blocks: list[Column] = []
    problems: list[PimError] = []
    number = more = 0
    for number, line in enumerate(lines_of(path, "E810"), 1):
        try:
            clock, channel, name, group, bank, row, column = line.split()
            fields_ = (clock, channel, group, bank, row, column)
            if b"_" in line:  # which Python reads in numbers, and other readers cut off
                raise ValueError
            numbers = [int(one) for one in fields_]
            if max(numbers) >= 1 << 62 or min(numbers) < -1:
                raise ValueError
            rows.append((*numbers[:2], NUMBER[name.decode("ascii")], *numbers[2:]))
        except (ValueError, KeyError):
            if len(problems) < MOST_PROBLEMS:
                problems.append(_malformed(path, number, line))
            else:
                more += 1
        if len(rows) == BLOCK:
            blocks.append(np.array(rows, np.int64))
            rows.clear()
    if number == 0:
        problems.append(PimError("E810", "empty command log", layer=str(path)))
    Problems.raise_if_any(problems, more)
    blocks.append(np.array(rows, np.int64).reshape(-1, 7))
    whole = np.concatenate(blocks)
    return CommandLog(*(np.ascontiguousarray(whole[:, one]) for one in range(7)))


def _malformed(path: Path, number: int, line: bytes) -> PimError:
    place = f"{path}:{number}"
    words = line.decode("utf-8", "replace").split()
    if len(words) != 7:
        cause = f"It has {len(words)} fields"
        return PimError("E810", "malformed command", layer=place, cause=cause, fix=f"Write {FORM}")
    if words[2] not in NUMBER:
        near = get_close_matches(words[2], COMMANDS, 1)
        fix = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(COMMANDS)}"
        shown = "".join(one if one.isprintable() else "?" for one in words[2][:40])
        return PimError("E810", f"unknown command '{shown}'", layer=place, fix=fix)
    cause = "Its six other fields must be whole numbers, at least -1"
    return PimError("E810", "malformed command", layer=place, cause=cause, fix=f"Write {FORM}")
