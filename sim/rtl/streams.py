"""Frames of integers as AXI4-Stream beats, and back.

Owns ``Beats``, ``pack`` and ``unpack``. Imports the design's ports and numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.dataflow.design import Port
from gateformer.quant.errors import DataError
from gateformer.quant.types import Fixed, IntArray

ByteArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Beats:
    """Beats of one stream, in order.

    Attributes
    ----------
    data : ndarray of uint8, (beats, bytes)
        ``tdata``, lowest byte first.
    last : ndarray of bool, (beats,)
        ``tlast``.
    user : ndarray of bool, (beats, lanes), or None
        ``tuser``: the mask bits.
    """

    data: ByteArray
    last: BoolArray
    user: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.last)


def pack(port: Port, frames: Mapping[str, IntArray]) -> Beats:
    """Turn frames into the beats of one input.

    Parameters
    ----------
    port : Port
        The input.
    frames : mapping of str to ndarray of int, (n, tokens, features) or (n, features)
        Raw integers by value; the port's mask too, where it has one: (n, tokens[, 1]).

    Raises
    ------
    DataError
        E602 where a shape or a range does not fit the port.
    """
    data = tokens_of(port, frames, port.value, port.features)
    count = len(data)
    kind = port.type
    if data.size and (data.min() < kind.min or data.max() > kind.max):
        raise DataError(
            "E602",
            f"values of '{port.value}' leave {kind}",
            fix="quantize them with the input's type (it saturates)",
        )
    padded = np.zeros((count, port.beats * port.lanes, port.features), data.dtype)
    padded[:, : port.tokens] = data
    last = np.zeros((count, port.beats), np.bool_)
    last[:, -1] = True
    user = None
    if port.mask is not None:
        bits = np.zeros((count, port.beats * port.lanes), np.bool_)
        bits[:, : port.tokens] = tokens_of(port, frames, port.mask, 1)[..., 0] != 0
        user = bits.reshape(count * port.beats, port.lanes)
    octets = to_bytes(
        padded.reshape(count * port.beats, port.lanes * port.features), port.element_bits // 8
    )
    return Beats(octets, last.reshape(-1), user)


def unpack(port: Port, data: ByteArray) -> tuple[IntArray, list[str]]:
    """Turn whole frames' beats of one output into integers; also lists padding that is wrong.

    Parameters
    ----------
    port : Port
        The output.
    data : ndarray of uint8, (n * beats, bytes)
        ``tdata`` of complete frames.

    Returns
    -------
    (ndarray of int, (n, tokens, features)), list of str
    """
    values = from_bytes(data, port.element_bits // 8, port.type)
    frames = values.reshape(-1, port.beats * port.lanes, port.features)
    problems = []
    if (frames[:, port.tokens :] != 0).any():
        frame = int(np.argwhere((frames[:, port.tokens :] != 0).any(axis=(1, 2)))[0, 0])
        problems.append(f"{port.name}: unused lanes of frame {frame} are not zero")
    if frames.size and (frames.min() < port.type.min or frames.max() > port.type.max):
        problems.append(f"{port.name}: padding bits do not extend {port.type}")
    return frames[:, : port.tokens], problems


def tokens_of(port: Port, frames: Mapping[str, IntArray], value: str, features: int) -> IntArray:
    """Frames of one value as (n, tokens, features); a vector is one token."""
    if value not in frames:
        raise DataError("E602", f"no data for '{value}'", fix="pass every input of the model")
    data = np.asarray(frames[value])
    count = len(data)
    if data.size != count * port.tokens * features:
        raise DataError(
            "E602",
            f"'{value}' has shape {data.shape}",
            cause=f"a frame is {port.tokens} tokens of {features}",
            fix="reshape the data",
        )
    return data.reshape(count, port.tokens, features)


def to_bytes(values: IntArray, size: int) -> ByteArray:
    """Low ``size`` bytes of each element, lowest first: (n, m) becomes (n, m * size)."""
    rows, columns = values.shape
    if size <= 8 and values.dtype != object:
        octets = np.ascontiguousarray(values, dtype="<i8").view(np.uint8)
        octets = octets.reshape(rows, columns, 8)[..., :size]
        return np.ascontiguousarray(octets).reshape(rows, columns * size)
    low = (1 << (8 * size)) - 1
    text = b"".join((int(v) & low).to_bytes(size, "little") for v in values.reshape(-1))
    return np.frombuffer(text, np.uint8).reshape(rows, columns * size)


def from_bytes(data: ByteArray, size: int, kind: Fixed) -> IntArray:
    """Read elements of ``size`` bytes, by the type's sign: (n, m * size) becomes (n, m)."""
    rows, columns = len(data), data.shape[1] // size
    octets = np.ascontiguousarray(data).reshape(rows, columns, size)
    if kind.width < 63 and size <= 8:
        wide = np.zeros((*octets.shape[:2], 8), np.uint8)
        wide[..., :size] = octets
        if kind.signed:
            wide[..., size:] = np.where(octets[..., -1:] >= 128, 255, 0)
        return wide.view("<i8")[..., 0].astype(np.int64)
    values = [
        int.from_bytes(element.tobytes(), "little", signed=kind.signed)
        for element in octets.reshape(-1, size)
    ]
    return np.array(values, dtype=object).reshape(rows, columns)
