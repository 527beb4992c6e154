"""Lowering: a graph of composites on reals becomes a typed graph of primitives.

Owns ``lower`` and the rules that say where a value is cast. Imports expansions, graph and types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from gateformer.quant.errors import ConfigError, GateformerError, Problems
from gateformer.quant.expand import (
    Affine,
    Attend,
    Attention,
    Elementwise,
    Embedding,
    Exact,
    FoldedAttention,
    LayerNorm,
    Linear,
    LogSqrt2,
    Pool,
    Quantize,
    QuantizeEach,
    Requantize,
    RMSNorm,
    ScaledQuantize,
    Softmax,
    Table,
)
from gateformer.quant.expand.context import Lowering, Note, Options, Types
from gateformer.quant.graph import Builder, Graph, Node, prune
from gateformer.quant.ops.base import Composite, Op, Primitive
from gateformer.quant.ops.cast import Cast
from gateformer.quant.ops.elementwise import Mul
from gateformer.quant.ops.layout import Layout
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.hoist_casts import hoist_casts
from gateformer.quant.passes.round_into_bias import round_into_bias
from gateformer.quant.types import Fixed, Overflow, Rounding

NARROW: tuple[type[Op], ...] = (
    Affine,
    Attend,
    Attention,
    FoldedAttention,
    LayerNorm,
    Linear,
    MatMul,
    Mul,
    Pool,
    RMSNorm,
)
"""Operations that multiply their operands, and so want them in their own types."""

QUANTIZERS: tuple[type[Op], ...] = (Quantize, QuantizeEach, Requantize, ScaledQuantize)
"""Operations that want the whole of their operand and say what is left of it."""

SETTLED: tuple[type[Op], ...] = (
    *QUANTIZERS,
    Elementwise,
    Embedding,
    Exact,
    LogSqrt2,
    Softmax,
    Table,
    Cast,
)
"""Operations whose result has its own type already."""

WIDEST_FLOOR = 32
"""Most bits of an input's type that follows from its quantizers: one word of AXI4-Stream."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """A typed graph and the choices that made it.

    Attributes
    ----------
    graph : Graph
        Primitives only, every value typed.
    notes : tuple of Note
        Softmax modes, quantized weights.
    idle : tuple of GateformerError
        E001 for each given type that changed nothing; the caller may raise them.
    rounded : tuple of str
        Points of the weights that are not dyadic as the file holds them, or whose type is given.
    """

    graph: Graph
    notes: tuple[Note, ...]
    idle: tuple[GateformerError, ...] = ()
    rounded: tuple[str, ...] = ()


def lower(graph: Graph, types: Types, options: Options | None = None) -> Graph:
    """Lower a graph; ``lower_noted`` also returns the choices made."""
    return lower_noted(graph, types, options).graph


def lower_noted(graph: Graph, types: Types, options: Options | None = None) -> Lowered:
    """Expand every composite and give every value a type.

    Accumulators stay exact through additions, layout and quantizers. A value gets one Cast to
    the type of its name where an operation that multiplies reads it, where several operations
    read it and none of them is a quantizer, and where it is an output.

    Parameters
    ----------
    graph : Graph
        As imported or folded.
    types : Types
        Types of inputs, values and named points.
    options : Options, optional
        How composites are expanded.

    Returns
    -------
    Lowered

    Raises
    ------
    Problems, GateformerError
        E204 for every point without a type, at once; E202, E206 for types beyond the hardware.
    """
    plan = _Plan(graph, types)
    builder = Builder(graph.name)
    to = Lowering(builder, types, options or Options(), plan.casts, plan.fused)
    made: dict[str, str] = {}
    builder.keep(node.output for node in graph.nodes)
    for name in graph.inputs:
        to.layer = name
        builder.input(
            name, graph.values[name].shape, plan.input_type(to, name), graph.masks.get(name)
        )
        made[name] = name
    try:
        for node in graph.nodes:
            _expand(to, graph, node, plan, made)
    except GateformerError as error:
        if not to.faults:
            raise
        to.faults.append(error)
    Problems.raise_if_any(to.faults)
    idle = tuple(_idle(to, graph))
    for name in graph.outputs:
        builder.output(_named(to, graph, made[name], name))
    for name in graph.scales.keys() & builder.values.keys():
        builder.scale(name, graph.scales[name])
    graph = round_into_bias(hoist_casts(prune(builder.build())))
    return Lowered(graph, tuple(to.notes), idle, tuple(to.rounded))


def _idle(to: Lowering, graph: Graph) -> Iterator[GateformerError]:
    """An error for each given type that no expansion asked for."""
    fixed = {n.output: n.op.type for n in graph.nodes if isinstance(n.op, Quantize)}
    fixed |= {n.output: n.op.kind for n in graph.nodes if isinstance(n.op, Requantize)}
    for name in sorted(to.types.given.keys() - to.asked):
        if name in fixed:
            what = "type of a value that the model itself quantizes"
            fix = "Leave it out"
            cause = f"Its quantizer gives {fixed[name]}"
        else:
            layer = next((x for x in graph.layers if name == x or name.startswith(f"{x}/")), "")
            points = sorted(x for x in to.asked if layer and x.startswith(f"{layer}/"))
            near = get_close_matches(name, points or to.asked, 1)
            what = "type of a point that the model does not have"
            listed = ", ".join(x.removeprefix(layer) for x in points)
            cause = f"'{layer}' has {listed}" if points else ""
            fix = f"Did you mean '{near[0]}'?" if near else "Leave it out"
        yield ConfigError("E001", what, layer=f"types.{name}", cause=cause, fix=fix)


def _expand(to: Lowering, graph: Graph, node: Node, plan: _Plan, made: dict[str, str]) -> None:
    to.layer = graph.values[node.output].layer
    inputs = [made[n] for n in node.inputs]
    if node.output in plan.taken:
        made[node.output] = inputs[0]
        return
    output = plan.renamed.get(node.output, node.output)
    to.builder.release(output)
    try:
        if isinstance(node.op, Composite):
            made[node.output] = node.op.expand(to, output, to.layer, *inputs)
        elif isinstance(node.op, Primitive):
            made[node.output] = to.finish(node.op, *inputs, output=output)
    except GateformerError as error:
        raise error.at(to.layer) from None


def _named(to: Lowering, graph: Graph, made: str, name: str) -> str:
    """An output under its own name, where its expansion gave back an operand."""
    if made == name:
        return made
    kind = to.value(made).fixed
    return to.builder.add(Cast(kind), made, name=name, layer=graph.values[name].layer)


class _Plan:
    """What the imported graph's wiring says about casts and fused quantizers."""

    def __init__(self, graph: Graph, types: Types) -> None:
        self.graph = graph
        self.readers = graph.consumers()
        self.fused: dict[str, Quantize | Requantize] = {}
        self.renamed: dict[str, str] = {}
        self.taken: set[str] = set()
        settled = set(graph.inputs)
        casts: set[str] = set()
        for node in graph.nodes:
            self._fuse(node)
            moved = isinstance(node.op, Layout) and settled.issuperset(node.inputs)
            if isinstance(node.op, SETTLED) or moved:
                settled.add(node.output)
                if _is_given(node, types) or isinstance(node.op, Elementwise | Embedding):
                    self._want(node, casts, types)
            elif self._wanted(node.output) or _is_given(node, types):
                casts.add(node.output)
                settled.add(node.output)
        self.casts = frozenset(casts)

    def input_type(self, to: Lowering, name: str) -> Fixed:
        """One bit for a mask, whole numbers for an index, the quantizer's for a quantized input."""
        if name in self.graph.masks:
            return Fixed(False, 1, 0)
        if (given := to.given(name)) is not None:
            return given
        readers = self.readers[name]
        rows = [n.op.table.shape[0] for n in readers if isinstance(n.op, Embedding)]
        if rows:
            return Fixed(False, max(1, (max(rows) - 1).bit_length()), 0)
        if (floored := floor_of([n.op for n in readers])) is not None:
            to.builder.floor(name, floored[1])
            return floored[0]
        kinds = {_steps(n.op) for n in readers}
        return next(iter(kinds)) or to.type(name) if len(kinds) == 1 else to.type(name)

    def _fuse(self, node: Node) -> None:
        """Let a function's table hold what the quantizer that alone reads it would give."""
        readers = self.readers[node.output]
        if not isinstance(node.op, Elementwise) or node.output in self.graph.outputs:
            return
        if len(readers) != 1:
            return
        quantizer = readers[0].op
        if isinstance(quantizer, Quantize):
            apart = node.op.plain_relu and quantizer.overflow is Overflow.WRAP
        elif isinstance(quantizer, Requantize):
            each = max(quantizer.factor.size, quantizer.zero_point.size) > 1  # one table for all
            apart = node.op.plain_relu or each or not quantizer.of_steps
        else:
            return
        if apart:
            return
        result = readers[0].output
        self.renamed[node.output] = result
        self.taken.add(result)
        self.fused[result] = quantizer

    def _wanted(self, name: str) -> bool:
        readers: Sequence[Node] = self.readers[name]
        if name in self.graph.outputs or any(isinstance(n.op, NARROW) for n in readers):
            return True
        return len(readers) > 1 and not any(isinstance(n.op, QUANTIZERS) for n in readers)

    def _want(self, node: Node, casts: set[str], types: Types) -> None:
        if isinstance(node.op, QUANTIZERS):
            return
        if _is_given(node, types) or self._wanted(node.output):
            casts.add(node.output)


def floor_of(readers: Sequence[Op]) -> tuple[Fixed, Overflow] | None:
    """Type to which the host may round an input down, so that all its quantizers give the same.

    ``floor(x 2^f + 1/2)`` needs no more of x than its floor at f + 1 bits, and what wraps at some
    width no more than what wrapped at a larger one. None where that does not hold (half to even,
    overflows that differ), and where it would take more than ``WIDEST_FLOOR`` bits.
    """
    kinds: list[Fixed] = []
    half = False
    for op in readers:
        if not isinstance(op, Quantize | QuantizeEach) or op.rounding is Rounding.RND_CONV:
            return None
        kinds += op.kinds if isinstance(op, QuantizeEach) else [op.type]
        half = half or op.rounding is Rounding.RND
    overflows = {op.overflow for op in readers if isinstance(op, Quantize | QuantizeEach)}
    if not kinds or len(overflows) != 1 or overflows == {Overflow.SAT_SYM}:
        return None
    frac = max(kind.frac for kind in kinds) + half
    ends = [(kind.min << frac - kind.frac, kind.max + 1 << frac - kind.frac) for kind in kinds]
    found = Fixed.for_range(min(low for low, _ in ends), max(top for _, top in ends) - 1, frac)
    return (found, overflows.pop()) if found.width <= WIDEST_FLOOR else None


def _steps(op: Op) -> Fixed | None:
    """Type of what a quantizer makes of an input that the host quantizes to its steps already."""
    if isinstance(op, Quantize):
        return op.type if op.rounding is Rounding.RND_CONV else None
    if isinstance(op, Requantize) and op.of_steps and op.rounding is Rounding.RND_CONV:
        return op.kind
    return None


def _is_given(node: Node, types: Types) -> bool:
    given: Mapping[str, Fixed] = types.given
    return node.output in given
