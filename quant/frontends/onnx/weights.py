"""Tensors of an ONNX file as arrays: inside the file, or beside it in the model's own folder.

Owns ``array_of`` and ``Folder``. Imports errors.
"""

from __future__ import annotations

from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends.h5_store import MAX_ELEMENTS

LITTLE = {
    1: "<f4",
    2: "u1",
    3: "i1",
    4: "<u2",
    5: "<i2",
    6: "<i4",
    7: "<i8",
    9: "?",
    10: "<f2",
    11: "<f8",
    12: "<u4",
    13: "<u8",
    16: "<u2",
}
"""TensorProto.DataType -> how numpy reads its bytes; 16 is bfloat16, widened below."""

BFLOAT16 = 16

FIELDS = {
    "float_data": (1,),
    "int32_data": (2, 3, 4, 5, 6, 9, 10, 16),
    "int64_data": (7,),
    "double_data": (11,),
    "uint64_data": (12, 13),
}
"""Typed field -> data types that it carries where ``raw_data`` is empty (onnx.proto)."""

PACKED = (21, 22)
"""UINT4 and INT4: two in a byte, the first in the low bits (onnx.proto)."""


class Folder:
    """The folder of a model, the only place that external weights may come from.

    Parameters
    ----------
    model : Path
        The model's file.
    """

    def __init__(self, model: Path) -> None:
        self.stem = model.stem
        self._root = model.parent.resolve()

    def bytes_of(self, entries: dict[str, str], size: int, what: str) -> bytes:
        """Read ``size`` bytes of an external tensor.

        Raises
        ------
        ModelError
            E108 for a place outside the folder, E104 for a file that is missing or too short.
        """
        location = entries.get("location", "")
        parts = PurePosixPath(location.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in location or "\0" in location:
            raise _outside(what, location)
        place = self._root.joinpath(*parts.parts)
        try:
            if not place.resolve(strict=True).is_relative_to(self._root):
                raise _outside(what, location)
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
            if length != size or offset < 0 or not place.is_file():
                raise ValueError(f"it claims {length} bytes at {offset}, {size} are needed")
            with place.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except (OSError, ValueError, OverflowError) as error:
            raise _unreadable(what, f"'{location}' cannot be read ({error})") from None
        if len(data) != size:
            raise _unreadable(what, f"'{location}' ends early")
        return data


def array_of(tensor: Any, folder: Folder, what: str) -> NDArray[Any]:
    """Values of a TensorProto.

    Raises
    ------
    ModelError
        E104 for types and sizes that do not fit, E107 for absurd sizes, E108 for unsafe places.
    """
    shape = tuple(int(n) for n in tensor.dims)
    count, kind = prod(shape), int(tensor.data_type)
    if any(n < 0 for n in shape) or count > MAX_ELEMENTS:
        raise ModelError("E107", "weights too large", cause=f"{what} claim shape {shape}")
    if kind not in LITTLE and kind not in PACKED:
        raise _unreadable(what, f"their data type {kind} is no plain number")
    width = 0.5 if kind in PACKED else np.dtype(LITTLE[kind]).itemsize
    size = int(np.ceil(count * width))
    if tensor.data_location == 1:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        return _decoded(folder.bytes_of(entries, size, what), kind, shape)
    if tensor.raw_data:
        if len(tensor.raw_data) != size:
            raise _unreadable(what, f"{len(tensor.raw_data)} bytes do not fill shape {shape}")
        return _decoded(tensor.raw_data, kind, shape)
    field = next((f for f, kinds in FIELDS.items() if kind in kinds), "int32_data")
    values = getattr(tensor, field)
    if kind in PACKED:
        return _decoded(np.array(values, np.int64).astype(np.uint8).tobytes(), kind, shape)
    if len(values) != count:
        raise _unreadable(what, f"{len(values)} numbers do not fill shape {shape}")
    plain = np.array(values)
    if kind in (10, BFLOAT16):  # the bits of a half, one an int32
        return _decoded(plain.astype("<u2").tobytes(), kind, shape)
    return plain.astype(LITTLE[kind]).reshape(shape)


def _decoded(data: bytes, kind: int, shape: tuple[int, ...]) -> NDArray[Any]:
    if kind in PACKED:
        both = np.frombuffer(data, np.uint8)
        flat = np.stack([both & 15, both >> 4], axis=-1).ravel()[: prod(shape)].astype(np.int8)
        return (np.where(flat > 7, flat - 16, flat) if kind == 22 else flat).reshape(shape)
    found = np.frombuffer(data, LITTLE[kind])
    if kind == BFLOAT16:
        found = (found.astype(np.uint32) << 16).view(np.float32)
    return found.reshape(shape)


def _outside(what: str, location: str) -> ModelError:
    return ModelError(
        "E108",
        "unsafe path in a model file",
        cause=f"{what} lie at '{location}', outside the model's folder",
        fix="keep the .onnx file and its data in one folder, without links",
    )


def _unreadable(what: str, cause: str) -> ModelError:
    return ModelError(
        "E104",
        "missing or misshapen weights",
        cause=f"{what}: {cause}",
        fix="keep the .onnx file beside its data, or export it again",
    )
