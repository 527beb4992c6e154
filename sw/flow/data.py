"""Real inputs from a .npz or .npy file: read as data, checked against the model, faults named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812 - it is an exception

import numpy as np
from numpy.typing import NDArray

from gateformer.config.schema import Config, Data, Keys
from gateformer.quant.errors import DataError
from gateformer.quant.graph import Graph
from gateformer.quant.types import FloatArray, IntArray

LARGEST = 8 << 30
"""Bytes that a file may unpack to."""
UNREADABLE = (
    OSError, ValueError, EOFError, OverflowError, MemoryError, BadZipFile, ZlibError,
    NotImplementedError,
)  # fmt: skip
"""What numpy and zipfile raise on damaged files."""
ZIP = b"PK\x03\x04"
NPY = b"\x93NUMPY"
SHORT = b"PK\x05\x06"

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Inputs of a model, and what they are.

    Attributes
    ----------
    inputs : mapping of str to ndarray of float64, (n, *shape)
        By the model's input.
    labels : ndarray of int64, (n,), or None
        Class of each.
    reason : str
        Why there are no labels.
    arrays : tuple of str
        Names of the inputs' arrays in the file.
    """

    inputs: Mapping[str, FloatArray]
    labels: IntArray | None = None
    reason: str = ""
    arrays: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


def data_files(config: Config) -> Iterable[Path]:
    """Yield the data's file, where there is one."""
    if config.data.file is not None:
        path = Path(config.data.file)
        if not path.is_file():
            raise DataError("E605", "data file not found", layer=str(path))
        yield path


def read_samples(data: Data, graph: Graph, part: Literal["test", "calibration"]) -> Samples:
    """Read and check the inputs of one part.

    Parameters
    ----------
    data : Data
        The configuration's table, with a file.
    graph : Graph
        The model, for its inputs' names and shapes.
    part : {"test", "calibration"}
        Without calibration inputs in the file, the test inputs serve.

    Raises
    ------
    DataError
        E601 to E605: the file, the array and what is wrong with it.
    """
    path = Path(data.file or "")
    arrays = open_arrays(path)
    try:
        keys: Keys = data.test
        if part == "calibration" and isinstance(data.calibration, str):
            keys = data.calibration if data.calibration in arrays else data.test
        elif part == "calibration":
            keys = data.calibration
        names = array_names(keys, graph)
        inputs = {name: _input(arrays, key, graph, name, path) for name, key in names.items()}
        counts = {name: len(array) for name, array in inputs.items()}
        if len(set(counts.values())) > 1:
            raise _bad(path, "malformed data", f"Its inputs have {counts} samples")
        key = data.labels if keys is data.test else data.calibration_labels
        if key not in arrays:
            reason = f"{path.name} has no array '{key}'"
            return Samples(inputs, None, reason, tuple(names.values()))
        labels = _labels(arrays, key, next(iter(counts.values())), path)
        return Samples(inputs, labels, arrays=tuple(names.values()))
    finally:
        arrays.close()


class Arrays:
    """The arrays of a file, read when asked for.

    Parameters
    ----------
    names : iterable of str
        Their names.
    read : callable
        Returns one.
    close : callable
        Closes the file.
    """

    def __init__(
        self, names: list[str], read: Callable[[str], Array], close: Callable[[], None]
    ) -> None:
        self.names = names
        self.close = close
        self._read = read

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Array:
        return self._read(name)


def open_arrays(path: Path) -> Arrays:
    """Open a .npz or .npy file; no object in it is ever unpickled."""
    try:
        with path.open("rb") as file:
            head = file.read(6)
        if head.startswith((ZIP, SHORT)):
            with ZipFile(path) as packed:
                size = sum(entry.file_size for entry in packed.infolist())
            if size > LARGEST:
                raise _bad(path, "unreadable data file", f"It unpacks to {size >> 30} GiB", "E601")
            found = np.load(path, allow_pickle=False)
            return Arrays(list(found.files), found.__getitem__, found.close)
        if head.startswith(NPY):
            array = np.load(path, allow_pickle=False, mmap_mode="r")
            return Arrays(["x_test", "x_calib"], lambda name: np.asarray(array), lambda: None)
    except FileNotFoundError:
        raise DataError("E605", "data file not found", layer=str(path)) from None
    except IsADirectoryError:
        raise _bad(path, "unreadable data file", "It is a folder", "E601") from None
    except UNREADABLE as error:
        raise _bad(path, "unreadable data file", str(error), "E601") from error
    raise _bad(path, "unreadable data file", "It is neither .npz nor .npy", "E601")


def array_names(keys: Keys, graph: Graph) -> dict[str, str]:
    """Return the array that holds each input: ``KEY`` the first, ``KEY_<input>`` the others."""
    if isinstance(keys, str):
        first, *others = graph.inputs
        return {first: keys, **{name: f"{keys}_{name}" for name in others}}
    unknown = [name for name in keys if name not in graph.inputs]
    absent = [name for name in graph.inputs if name not in keys]
    if unknown or absent:
        raise DataError(
            "E604",
            "data names other inputs than the model has",
            layer=", ".join(unknown or absent),
            cause=f"The model's inputs are {', '.join(graph.inputs)}",
        )
    return dict(keys)


def _input(arrays: Arrays, key: str, graph: Graph, name: str, path: Path) -> FloatArray:
    array = _read(arrays, key, path)
    shape = graph.values[name].shape
    if array.ndim and array.shape[1:] == shape[:-1] and shape[-1:] == (1,):
        array = array[..., np.newaxis]
    if array.shape[1:] != shape or not array.ndim:
        cause = f"'{key}' has shape {array.shape}, input '{name}' takes (n, {_listed(shape)})"
        raise DataError(
            "E611", "data does not match the model's inputs", layer=str(path), cause=cause
        )
    if not len(array):
        raise _bad(path, "data lacks what the request needs", f"'{key}' is empty", "E604")
    real: FloatArray = array.astype(np.float64)
    if not np.isfinite(real).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(real))[0])
        raise _bad(path, "NaN or infinite data", f"'{key}' at {at}", "E603")
    return real


def _labels(arrays: Arrays, key: str, count: int, path: Path) -> IntArray:
    array = _read(arrays, key, path)
    if array.ndim == 2 and array.shape[1] > 1:
        array = np.argmax(array, axis=1)
    flat: Array = array.reshape(len(array), -1) if array.ndim else array.reshape(0, 1)
    if flat.shape != (count, 1):
        raise _bad(path, "malformed data", f"'{key}' has shape {array.shape} for {count} samples")
    with np.errstate(invalid="ignore"):
        labels = flat[:, 0].astype(np.int64)
    if (labels != flat[:, 0]).any() or (labels < 0).any():
        raise _bad(path, "malformed data", f"'{key}' holds other values than class indices")
    return labels


def _read(arrays: Arrays, key: str, path: Path) -> Array:
    if key not in arrays:
        near = get_close_matches(key, arrays.names, 1)
        held = f"It holds {', '.join(arrays.names) or 'nothing'}"
        raise DataError(
            "E604",
            "data lacks what the request needs",
            layer=str(path),
            cause=f"It has no array '{key}'" if near else f"It has no array '{key}'. {held}",
            fix=f"Did you mean '{near[0]}'? Set data.test and its like" if near else "",
        )
    try:
        array = arrays[key]
    except UNREADABLE as error:
        raise _bad(path, "unreadable data file", f"'{key}': {error}", "E601") from error
    if not isinstance(array, np.ndarray):  # numpy hands over what is no array as bytes
        raise _bad(path, "malformed data", f"'{key}' is no array")
    if array.dtype.kind not in "buif":
        raise _bad(path, "malformed data", f"'{key}' holds {array.dtype}, not numbers")
    return array


def _bad(path: Path, what: str, cause: str, code: str = "E602") -> DataError:
    return DataError(code, what, layer=str(path), cause=cause)


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
