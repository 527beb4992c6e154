"""What a model consists of, layer by layer: for ``inspect``, the run's record and the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from gateformer.quant.expand.attention import Attention
from gateformer.quant.expand.folded_attention import FoldedAttention
from gateformer.quant.expand.linear import Linear
from gateformer.quant.expand.quantize import Quantize
from gateformer.quant.expand.quantize_each import QuantizeEach
from gateformer.quant.expand.scaled import ScaledQuantize
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Op
from gateformer.quant.passes.fold_heads import tensor_multiplies
from gateformer.quant.types import FloatArray, dyadic


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer of a model.

    Attributes
    ----------
    name : str
        Its name in the model.
    kind : str
        The operations that it became.
    shape : tuple of int
        Shape of its result.
    parameters : int
        Its constants.
    quantizers : str
        Types of its weights and of its activation, where the model quantizes them.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    quantizers: str


def layer_rows(graph: Graph) -> tuple[LayerRow, ...]:
    """Return a row a layer, in the model's order."""
    rows = []
    for layer in graph.layers:
        values = [value for value in graph.values.values() if value.layer == layer]
        names = {value.name for value in values}
        ops = [node.op for node in graph.nodes if node.output in names]
        rows.append(
            LayerRow(
                name=layer,
                kind=" + ".join(dict.fromkeys(type(op).__name__ for op in ops)) or "Input",
                shape=values[-1].shape,
                parameters=sum(array.size for op in ops for _, array in constants(op)),
                quantizers="; ".join(text for op in ops for text in quantizers(op)),
            )
        )
    return tuple(rows)


def constants(op: Op) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the array of each constant of an operation; widths are none."""
    if isinstance(op, QuantizeEach):
        return
    for field in fields(op):  # type: ignore[arg-type] # operations are dataclasses
        value = getattr(op, field.name)
        if isinstance(value, np.ndarray) and value.size:
            yield field.name, value


def quantizers(op: Op) -> Iterator[str]:
    """Yield the types that the model itself gives: of an activation, or of weights."""
    if isinstance(op, Quantize):
        yield f"result {op.type}"
        return
    if isinstance(op, QuantizeEach):
        yield f"results of {int(op.width.min())} to {int(op.width.max())} bits, each its own"
        return
    if isinstance(op, ScaledQuantize):
        yield f"result {op.low} to {op.high}, step {_sizes(op.scale)}"
        return
    if isinstance(op, Linear) and op.scale is not None:
        most = int(np.abs(op.kernel).max(initial=0.0))
        yield f"weights {-most} to {most}, step {_sizes(op.scale)}"
        return
    widest, finest, real = 0, None, False
    for _, array in constants(op):
        found = dyadic(array, 24)
        if found is None:
            real = True
            continue
        raw, frac = found
        bits = max(int(raw.max()).bit_length(), max(0, int(-raw.min() - 1)).bit_length()) + 1
        widest, finest = max(widest, bits), max(frac, finest or frac)
    if real:
        yield "weights not quantized"
    elif finest is not None:
        yield f"weights of {widest} bits, step 2^{-finest}"


def _sizes(scale: FloatArray) -> str:
    """A scale, or the ends of several."""
    low, high = float(scale.min()), float(scale.max())
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def multiplies(graph: Graph) -> int:
    """Return the data x data multiplies that a frame takes."""
    return sum(
        tensor_multiplies(node.op, *(graph.values[name].shape for name in node.inputs))
        for node in graph.nodes
        if isinstance(node.op, Attention | FoldedAttention)
    )
