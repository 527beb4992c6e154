"""Quantize a graph: matrices become whole steps, values get quantizers, points get types.

Owns ``quantize`` and ``Quantized``. Imports places, ranges and the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, log2
from types import MappingProxyType
from typing import Any

import numpy as np

from gateformer.quant.expand import (
    Elementwise,
    Embedding,
    Linear,
    Quantize,
)
from gateformer.quant.expand.scaled import quantizer
from gateformer.quant.expand.settings import DYADIC_BITS
from gateformer.quant.graph import Builder, Graph, Node
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.layout import Layout
from gateformer.quant.ptq.observe import Seen
from gateformer.quant.ptq.places import GAINS, MATRICES, Tensor, places, points, values
from gateformer.quant.ptq.ranges import activation_scale, activation_type, weight_steps
from gateformer.quant.ptq.settings import Recipe
from gateformer.quant.types import Fixed, FloatArray, Rounding, dyadic

GAIN_BITS = 8
"""Bits of a factor a feature: there are few of them, and each rules a whole feature."""

BIAS_BITS = 20
"""Widest bias; steps finer than the sum's own would widen every sum."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """A graph with its quantizers, and types of what lies inside its layers.

    Attributes
    ----------
    graph : Graph
        On reals; matrices are multiples of their steps, values pass explicit quantizers.
    points : mapping of str to Fixed
        Types of points inside composites, to be given to the lowering.
    widths : mapping of str to int
        Bits of every place.
    """

    graph: Graph
    points: Mapping[str, Fixed]
    widths: Mapping[str, int]


def quantize(graph: Graph, seen: Mapping[str, Seen], recipe: Recipe) -> Quantized:
    """Quantize every place of a graph.

    Parameters
    ----------
    graph : Graph
        As imported or folded; what it quantizes itself stays.
    seen : mapping of str to Seen
        Its values and points on the calibration data, from ``observe``.
    recipe : Recipe
        Widths and methods.
    """
    widths = {
        place.name: recipe.widths.get(
            place.name, recipe.weights if place.kind == "weights" else recipe.activations
        )
        for place in places(graph)
    }
    return _Pass(graph, seen, recipe, widths).run()


class _Pass:
    def __init__(
        self, graph: Graph, seen: Mapping[str, Seen], recipe: Recipe, widths: Mapping[str, int]
    ) -> None:
        self.graph = graph
        self.seen = seen
        self.recipe = recipe
        self.widths = widths
        self.builder = Builder(graph.name)
        self.made: dict[str, str] = {}
        self.steps: dict[str, int] = {}
        """Fraction bits of values whose type is known, by their name in the old graph."""
        self.points: dict[str, Fixed] = {}

    def run(self) -> Quantized:
        graph, wanted = self.graph, values(self.graph)
        for name in graph.inputs:
            self.builder.input(name, graph.values[name].shape, masks=graph.masks.get(name))
            self.made[name] = name
            if name in wanted:
                self._quantizer(name, name, f"{name}/quantized", name)
        for node in graph.nodes:
            layer = graph.values[node.output].layer
            self._types(node, layer)
            op = self._constants(node, layer)
            inputs = [self.made[name] for name in node.inputs]
            name = node.output
            if name not in wanted:
                self.made[name] = self.builder.add(op, *inputs, name=name, layer=layer)
                self._known(node, op)
            elif name in graph.outputs:
                exact = self.builder.add(op, *inputs, name=name, layer=layer)
                self._quantizer(name, exact, f"{name}/quantized", layer)
            else:
                exact = self.builder.add(op, *inputs, name=f"{name}/exact", layer=layer)
                self._quantizer(name, exact, name, layer)
        for name in graph.outputs:
            self.builder.output(name)
        points = MappingProxyType(self.points)
        return Quantized(self.builder.build(), points, MappingProxyType(dict(self.widths)))

    def _quantizer(self, value: str, source: str, name: str, layer: str) -> None:
        """Add the quantizer of a value; a host rounds its inputs half to even."""
        recipe, bits = self.recipe, self.widths[value]
        seen = self.seen[value]
        rounding = Rounding.RND_CONV if source in self.graph.inputs else Rounding.RND
        op: Op
        if recipe.step == "float" and self._takes_float(value):
            scale, low, high = activation_scale(
                seen, bits, recipe.activation_method, recipe.percentile
            )
            op = quantizer(np.array(scale), np.array(0), low, high, rounding)
        else:
            kind = activation_type(seen, bits, recipe.activation_method, recipe.percentile)
            op = Quantize(kind, rounding)
            self.steps[value] = kind.frac
        self.made[value] = self.builder.add(op, source, name=name, layer=layer)

    def _takes_float(self, value: str) -> bool:
        """Whether all that reads a value takes a step of any size without a product of its own."""
        return all(isinstance(n.op, Linear) for n in self.graph.consumers()[value])

    def _known(self, node: Node, op: Op) -> None:
        if isinstance(op, Quantize):
            self.steps[node.output] = op.type.frac
        elif isinstance(op, Layout) and self.steps.keys() >= set(node.inputs):
            self.steps[node.output] = max(self.steps[name] for name in node.inputs)
        elif isinstance(op, Elementwise) and op.plain_relu and node.inputs[0] in self.steps:
            self.steps[node.output] = self.steps[node.inputs[0]]

    def _types(self, node: Node, layer: str) -> None:
        recipe = self.recipe
        for point, _ in points(self.graph, node):
            name = f"{layer}/{point}"
            bits = self.widths[name]
            if point == "exp":  # below 1, and relative to the row's largest
                self.points[name] = Fixed(False, bits, bits)
                continue
            self.points[name] = activation_type(
                self.seen[name], bits, recipe.activation_method, recipe.percentile
            )

    def _constants(self, node: Node, layer: str) -> Op:
        """The operation with its matrices, gains and biases quantized."""
        op = node.op
        if isinstance(op, Embedding):
            bits = self.widths.get(f"{layer}/table")
            if bits is None:
                return op
            steps = weight_steps(op.table, bits, (), self.recipe.weight_method)
            return replace(op, table=steps.real)
        if type(op) in GAINS:
            return self._gain(op)
        if isinstance(op, Linear) and self.recipe.step == "float" and op.scale is None:
            return self._scaled(node, op, layer)
        changed: dict[str, Any] = {}
        for tensor in MATRICES.get(type(op), ()):
            if f"{layer}/{tensor.point}" in self.widths:
                changed |= self._matrix(node, op, tensor, layer)
        return replace(op, **changed) if changed else op  # type: ignore[type-var] # dataclasses

    def _matrix(self, node: Node, op: Op, tensor: Tensor, layer: str) -> dict[str, Any]:
        """Attributes of one matrix and its bias."""
        real = getattr(op, tensor.field)
        bits = self.widths[f"{layer}/{tensor.point}"]
        found = dyadic(real, DYADIC_BITS)
        if found is not None and _signed_bits(found[0]) <= bits:
            return {}  # the model's own quantizer, of no more bits
        held = self._steps(node, tensor, layer, real, bits)
        changed: dict[str, Any] = {tensor.field: held}
        bias = getattr(op, tensor.bias)
        if (
            self.recipe.correct_bias
            and (mean := self._moment(node, tensor, layer, "mean")) is not None
        ):
            shift = np.einsum(
                "i,i...->...", mean, (held - real).reshape(mean.size, *_outputs(real, tensor))
            )
            bias = -shift if bias is None else bias - shift
        if bias is None:
            return changed
        frac = self._frac(node, tensor, layer)
        if frac is not None:
            weight = dyadic(held, DYADIC_BITS)
            bias = _rounded(bias, frac + (weight[1] if weight else 0))
        return changed | {tensor.bias: bias}

    def _steps(
        self, node: Node, tensor: Tensor, layer: str, real: FloatArray, bits: int
    ) -> FloatArray:
        recipe = self.recipe
        square = self._moment(node, tensor, layer, "square")
        rows = None if square is None else _along_rows(square, real, tensor)
        return weight_steps(
            real,
            bits,
            tensor.channels if recipe.scheme == "per-channel" else (),
            recipe.weight_method,
            recipe.percentile,
            importance=rows,
        ).real

    def _scaled(self, node: Node, op: Linear, layer: str) -> Linear:
        """A dense layer of whole steps and real scales."""
        (tensor,) = MATRICES[Linear]
        name, recipe = f"{layer}/{tensor.point}", self.recipe
        if name not in self.widths:
            return op
        square = self._moment(node, tensor, layer, "square")
        steps = weight_steps(
            op.kernel,
            self.widths[name],
            tensor.channels if recipe.scheme == "per-channel" else (),
            recipe.weight_method,
            recipe.percentile,
            power_of_two=False,
            importance=None if square is None else square[:, None],
        )
        bias = op.bias
        mean = self._moment(node, tensor, layer, "mean")
        if recipe.correct_bias and mean is not None:
            shift = mean @ (steps.real - op.kernel)
            bias = -shift if bias is None else bias - shift
        scale = np.broadcast_to(steps.scale.ravel(), op.kernel.shape[1:]).copy()
        return Linear(steps.raw, bias, op.features, scale)

    def _gain(self, op: Op) -> Op:
        gain, offset, _ = GAINS[type(op)]
        bits = max(GAIN_BITS, self.recipe.weights)
        changed = {gain: weight_steps(getattr(op, gain), bits, (), "mse").real}
        if offset:
            changed[offset] = weight_steps(getattr(op, offset), bits + 2, (), "mse").real
        return replace(op, **changed)  # type: ignore[type-var] # dataclasses

    def _moment(self, node: Node, tensor: Tensor, layer: str, which: str) -> FloatArray | None:
        """Mean, or mean square, of each feature that a matrix multiplies."""
        place = tensor.operand
        name = node.inputs[place] if isinstance(place, int) else f"{layer}/{place}"
        real = getattr(node.op, tensor.field)
        rows = real.size // max(1, int(np.prod(_outputs(real, tensor))))
        found = self.seen.get(name)
        moment = None if found is None else getattr(found, which)
        return moment if moment is not None and moment.size == rows else None

    def _frac(self, node: Node, tensor: Tensor, layer: str) -> int | None:
        """Fraction bits of what a matrix multiplies, where they are known."""
        place = tensor.operand
        if isinstance(place, str):
            kind = self.points.get(f"{layer}/{place}")
            return None if kind is None else kind.frac
        return self.steps.get(node.inputs[place])


def _outputs(real: FloatArray, tensor: Tensor) -> tuple[int, ...]:
    """Shape of the matrix' outputs; its inputs come first."""
    return tuple(real.shape[axis] for axis in tensor.channels)


def _along_rows(square: FloatArray, real: FloatArray, tensor: Tensor) -> FloatArray:
    """Mean squares of the inputs in a shape that broadcasts to the matrix."""
    inputs = real.shape[: real.ndim - len(tensor.channels)]
    return square.reshape(*inputs, *(1,) * len(tensor.channels))


def _rounded(bias: FloatArray, frac: int) -> FloatArray:
    """Multiples of a sum's own step, or of a coarser one where few bits ask for it."""
    top = float(np.abs(bias).max(initial=0.0))
    whole = ceil(log2(top)) + 1 if top > 0 else 1
    step = min(frac, BIAS_BITS - whole)
    return np.ldexp(np.rint(np.ldexp(bias, step)), -step)


def _signed_bits(raw: np.ndarray[Any, Any]) -> int:
    if not raw.size:
        return 1
    return max(int(raw.max()).bit_length(), (-int(raw.min()) - 1).bit_length()) + 1
