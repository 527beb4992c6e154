"""An operation's constants as JSON values, and back, checked against the field's annotation.

Owns ``encode`` and ``decode``. Imports types and errors.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from gateformer.quant.errors import ModelError
from gateformer.quant.types import Fixed

ARRAY_KINDS = {"int64": np.int64, "float64": np.float64, "integer": object}
"""Name in the file -> dtype; ``integer`` is Python's, of any size."""


def malformed(cause: str) -> ModelError:
    """E115: the file is no graph."""
    return ModelError("E115", "malformed graph file", cause=cause, fix="write the graph again")


def encode(value: Any) -> Any:
    """A field's value as JSON values; floats survive exactly, also infinite ones."""
    if isinstance(value, np.ndarray):
        kind = "integer" if value.dtype == object else str(value.dtype)
        flat = [encode(x) for x in value.ravel().tolist()]
        return {"dtype": kind, "shape": list(value.shape), "data": flat}
    if isinstance(value, Fixed):
        return str(value)
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [encode(x) for x in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def decode(hint: Any, value: Any, field: str) -> Any:
    """Read a field's value back.

    Parameters
    ----------
    hint : type
        The field's resolved annotation.
    value : JSON value
        As ``encode`` wrote it.
    field : str
        For the message.

    Raises
    ------
    ModelError
        E115 where the value is not what the annotation says.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        (hint,) = (a for a in arguments if a is not NoneType)
        return decode(hint, value, field)
    if origin is np.ndarray:
        return _array(value, field)
    if origin is Literal:
        return _checked(value in arguments, value, field)
    if origin is tuple:
        return _tuple(arguments, value, field)
    if hint is Fixed:
        return Fixed.parse(_checked(isinstance(value, str), value, field))
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        _checked(isinstance(value, dict) and set(value) == set(hints), value, field)
        return cast("type", hint)(**{n: decode(h, value[n], n) for n, h in hints.items()})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint[_checked(value in hint.__members__, value, field)]
    return _scalar(hint, value, field)


def _scalar(hint: Any, value: Any, field: str) -> Any:
    if hint is float:
        if isinstance(value, str):
            return float(_checked(value in ("inf", "-inf"), value, field))
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(_checked(number, value, field))
    exact = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    return _checked(exact, value, field)


def _tuple(arguments: tuple[Any, ...], value: Any, field: str) -> tuple[Any, ...]:
    items = _checked(isinstance(value, list), value, field)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(decode(arguments[0], x, field) for x in items)
    _checked(len(items) == len(arguments), value, field)
    return tuple(decode(a, x, field) for a, x in zip(arguments, items, strict=True))


def _array(value: Any, field: str) -> np.ndarray[Any, Any]:
    _checked(isinstance(value, dict) and set(value) == {"dtype", "shape", "data"}, value, field)
    kind = ARRAY_KINDS.get(value["dtype"])
    shape = decode(tuple[int, ...], value["shape"], field)
    data = value["data"]
    _checked(isinstance(data, list), data, field)
    size = math.prod(shape)
    if kind is None or min(shape, default=0) < 0 or size != len(data):
        raise malformed(f"'{field}' holds {len(data)} elements for shape {shape}")
    wanted = float if kind is np.float64 else int
    array = np.array([decode(wanted, x, field) for x in data], dtype=kind).reshape(shape)
    if kind is np.float64 and not np.isfinite(array).all():
        raise ModelError("E105", f"NaN or infinite numbers in '{field}'", fix="train it again")
    return array


def _checked(holds: bool, value: Any, field: str) -> Any:
    if not holds:
        raise malformed(f"'{field}' cannot be {str(value)[:60]!r}")
    return value
