"""Add, Subtract, Multiply, Concatenate: of tensors, and of a tensor and a number."""

from __future__ import annotations

import numpy as np

from gateformer.quant.expand import Affine
from gateformer.quant.frontends.keras import mask_views
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.layers_mask import mask_view
from gateformer.quant.frontends.keras.references import leaves, walk
from gateformer.quant.frontends.keras.site import Apply, Site, Tensor, reads
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Reshape

OPS: dict[str, Op] = {"Add": Add(), "Subtract": Add(subtract=True), "Multiply": Mul()}

OPERATORS = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
}
"""TensorFlow functions by which Keras 2 records ``a + b``, ``a - b`` and ``a * b``."""


@reads("TFOpLambda")
def operator(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """An arithmetic operator of Keras 2; other functions are refused by name."""
    function = layer.config.text("function")
    if function in mask_views.FUNCTIONS:
        return mask_view(layer, weights)
    if function not in OPERATORS:
        raise layer.config.unsupported(
            f"it calls tf.{function}", "replace it by a layer of Keras or QKeras"
        )
    return _merge(layer, OPERATORS[function])


@reads(*OPS)
def merge(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Element by element from left to right; a missing leading axis is one token."""
    return _merge(layer, layer.kind)


def _merge(layer: LayerConfig, kind: str) -> Apply:
    op = OPS[kind]

    def apply(site: Site) -> str:
        operands = (site.args, *(site.kwargs[key] for key in "xy" if key in site.kwargs))
        tensors = [t.name for t in walk(operands, Tensor)]
        if len(tensors) == 1:
            return _with_number(site, kind, tensors[0], list(leaves(operands)))
        if len(tensors) < 2:
            raise layer.config.error("it is given fewer than two tensors", code="E114")
        if kind == "Subtract" and len(tensors) > 2:
            raise layer.config.error("it subtracts more than two tensors", code="E114")
        rank = max(len(site.shape(t)) for t in tensors)
        ranked = [_ranked(site, t, rank, number) for number, t in enumerate(tensors, 1)]
        result = ranked[0]
        for number, operand in enumerate(ranked[1:], 2):
            point = "" if number == len(ranked) else f"sum{number}"
            result = site.add(op, result, operand, point=point)
        return result

    return apply


@reads("Concatenate")
def concatenate(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Features side by side."""
    axis = layer.config.integer("axis", -1, least=-8)

    def apply(site: Site) -> str:
        tensors = site.tensors
        if axis not in (-1, len(site.shape(tensors[0])) if tensors else -1):
            raise layer.config.unsupported(f"it joins along axis {axis}", "join features: axis=-1")
        if len(tensors) == 1:
            return tensors[0]
        return site.add(Concat(), *tensors)

    return apply


def _ranked(site: Site, tensor: str, rank: int, number: int) -> str:
    shape = site.shape(tensor)
    if len(shape) == rank:
        return tensor
    return site.add(Reshape((1,) * (rank - len(shape)) + shape), tensor, point=f"operand{number}")


def _with_number(site: Site, kind: str, x: str, operands: list[object]) -> str:
    """``x + c``, ``x - c``, ``c - x``, ``x c`` as an Affine."""
    numbers = [
        float(n) for n in operands if type(n) is float or (type(n) is int and abs(n) < 1 << 53)
    ]
    if len(operands) != 2 or len(numbers) != 1 or not np.isfinite(numbers[0]):
        raise site.config.error("it is given neither two tensors nor a finite number", code="E114")
    ones, constant = np.ones(site.rows(x)[-1]), numbers[0]
    negative = kind == "Subtract" and operands[1] == Tensor(x)
    scale = constant if kind == "Multiply" else -1.0 if negative else 1.0
    offset = (
        0.0
        if kind == "Multiply"
        else -constant
        if kind == "Subtract" and not negative
        else constant
    )
    return site.add(Affine(scale * ones, offset * ones), x)
