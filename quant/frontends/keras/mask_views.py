"""Layers through which a padding mask may pass on its way to attention: new axes and casts."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from gateformer.quant.frontends.plain_json import Config
from gateformer.quant.ops.base import Shape

FUNCTIONS = {"expand_dims": "ExpandDims", "cast": "Cast", "__operators__.getitem": "GetItem"}
"""TensorFlow functions of Keras 2 -> the operation of Keras 3 that they are."""

KINDS = frozenset({"Reshape", "ExpandDims", "Cast", "GetItem", "TFOpLambda", "SlicingOpLambda"})


def view(kind: str, config: Config, use: Any, shape: Shape) -> Shape | None:
    """Shape of a mask after a layer that moves no element; None for any other layer.

    Parameters
    ----------
    kind : str
        The layer's class.
    config : Config
        Its configuration.
    use : object with args and kwargs
        The call, whose only tensor is the mask.
    shape : tuple of int
        Of the mask before it.
    """
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        kind = FUNCTIONS.get(str(config.get("function")), "")
    if kind == "Cast":
        return shape
    if kind == "Reshape":
        target = config.get("target_shape", config.get("newshape"))
        if not isinstance(target, list) or not all(type(n) is int for n in target):
            return None
        rest = prod(n for n in target if n != -1)
        whole = tuple(prod(shape) // rest if n == -1 and rest > 0 else n for n in target)
        return whole if prod(whole) == prod(shape) else None
    if kind == "ExpandDims":
        return _expanded(config.get("axis", use.kwargs.get("axis")), shape)
    if kind == "GetItem":
        key = use.kwargs.get("slice_spec", use.args[1] if len(use.args) > 1 else None)
        return _indexed(key, shape)
    return None


def _expanded(axis: object, shape: Shape) -> Shape | None:
    """A new axis; axes count from the batch axis, which stays first."""
    if type(axis) is not int:
        return None
    place = axis - 1 if axis >= 0 else len(shape) + 1 + axis
    return (*shape[:place], 1, *shape[place:]) if 0 <= place <= len(shape) else None


def _indexed(key: object, shape: Shape) -> Shape | None:
    """``[:, None, :]``: whole axes, and new ones after the first."""
    if not isinstance(key, (list, tuple)) or not key or key[0] is None:
        return None
    if not all(item is None or _whole(item) for item in key):
        return None
    if sum(item is not None for item in key) > len(shape) + 1:
        return None
    left = list(shape)
    found = [1 if item is None else left.pop(0) for item in key[1:]]
    return (*found, *left)


def _whole(item: object) -> bool:
    if not isinstance(item, Mapping):
        return False
    inner = item.get("config", item)
    return isinstance(inner, Mapping) and all(
        inner.get(end) is None for end in ("start", "stop", "step")
    )
