"""Where a GGUF file's tensors lie: each in the file, whole, and in nobody else's bytes.

Owns ``check``. Imports the header, the errors and the bounds of messages. What a header says of a
tensor decides which bytes a reader takes for it, so that is held to the file first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from math import prod
from pathlib import Path

from gateformer.quant.errors import GateformerError, Problems
from gateformer.quant.frontends.gguf_fields import error
from gateformer.quant.frontends.gguf_header import Header
from gateformer.quant.frontends.plain_json import shorten_name

TOLD = 20
"""Tensors of which a message is given."""


def check(path: Path, header: Header, formats: Mapping[int, tuple[int, int]]) -> None:
    """Hold all tensors' places to the file.

    Parameters
    ----------
    path : Path
        For messages.
    header : Header
        What the file says.
    formats : mapping of int to tuple of int
        Number of a format to the numbers of a block and its bytes.

    Raises
    ------
    ModelError or Problems
        E104 for tensors of unknown formats, outside the file, or in another one's bytes: the first
        ``TOLD`` at once.
    """
    aligned = header.alignment
    if aligned < 1 or aligned & (aligned - 1):
        cause = f"It is {aligned}, no power of two"
        raise error("E811", path, "general.alignment", cause)
    Problems.raise_if_any(islice(_wrong(path, header, formats), TOLD))


def _wrong(
    path: Path, header: Header, formats: Mapping[int, tuple[int, int]]
) -> Iterator[GateformerError]:
    start = -(-header.end // header.alignment) * header.alignment
    held: list[tuple[int, int, str]] = []
    beyond: list[tuple[str, int, int]] = []
    for one in header.tensors:
        name, row = shorten_name(one.name), one.sizes[0] if one.sizes else 1
        if one.kind not in formats:
            yield _error(path, name, f"Its format {one.kind} is none that gguf knows")
            continue
        numbers, size = formats[one.kind]
        count = prod(one.sizes) // numbers * size
        first = start + one.offset
        if row % numbers:
            yield _error(path, name, f"Its rows of {row} are no whole blocks of {numbers} numbers")
        elif one.offset % header.alignment:
            cause = f"It begins at byte {one.offset}, no multiple of {header.alignment}"
            yield _error(path, name, cause)
        elif first + count > header.size:
            beyond.append((name, first, count))
        else:
            held.append((first, first + count, name))
    if beyond:  # one line for all: a file that was cut off has hundreds
        name, first, count = beyond[0]
        others = f", and so do {len(beyond) - 1} others" if beyond[1:] else ""
        cause = (
            f"Its {count:,} bytes from {first:,} on end behind the file's {header.size:,}{others}"
        )
        yield _error(path, name, cause)
    end, owner = 0, ""
    for first, behind, name in sorted(held):
        if first < end:
            yield _error(path, name, f"Its bytes from {first:,} on are those of '{owner}' too")
        if behind > end:
            end, owner = behind, name


def _error(path: Path, name: str, cause: str) -> GateformerError:
    return error("E104", path, name, cause, "Pass a whole .gguf file, or convert the model again")
