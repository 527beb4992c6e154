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
from gateformer.quant.ptq.moments import along_rows, moment, outputs_of
from gateformer.quant.ptq.observe import Seen
from gateformer.quant.ptq.places import GAINS, MATRICES, Tensor, places, points, values
from gateformer.quant.ptq.ranges import Steps, activation_scale, activation_type, weight_steps
from gateformer.quant.ptq.rounding import compensated
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
    steps : mapping of str to str
        The type, or the steps, of every place, as a text.
    errors : mapping of str to float
        Root mean square of what a place's quantizer changes, relative to what it takes in.
    """

    graph: Graph
    points: Mapping[str, Fixed]
    widths: Mapping[str, int]
    steps: Mapping[str, str]
    errors: Mapping[str, float]


def quantize(
    graph: Graph,
    seen: Mapping[str, Seen],
    recipe: Recipe,
    known: dict[tuple[str, int], Steps] | None = None,
) -> Quantized:
    """Quantize every place of a graph.

    Parameters
    ----------
    graph : Graph
        As imported or folded; what it quantizes itself stays.
    seen : mapping of str to Seen
        Its values and points on the calibration data, from ``observe``.
    recipe : Recipe
        Widths and methods.
    known : dict of (str, int) to Steps, optional
        Matrices by place and bits that earlier calls with the same methods made; filled further.
    """
    widths = {
        place.name: recipe.widths.get(
            place.name, recipe.weights if place.kind == "weights" else recipe.activations
        )
        for place in places(graph)
    }
    return _Pass(graph, seen, recipe, widths, {} if known is None else known).run()


class _Pass:
    def __init__(
        self,
        graph: Graph,
        seen: Mapping[str, Seen],
        recipe: Recipe,
        widths: Mapping[str, int],
        known: dict[tuple[str, int], Steps],
    ) -> None:
        self.graph = graph
        self.seen = seen
        self.recipe = recipe
        self.widths = widths
        self.known = known
        self.builder = Builder(graph.name)
        self.made: dict[str, str] = {}
        self.fracs: dict[str, int] = {}
        """Fraction bits of values whose type is known, by their name in the old graph."""
        self.points: dict[str, Fixed] = {}
        self.steps: dict[str, str] = {}
        self.errors: dict[str, float] = {}

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
        return Quantized(
            self.builder.build(),
            MappingProxyType(self.points),
            MappingProxyType(dict(self.widths)),
            MappingProxyType(self.steps),
            MappingProxyType(self.errors),
        )

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
            self.steps[value] = f"{low}..{high} x {scale:.4g}"
        else:
            kind = activation_type(seen, bits, recipe.activation_method, recipe.percentile)
            op = Quantize(kind, rounding)
            self.fracs[value] = kind.frac
            self.steps[value] = str(kind)
        held = op.reference(seen.sample, probe=_unseen)
        self.errors[value] = _relative(held, seen.sample)
        self.made[value] = self.builder.add(op, source, name=name, layer=layer)

    def _takes_float(self, value: str) -> bool:
        """Whether all that reads a value takes a step of any size without a product of its own."""
        return all(isinstance(n.op, Linear) for n in self.graph.consumers()[value])

    def _known(self, node: Node, op: Op) -> None:
        if isinstance(op, Quantize):
            self.fracs[node.output] = op.type.frac
        elif isinstance(op, Layout) and self.fracs.keys() >= set(node.inputs):
            self.fracs[node.output] = max(self.fracs[name] for name in node.inputs)
        elif isinstance(op, Elementwise) and op.plain_relu and node.inputs[0] in self.fracs:
            self.fracs[node.output] = self.fracs[node.inputs[0]]

    def _types(self, node: Node, layer: str) -> None:
        recipe = self.recipe
        for point, _ in points(self.graph, node):
            name = f"{layer}/{point}"
            bits = self.widths[name]
            if point == "exp":  # below 1, and relative to the row's largest
                kind = Fixed(False, bits, bits)
            else:
                seen = self.seen[name]
                kind = activation_type(seen, bits, recipe.activation_method, recipe.percentile)
                self.errors[name] = _relative(
                    kind.to_real(kind.from_real(seen.sample)), seen.sample
                )
            self.points[name] = kind
            self.steps[name] = str(kind)

    def _constants(self, node: Node, layer: str) -> Op:
        """The operation with its matrices, gains and biases quantized."""
        op = node.op
        if isinstance(op, Embedding):
            bits = self.widths.get(f"{layer}/table")
            if bits is None:
                return op
            steps = weight_steps(op.table, bits, (), self.recipe.weight_method)
            self._tell(f"{layer}/table", steps, op.table)
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
            self.steps[f"{layer}/{tensor.point}"] = "as it is"
            return {}  # the model's own quantizer, of no more bits
        steps = self._steps(node, tensor, layer, real)
        held = steps.real
        self._tell(f"{layer}/{tensor.point}", steps, real)
        changed: dict[str, Any] = {tensor.field: held}
        bias = getattr(op, tensor.bias)
        if (
            self.recipe.correct_bias
            and (mean := moment(self.seen, node, tensor, layer, "mean")) is not None
        ):
            shift = np.einsum(
                "i,i...->...", mean, (held - real).reshape(mean.size, *outputs_of(real, tensor))
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
        self, node: Node, tensor: Tensor, layer: str, real: FloatArray, power_of_two: bool = True
    ) -> Steps:
        """Steps of a matrix, as it is or known from before."""
        name, recipe = f"{layer}/{tensor.point}", self.recipe
        bits = self.widths[name]
        if (name, bits) in self.known:
            return self.known[name, bits]
        square = moment(self.seen, node, tensor, layer, "square")
        steps = weight_steps(
            real,
            bits,
            tensor.channels if recipe.scheme == "per-channel" else (),
            recipe.weight_method,
            recipe.percentile,
            power_of_two,
            importance=None if square is None else along_rows(square, real, tensor),
        )
        products = moment(self.seen, node, tensor, layer, "products")
        if recipe.rounding == "compensated" and products is not None:
            steps = compensated(real, steps, bits, products)
        self.known[name, bits] = steps
        return steps

    def _scaled(self, node: Node, op: Linear, layer: str) -> Linear:
        """A dense layer of whole steps and real scales."""
        (tensor,) = MATRICES[Linear]
        name, recipe = f"{layer}/{tensor.point}", self.recipe
        if name not in self.widths:
            return op
        steps = self._steps(node, tensor, layer, op.kernel, False)
        self._tell(name, steps, op.kernel)
        bias = op.bias
        mean = moment(self.seen, node, tensor, layer, "mean")
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

    def _tell(self, name: str, steps: Steps, real: FloatArray) -> None:
        """Keep what a matrix became, for the table."""
        low, high = float(steps.scale.min()), float(steps.scale.max())
        self.steps[name] = _text(low) if low == high else f"{_text(low)} to {_text(high)}"
        self.errors[name] = _relative(steps.real, real)

    def _frac(self, node: Node, tensor: Tensor, layer: str) -> int | None:
        """Fraction bits of what a matrix multiplies, where they are known."""
        place = tensor.operand
        if isinstance(place, str):
            kind = self.points.get(f"{layer}/{place}")
            return None if kind is None else kind.frac
        return self.fracs.get(node.inputs[place])


def _text(step: float) -> str:
    """A step as a power of two, or as it is."""
    power = log2(step)
    return f"2^{power:g}" if power.is_integer() else f"{step:.4g}"


def _relative(held: FloatArray, real: FloatArray) -> float:
    total = float((real**2).sum())
    return float(((held - real) ** 2).sum() / total) ** 0.5 if total else 0.0


def _unseen(point: str, reals: FloatArray) -> None:
    """Look at nothing: a quantizer has no points inside."""


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
