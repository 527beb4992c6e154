"""What a matrix multiplies, as calibration saw it: moments of each of its input features.

Owns ``moment``, ``outputs_of`` and ``along_rows``. Imports places.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Literal

from gateformer.quant.graph import Node
from gateformer.quant.ptq.observe import Seen
from gateformer.quant.ptq.places import Tensor
from gateformer.quant.types import FloatArray


def moment(
    seen: Mapping[str, Seen],
    node: Node,
    tensor: Tensor,
    layer: str,
    which: Literal["mean", "square", "products"],
) -> FloatArray | None:
    """Means, mean squares or mean products of the features that a matrix multiplies.

    None where they are not known.
    """
    place = tensor.operand
    name = node.inputs[place] if isinstance(place, int) else f"{layer}/{place}"
    real = getattr(node.op, tensor.field)
    found = seen.get(name)
    values: FloatArray | None = None if found is None else getattr(found, which)
    rows = real.size // max(1, prod(outputs_of(real, tensor)))
    return values if values is not None and len(values) == rows else None


def outputs_of(real: FloatArray, tensor: Tensor) -> tuple[int, ...]:
    """Shape of a matrix' outputs; its inputs come first."""
    return tuple(real.shape[axis] for axis in tensor.channels)


def along_rows(moments: FloatArray, real: FloatArray, tensor: Tensor) -> FloatArray:
    """Moments of the inputs in a shape that broadcasts to the matrix."""
    inputs = real.shape[: real.ndim - len(tensor.channels)]
    return moments.reshape(*inputs, *(1,) * len(tensor.channels))
