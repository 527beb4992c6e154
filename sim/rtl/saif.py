"""Toggles of every net from the SAIF files that Verilator writes.

Owns ``Net`` and ``toggles``. Imports the errors only. Written here because no package on the Python
index reads SAIF (IEEE 1801, annex on switching activity); of the format it takes instances, nets
and toggle counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gateformer.quant.errors import ToolError

TOKEN = re.compile(
    r"\(INSTANCE (?P<instance>\S+)"
    r"|\((?P<net>\S+) \(T0 \d+\)[^\n]*?\(TC (?P<toggles>\d+)\)\)"
    r"|(?P<open>\()|(?P<close>\))"
)

NAME = re.compile(r"(?P<plain>[^\[\\]+)(?P<word>(\[\d+\])*)(\\\[(?P<bit>\d+)\\\])?")
"""Of a net: an array's word in plain brackets, the bit in escaped ones."""


class Net(NamedTuple):
    """One bit.

    Attributes
    ----------
    scope : tuple of str
        Instances and generate blocks down to it, the design's top first.
    name : str
        As declared, without index.
    word : str
        Index of an array's word, such as ``[3]``; empty for no array.
    bit : int
        Place in the word.
    toggles : int
        Changes.
    """

    scope: tuple[str, ...]
    name: str
    word: str
    bit: int
    toggles: int


def toggles(start: Path, window: Path) -> Iterator[Net]:
    """Yield every net with its changes within a window.

    Parameters
    ----------
    start : Path
        SAIF of the window's first clock alone, from a run of its own: Verilator takes all nets to
        be 0 before, and counts those that begin with 1 as toggled.
    window : Path
        SAIF of the whole window.

    Raises
    ------
    ToolError
        E502 where the files are not of the same nets.
    """
    first = _bits(start.read_text(encoding="utf-8"))
    for scope, name, count in _bits(window.read_text(encoding="utf-8")):
        known, bit, begun = next(first, ((), "", 0))
        if (known, bit) != (scope, name):
            break
        plain, word, place = _parts(name)
        yield Net(scope, plain, word, place, count - begun)
    else:
        if next(first, None) is None:
            return
    raise ToolError("E502", "Verilator's SAIF files are not of the same nets", layer=str(window))


def _bits(text: str) -> Iterator[tuple[tuple[str, ...], str, int]]:
    opened: list[str | None] = []
    scope: tuple[str, ...] = ()
    for token in TOKEN.finditer(text):
        if token["net"]:
            yield scope, token["net"], int(token["toggles"])
        elif token["close"]:
            if opened.pop() is not None:
                scope = scope[:-1]
        else:
            name = token["instance"]
            opened.append(name)
            if name:
                scope = (*scope, name.replace("\\", ""))


def _parts(name: str) -> tuple[str, str, int]:
    found = NAME.fullmatch(name)
    if found is None:
        return name, "", 0
    return found["plain"], found["word"], int(found["bit"] or 0)
