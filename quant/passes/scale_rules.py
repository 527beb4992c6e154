"""What each operation does with its operands' units.

Owns ``RULES``. Imports composites, primitives and ``Units``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gateformer.quant.expand.affine import Affine
from gateformer.quant.expand.elementwise import Elementwise
from gateformer.quant.expand.linear import Linear
from gateformer.quant.expand.multiplier import wires
from gateformer.quant.expand.norm import LayerNorm, RMSNorm
from gateformer.quant.expand.parameter import Parameter
from gateformer.quant.expand.pool import Pool
from gateformer.quant.expand.quantize import Quantize
from gateformer.quant.expand.requantize import Requantize
from gateformer.quant.expand.scaled import ScaledQuantize
from gateformer.quant.expand.softmax import Softmax
from gateformer.quant.graph import Node
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.cast import Constant
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Layout, Reshape, Slice, Transpose
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.units import ONE, SAME, Units, packed
from gateformer.quant.types import FloatArray, Overflow

Rule = Callable[[Units, Node], None]
RULES: dict[type[Op], Rule] = {}
"""Class of an operation, or of what it inherits from -> its rule; others get unit 1."""


def rule(*kinds: type[Op]) -> Callable[[Rule], Rule]:
    """Register a rule."""

    def keep(function: Rule) -> Rule:
        for kind in kinds:
            RULES[kind] = function
        return function

    return keep


def _op(node: Node, kind: type[Any]) -> Any:
    assert isinstance(node.op, kind)
    return node.op


@rule(Constant, Parameter)
def _constant(units: Units, node: Node) -> None:
    units.keep(node, ONE)


@rule(ScaledQuantize)
def _scaled_quantize(units: Units, node: Node) -> None:
    op: ScaledQuantize = _op(node, ScaledQuantize)
    x = node.inputs[0]
    power = wires(op.scale)
    factor = packed(units.unit(x) / np.broadcast_to(op.scale, units.graph.values[x].shape))
    steps = Requantize(factor, op.zero_point, op.low, op.high, op.rounding, -(power or 0))
    units.quantized(node, steps, op.scale if power is None else ONE)


@rule(Quantize)
def _quantize(units: Units, node: Node) -> None:
    op: Quantize = _op(node, Quantize)
    x, kind = node.inputs[0], op.type
    if op.overflow is Overflow.WRAP or units.into(x, ONE) == units.value(x):
        units.keep(node, ONE, units.plain(x))
        return
    low, high = kind.limits(op.overflow)
    factor = packed(units.unit(x) * 2.0**kind.frac)
    zero = np.zeros((), np.int64)
    units.quantized(node, Requantize(factor, zero, low, high, op.rounding, kind.frac), ONE)


@rule(Linear)
def _linear(units: Units, node: Node) -> None:
    op: Linear = _op(node, Linear)
    x, unit = units.single(node.inputs[0])
    given = np.ones(op.kernel.shape[1]) if op.scale is None else op.scale
    kernel = op.kernel * np.where(given == 0, 0.0, np.sign(given))
    step = unit * np.where(given == 0, 1.0, np.abs(given))
    power = wires(step)
    if power is not None:
        kernel, step = kernel * 2.0**power, np.ones_like(step)
    bias = None if op.bias is None else op.bias / step
    made = replace(op, kernel=kernel, bias=bias, scale=None)
    own = packed(step.reshape(op.features))
    if bias is not None and power is None and units.only_quantized(node.output):
        bare = replace(made, bias=None)
        units.apart(node, own, bias.reshape(op.features), x, bare)
        return
    units.keep(node, own, x, op=made)


@rule(MatMul)
def _matmul(units: Units, node: Node) -> None:
    op: MatMul = _op(node, MatMul)
    axis = 2 if op.contract == "features" else 0
    over = ((2,), (axis,))
    kept = [units.same(n, axes) for n, axes in zip(node.inputs, over, strict=True)]
    names = [
        units.value(n) if keep else units.plain(n)
        for n, keep in zip(node.inputs, kept, strict=True)
    ]
    left, right = (
        units.unit(n) if keep else np.ones_like(units.unit(n))
        for n, keep in zip(node.inputs, kept, strict=True)
    )
    right = np.broadcast_to(right, (right.shape[0], left.shape[1], right.shape[2]))
    row = left[:, :, :1]
    column = np.moveaxis(right[:, :, 0], 0, 1)[None] if axis == 2 else right[:1]
    units.keep(node, packed(row * column), *names)


@rule(Mul)
def _mul(units: Units, node: Node) -> None:
    a, b = node.inputs
    units.keep(node, packed(units.unit(a) * units.unit(b)), units.value(a), units.value(b))


@rule(Add)
def _add(units: Units, node: Node) -> None:
    """Equal units stay; else both go to that of the steps made of the sum, or to one of theirs."""
    shapes = [units.graph.values[n].shape for n in node.inputs]
    a, b = (units.unit(n) for n in node.inputs)
    unit = packed(a)
    if (np.abs(a - b) > SAME * np.maximum(a, b)).any():
        wanted = units.wanted(node.output)
        unit = _meeting(packed(a), packed(b)) if wanted is None else wanted
    if any(unit.ndim and np.broadcast_shapes(unit.shape, shape) != shape for shape in shapes):
        unit = ONE
    units.keep(node, unit, *(units.into(n, unit) for n in node.inputs))


def _meeting(a: FloatArray, b: FloatArray) -> FloatArray:
    """The finer of two units, for its values are wider and do better without a product."""
    singles = [unit for unit in (a, b) if unit.size == 1]
    return min(singles, key=float, default=ONE)


@rule(Reshape, Transpose, Slice, Concat)
def _layout(units: Units, node: Node) -> None:
    op: Layout = _op(node, Layout)
    unit = op.move(*(units.unit(n)[None] for n in node.inputs))[0]
    units.keep(node, packed(unit), *(units.value(n) for n in node.inputs))


@rule(Softmax)
def _softmax(units: Units, node: Node) -> None:
    op: Softmax = _op(node, Softmax)
    x, unit = units.single(node.inputs[0])
    units.keep(node, ONE, x, op=replace(op, scale=op.scale * unit))


@rule(LayerNorm)
def _layer_norm(units: Units, node: Node) -> None:
    """``epsilon`` in squared units; the result in the unit that is made of it."""
    op: LayerNorm = _op(node, LayerNorm)
    x, unit = units.single(node.inputs[0])
    step = _step(units, node)
    made = LayerNorm(op.gamma / step, op.beta / step, op.epsilon / unit**2)
    units.keep(node, step, x, op=made)


@rule(RMSNorm)
def _rms_norm(units: Units, node: Node) -> None:
    op: RMSNorm = _op(node, RMSNorm)
    x, unit = units.single(node.inputs[0])
    step = _step(units, node)
    units.keep(node, step, x, op=RMSNorm(op.gamma / step, op.epsilon / unit**2))


@rule(Affine)
def _affine(units: Units, node: Node) -> None:
    """One product and one sum, whatever the units."""
    op: Affine = _op(node, Affine)
    x = node.inputs[0]
    rank = len(units.graph.values[x].shape)
    own = units.same(x, tuple(range(rank - 1)))
    unit = units.unit(x).reshape(-1, op.scale.size)[0] if own else np.ones(op.scale.size)
    step = _step(units, node)
    made = Affine(op.scale * unit / step, op.offset / step)
    units.keep(node, step, units.value(x) if own else units.plain(x), op=made)


@rule(Elementwise)
def _elementwise(units: Units, node: Node) -> None:
    """A ReLU keeps any unit; a table takes one in and gives the steps that are made of it."""
    op: Elementwise = _op(node, Elementwise)
    if op.plain_relu or (op.function == "identity" and op.scale == op.step):
        units.keep(node, packed(units.unit(node.inputs[0])), units.value(node.inputs[0]))
        return
    x, unit = units.single(node.inputs[0])
    wanted = units.wanted(node.output)
    step = wanted if wanted is not None and wanted.size == 1 else ONE
    made = replace(op, scale=op.scale * unit, step=op.step * float(step.flat[0]))
    units.keep(node, step.reshape(()), x, op=made)


def _step(units: Units, node: Node) -> FloatArray:
    """Unit of the steps made of a result, where it is one or one a feature; else 1."""
    wanted = units.wanted(node.output)
    return ONE if wanted is None else wanted


@rule(Pool)
def _pool(units: Units, node: Node) -> None:
    x, *mask = node.inputs
    across = units.same(x, (0,))
    unit = packed(units.unit(x)[0]) if across else ONE
    name = units.value(x) if across else units.plain(x)
    units.keep(node, unit, name, *(units.value(m) for m in mask))
