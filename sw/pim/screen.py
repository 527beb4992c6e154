"""What a command answers: JSON for programs, tables and sentences for people.

Owns ``Block``, ``Answer`` and how numbers are written. Imports rich where it prints.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from rich.table import Table

NUMBER = re.compile(r"[-+]?[\d.,]+( %|x)?")
"""Words that are a number."""
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
            console.print(Text(block.title, style="bold"))
            console.print(_table(block))
        for note in self.notes:
            console.print(Text(note))
        return self.exit_code


def written(cell: Cell) -> str:
    """Return a cell's words: thousands apart, four digits of what is no whole number."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
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


def _table(block: Block) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    for index, head in enumerate(block.heads):
        side: Literal["left", "right"] = "right" if block.number(index) else "left"
        table.add_column(head, justify=side, overflow="fold")
    for row in block.rows:
        table.add_row(*(Text(written(cell)) for cell in row))
    return table
