"""What a command answers: JSON for programs, tables and sentences for people.

Owns ``Block``, ``Answer`` and how numbers are written. Imports rich where it prints.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gateformer.quant.errors import visible

if TYPE_CHECKING:
    from rich.console import Group

NUMBER = re.compile(r"[-+]?[\d.,]+( %|x)?")
"""Words that are a number."""
PIECE = re.compile(r"\S*?\w{3}/(?=\w{3})|\S+\s*|\s+")
"""What stays on one line: a word, or a name up to the slash before another name."""
Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Block:
    """A table.

    Attributes
    ----------
    title : str
        Above it.
    heads : tuple of str
        Names of its columns.
    rows : tuple of tuple
        Words at the left, numbers at the right of their columns; None is a dash.
    folded : str
        What a page shows of it until it is opened; empty where it shows all.
    """

    kind: ClassVar[str] = "table"
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    folded: str = ""

    def number(self, column: int) -> bool:
        """Tell whether most of a column are numbers, shares and factors."""
        cells = [one for row in self.rows if (one := row[column]) is not None]
        numbers = [isinstance(one, int | float) or NUMBER.fullmatch(one) for one in cells]
        return 2 * sum(map(bool, numbers)) > len(cells)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found.

    Attributes
    ----------
    data : mapping
        JSON values.
    blocks : tuple of Block
        Tables, in their order.
    notes : tuple of str
        Sentences after them.
    exit_code : int
        0 unless what was asked about is wrong.
    """

    data: Mapping[str, Any]
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = field(default=())
    exit_code: int = 0

    def give(self, as_json: bool) -> int:
        """Print it; return the exit code."""
        if as_json:
            print(json.dumps(self.data, indent=2, allow_nan=False))
            return self.exit_code
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        for block in self.blocks:
            console.print(Text(visible(block.title), style="bold"))
            table, width = _table(block, console.width)
            wide = console if width <= console.width else Console(highlight=False, width=width)
            wide.print(table)
        for note in self.notes:
            console.print(Text(visible(note)))
        return self.exit_code


def written(cell: Cell) -> str:
    """Return a cell's words: thousands apart, four digits of what is no whole number."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return visible(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    return digits(cell)


def digits(value: float, most: int = 4) -> str:
    """Return a number to so many significant digits, without an exponent where it can be."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    size = math.floor(math.log10(abs(value)))
    if not -4 <= size < 12:
        return f"{value:.{most - 1}e}"
    places = max(most - 1 - size, 0)
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def amount(value: float, unit: str) -> str:
    """Return a quantity with a prefix that keeps it short: ``3.8 mJ``."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"),
                           (1e-6, "µ"), (1e-9, "n"), (1e-12, "p")):  # fmt: skip
        if abs(value) >= factor:
            return f"{digits(value / factor)} {prefix}{unit}"
    return f"{digits(value)} {unit}"


def percent(share: float, places: int = 1) -> str:
    """Return a share as a percentage."""
    return f"{100 * share:.{places}f} %"


def _table(block: Block, width: int) -> tuple[Group, int]:
    """Return a table that breaks no word, and its width: more than ``width`` where it has to be."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    block = _filled(block, width)
    cells = [[written(cell) for cell in row] for row in block.rows]
    sides: list[Literal["left", "right"]] = [
        "right" if block.number(index) else "left" for index in range(len(block.heads))
    ]
    columns = [[head, *(row[i] for row in cells)] for i, head in enumerate(block.heads)]
    most = [max(map(len, column)) for column in columns]
    # Heads give way first, then what lies between columns, then names and sentences; no number.
    whole = [max(_longest(head), *map(len, below), 1) for head, *below in columns]
    words = [
        one if side == "right" else max(1, *map(_longest, column))
        for column, side, one in zip(columns, sides, whole, strict=True)
    ]
    for least, tight in itertools.product((whole, words), (False, True)):
        around = 2 * len(columns) - 2 if tight else 3 * len(columns) + 1
        if sum(least) + around <= width:
            break
    widths = _shared(least, most, width - around)
    table = Table(box=SIMPLE_HEAD, collapse_padding=tight, pad_edge=not tight, show_edge=not tight)
    for head, side, one in zip(block.heads, sides, widths, strict=True):
        table.add_column(Text(_lines(head, one)), justify=side, width=one, overflow="fold")
    for row in cells:
        table.add_row(*(Text(_lines(*pair)) for pair in zip(row, widths, strict=True)))
    # What lies around a table goes with its edges.
    return Group("", table, "") if tight else Group(table), sum(widths) + around


def _filled(block: Block, width: int) -> Block:
    """Return a table without its columns of dashes, where it is wider than there is room."""
    columns = [
        [head, *map(written, below)] for head, *below in zip(block.heads, *block.rows, strict=True)
    ]
    if sum(max(map(len, column)) + 3 for column in columns) < width:
        return block
    kept = [
        place
        for place in range(len(block.heads))
        if any(row[place] is not None for row in block.rows)
    ]
    return Block(
        block.title,
        tuple(block.heads[place] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in block.rows),
    )


def _shared(least: list[int], most: list[int], room: int) -> list[int]:
    """Return columns' widths: where one has most to spare it gives way first."""
    widths = list(most)
    while sum(widths) > room:
        spare = [one - low for one, low in zip(widths, least, strict=True)]
        if not any(spare):
            break
        widths[spare.index(max(spare))] -= 1
    return widths


def _longest(text: str) -> int:
    return max((len(one.rstrip()) for one in PIECE.findall(text)), default=0)


def _lines(text: str, width: int) -> str:
    """Return a text with its breaks: at blanks, and behind the slash between two names."""
    lines = [""]
    for piece in PIECE.findall(text):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)
