"""HDF5 as data: attributes and float tensors, with no link, type or size taken on trust."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import h5py
import numpy as np

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends.plain_json import damaged
from gateformer.quant.types import FloatArray

MAX_ELEMENTS = 1 << 26
"""Largest tensor that is read: 67 million numbers."""


class Store:
    """Read-only view of an open HDF5 file.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def group(self, path: str) -> h5py.Group | None:
        """Group at a path that follows hard links only, or None where there is none."""
        found = self._walk(path)
        return found if isinstance(found, h5py.Group) else None

    def children(self, path: str) -> tuple[str, ...]:
        """Names inside a group; none where there is no such group."""
        group = self.group(path)
        return tuple(group.keys()) if group is not None else ()

    def text(self, path: str, name: str) -> bytes | str | None:
        """Text attribute, or None where it is absent."""
        value = self._attribute(path, name)
        if isinstance(value, np.ndarray) and value.shape == ():
            value = value.item()
        if value is None or isinstance(value, (bytes, str)):
            return value
        raise damaged(f"attribute '{name}'", f"it is {type(value).__name__}, not text")

    def names(self, path: str, name: str) -> list[str]:
        """List of strings in an attribute; Keras splits long ones over ``name0``, ``name1``..."""
        whole = self._attribute(path, name)
        parts = [whole] if whole is not None else []
        while not parts or whole is None:
            part = self._attribute(path, f"{name}{len(parts)}")
            if part is None:
                break
            parts.append(part)
        try:
            return [_decoded(item) for part in parts for item in np.asarray(part).ravel().tolist()]
        except (UnicodeDecodeError, TypeError):
            raise damaged(f"attribute '{name}'", "it is not a list of UTF-8 strings") from None

    def tensor(self, path: str) -> FloatArray | None:
        """Float64 values of a dataset, or None where there is none.

        Raises
        ------
        ModelError
            E104 for a type that is not float or integer, E107 for an absurd size, E108 for links.
        """
        found = self._walk(path)
        if not isinstance(found, h5py.Dataset):
            return None
        with _reading(f"'{path}'"):
            kind, size, apart = found.dtype, found.size, found.is_virtual or found.external
        if kind.kind not in "fiu" or kind.itemsize > 8:
            raise ModelError(
                "E104",
                "misshapen weights",
                cause=f"'{path}' has type {kind}, not floating point",
                fix="save the model again",
            )
        if size is None or size > MAX_ELEMENTS:
            raise ModelError("E107", "weights too large", cause=f"'{path}' claims {size} numbers")
        if apart:
            raise _link(path)
        with _reading(f"'{path}'"), np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(found[()], dtype=np.float64)

    def _walk(self, path: str) -> h5py.Group | h5py.Dataset | None:
        with _reading(f"'{path}'"):
            at = self._file
            for part in [p for p in path.split("/") if p]:
                if part in (".", "..") or not isinstance(at, h5py.Group):
                    return None
                link = at.get(part, getlink=True)
                if link is None:
                    return None
                if not isinstance(link, h5py.HardLink):
                    raise _link(path)
                at = at[part]
            return at

    def _attribute(self, path: str, name: str) -> object:
        group = self.group(path)
        with _reading(f"attribute '{name}'"):
            if group is None or name not in group.attrs:
                return None
            kind = group.attrs.get_id(name)
            if np.prod(kind.shape or (1,)) > MAX_ELEMENTS:
                raise ModelError("E107", f"attribute '{name}' is too large")
            value: object = group.attrs[name]
            return value


@contextmanager
def open_store(file: Path | IO[bytes], what: str) -> Iterator[Store]:
    """Open an HDF5 file; E101 where it is none."""
    with _reading(what):
        opened = h5py.File(file, "r")
    with opened:
        yield Store(opened)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn whatever h5py raises on damaged files into E101."""
    try:
        yield
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, MemoryError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise damaged(what, f"it is damaged or truncated ({cause})") from None


def _decoded(item: object) -> str:
    if isinstance(item, bytes):
        return item.decode("utf-8")
    if isinstance(item, str):
        return item
    raise TypeError(item)


def _link(path: str) -> ModelError:
    return ModelError(
        "E108",
        "unsafe link in a model file",
        cause=f"'{path}' leads elsewhere or to another file",
        fix="save the model again",
    )
