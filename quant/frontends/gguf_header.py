"""The bounds of a GGUF file, looked at before any library reads it.

Owns ``check``, ``Header`` and ``Tensor``. Imports the errors. A file's own counts and lengths
decide how far a reader goes, so each of them is held to the file's size first; a reader that trusts
them can be sent into a loop without end.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from gateformer.quant.errors import ConfigError, ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_KEYS = 1 << 16
MOST_TENSORS = 1 << 16
MOST_ITEMS = 1 << 23
"""Items of one list; vocabularies have up to some 300,000."""
MOST_BYTES = 1 << 26
"""Bytes of one string."""
MOST_DIMENSIONS = 4
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Type of a value to its bytes; GGUF's specification, as are the two below."""
STRING, LIST = 8, 9
ALIGNMENT, ALIGNED = b"general.alignment", 4
"""The key of the boundaries at which tensors begin, and its type."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a header says of a tensor.

    Attributes
    ----------
    name : str
        Its name.
    sizes : tuple of int
        Numbers of a row, rows, and so on.
    kind : int
        Number of its format.
    offset : int
        Its first byte, from where the tensors begin.
    """

    name: str
    sizes: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says of the bytes behind it.

    Attributes
    ----------
    tensors : tuple of Tensor
        In the file's order.
    end : int
        Bytes of the header.
    alignment : int
        Tensors begin at its multiples.
    size : int
        Bytes of the file.
    """

    tensors: tuple[Tensor, ...]
    end: int
    alignment: int
    size: int


def check(path: Path) -> Header:
    """Walk a file's header.

    Parameters
    ----------
    path : Path
        An untrusted file.

    Raises
    ------
    ConfigError
        E003 where there is none.
    ModelError
        E101 where it is no GGUF file, cut off or contradictory, E107 for absurd counts.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise _error(path, "It is no plain file")  # a pipe would be waited for
    try:
        with path.open("rb") as stream:
            head = stream.read(len(MAGIC))
            if head != MAGIC:
                cause = "Its first bytes are not GGUF's" if head else "It is empty"
                raise _error(path, cause)
            with mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
                return _Walk(path, data).header()
    except OSError as error:
        cause = error.strerror or str(error)
        raise ConfigError(
            "E003", "file not found", layer=str(path), cause=cause, fix="Check the path"
        ) from None


class _Walk:
    """Goes through a file's header, never behind its end."""

    def __init__(self, path: Path, data: mmap) -> None:
        self.path, self.data, self.at = path, data, len(MAGIC)
        self.alignment = 32

    def header(self) -> Header:
        version = self._number("I")
        if version not in VERSIONS:
            raise _error(self.path, f"It says version {version}; 2 and 3 in little-endian are read")
        tensors = self._count("Q", MOST_TENSORS, "tensors")
        for _ in range(self._count("Q", MOST_KEYS, "keys")):
            key, kind = self._text(), self._number("I")
            if key == ALIGNMENT and kind == ALIGNED:
                self.alignment = self._number("I")
            else:
                self._value(kind)
        found = tuple(self._tensor() for _ in range(tensors))
        return Header(found, self.at, self.alignment, len(self.data))

    def _tensor(self) -> Tensor:
        name = self._text().decode("utf-8", "replace")
        dimensions = self._count("I", MOST_DIMENSIONS, "dimensions of a tensor")
        sizes = tuple(self._number("Q") for _ in range(dimensions))
        return Tensor(name, sizes, self._number("I"), self._number("Q"))

    def _value(self, kind: int) -> None:
        if kind == STRING:
            self._text()
        elif kind == LIST:
            item = self._number("I")
            count = self._count("Q", MOST_ITEMS, "items of a list")
            if item == STRING:
                for _ in range(count):
                    self._text()
            else:
                self._skip(count * self._size(item))
        else:
            self._skip(self._size(kind))

    def _size(self, kind: int) -> int:
        if kind not in SIZES:
            raise _error(self.path, f"A value has type {kind}, which is none, or a list of lists")
        return SIZES[kind]

    def _text(self) -> bytes:
        count = self._count("Q", MOST_BYTES, "bytes of a string")
        self._skip(count)
        return self.data[self.at - count : self.at]

    def _count(self, form: str, most: int, what: str) -> int:
        found = self._number(form)
        if found > most:
            raise ModelError(
                "E107",
                "absurd count in a model file",
                layer=str(self.path),
                cause=f"It claims {found} {what}; at most {most} are read",
                fix="Convert the model again",
            )
        return found

    def _number(self, form: str) -> int:
        first = self.at
        self._skip(struct.calcsize(f"<{form}"))
        found: int = struct.unpack_from(f"<{form}", self.data, first)[0]
        return found

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise _error(self.path, f"It ends after {len(self.data)} bytes, within its header")


def _error(path: Path, cause: str) -> ModelError:
    return ModelError(
        "E101", "not a GGUF file", layer=str(path), cause=cause, fix="Pass a whole .gguf file"
    )
