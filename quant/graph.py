"""The graph: typed tensors in static single assignment, and the builder that makes one.

Owns ``Graph``, ``Node``, ``Builder`` and ``verify``. Imports ops, types and errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from gateformer.quant.errors import GateformerError, ModelError, Problems
from gateformer.quant.ops.base import Composite, Op, Primitive, Shape, Value, repeats
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation: reads ``inputs``, defines ``output``."""

    op: Op
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order over named values.

    Attributes
    ----------
    name : str
        The model's name.
    inputs, outputs : tuple of str
        Names of values, in the model's order.
    nodes : tuple of Node
        Every node reads only inputs and what earlier nodes defined.
    values : mapping of str to Value
        All tensors by name.
    masks : mapping of str to str
        Padding-mask input -> the input whose tokens it masks; one unsigned bit a token.
    scales : mapping of str to ndarray of float64
        Value -> what its reals are multiplied by to be the model's, shape () or one that is
        repeated to the value's; left out where it is 1. A raw integer means
        ``raw 2^-frac scale``.
    floors : mapping of str to Overflow
        Typed input that the host rounds down -> what it does beyond the input's type; others are
        rounded to the nearest step and saturate.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    masks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    scales: Mapping[str, FloatArray] = field(default_factory=lambda: MappingProxyType({}))
    floors: Mapping[str, Overflow] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def typed(self) -> bool:
        """Whether every value has a type and every node is a primitive."""
        return all(v.type is not None for v in self.values.values()) and all(
            isinstance(n.op, Primitive) for n in self.nodes
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """Source layers in the order of their first value."""
        return tuple(dict.fromkeys(v.layer for v in self.values.values()))

    def consumers(self) -> dict[str, list[Node]]:
        """Nodes that read each value; outputs of the graph are not among them."""
        readers: dict[str, list[Node]] = {name: [] for name in self.values}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers[name].append(node)
        return readers

    def producers(self) -> dict[str, Node]:
        """The node that defines each value; inputs of the graph have none."""
        return {node.output: node for node in self.nodes}

    def to_real(self, name: str, raw: IntArray) -> FloatArray:
        """The model's reals behind raw integers of a typed value, (n, *shape)."""
        return self.values[name].fixed.to_real(raw) * self.scales.get(name, 1.0)

    def from_real(self, name: str, real: FloatArray) -> IntArray:
        """Raw integers of the model's reals, rounded as ``floors`` says (E620 for NaN)."""
        units = np.asarray(real, np.float64) / self.scales.get(name, 1.0)
        if name in self.floors:
            return self.values[name].fixed.from_real(units, Rounding.TRN, self.floors[name])
        return self.values[name].fixed.from_real(units)

    def verify(self) -> None:
        """Check order, shapes, types and ranges again from the operations' own rules.

        Raises
        ------
        Problems
            With one E13x error a fault, all at once.
        """
        faults: list[GateformerError] = []
        known: set[str] = set(self.inputs)
        for node in self.nodes:
            value = self.values[node.output]
            if missing := [n for n in node.inputs if n not in known]:
                faults.append(_fault(value, f"reads {', '.join(missing)} before it is defined"))
            elif node.output in known:
                faults.append(_fault(value, "is defined twice"))
            else:
                faults += self._check(node, value)
            known.add(node.output)
        faults += [
            ModelError("E130", f"output '{name}' is never defined", fix="correct the graph")
            for name in self.outputs
            if name not in known
        ]
        faults += [
            ModelError("E130", f"{what} '{name}' is declared twice", fix="drop one of them")
            for what, names in (("output", self.outputs), ("mask of", self.masks.values()))
            for name, count in Counter(names).items()
            if count > 1
        ]
        faults += [
            ModelError("E130", f"scale of '{name}' does not fit it", fix="correct the graph")
            for name, scale in self.scales.items()
            if name not in self.values or not _fits(scale, self.values[name].shape)
        ]
        faults += [
            ModelError("E130", f"'{name}' is rounded down and no input", fix="correct the graph")
            for name in self.floors
            if name not in self.inputs
        ]
        if faults:
            raise Problems(faults)

    def _check(self, node: Node, value: Value) -> list[GateformerError]:
        operands = [self.values[n] for n in node.inputs]
        try:
            if node.op.shape(*(v.shape for v in operands)) != value.shape:
                return [_fault(value, f"has shape {value.shape}, its operation gives another")]
            if value.type is None or not isinstance(node.op, Primitive):
                return []
            found = node.op.infer(*operands)
        except GateformerError as error:
            return [error]
        if found.type != value.type:
            return [_fault(value, f"has type {value.type}, its operation gives {found.type}")]
        lo, hi = value.bounds
        if (found.lo < lo).any() or (found.hi > hi).any():
            return [_fault(value, "claims a range narrower than can be proven")]
        return []


def _fits(scale: FloatArray, shape: Shape) -> bool:
    """Whether a scale is positive and repeated to a shape."""
    return repeats(scale.shape, shape) and bool((np.isfinite(scale) & (scale > 0)).all())


def _fault(value: Value, cause: str) -> ModelError:
    return ModelError(
        "E130",
        "the graph is not well formed",
        layer=value.layer,
        cause=f"'{value.name}' {cause}",
        fix="correct the pass or the file that made it",
    )


class Builder:
    """Makes a graph node by node, inferring shapes, types and ranges.

    Parameters
    ----------
    name : str
        The model's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[str, Value] = {}
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        self._nodes: list[Node] = []
        self._masks: dict[str, str] = {}
        self._scales: dict[str, FloatArray] = {}
        self._floors: dict[str, Overflow] = {}
        self._taken: dict[str, int] = {}
        self._kept: set[str] = set()

    def input(
        self,
        name: str,
        shape: Shape,
        kind: Fixed | None = None,
        masks: str | None = None,
        bounds: tuple[IntArray, IntArray] | None = None,
    ) -> str:
        """Declare an input; ``masks`` names the input whose tokens it masks."""
        lo, hi = bounds or (None, None)
        self._define(Value(name, shape, name, kind, lo, hi))
        self._inputs.append(name)
        if masks is not None:
            self._masks[name] = masks
        return name

    def keep(self, names: Iterable[str]) -> None:
        """Keep names for values that come later: others get a number."""
        self._kept.update(names)

    def release(self, name: str) -> None:
        """Let the next value that asks for a kept name have it."""
        self._kept.discard(name)

    def add(self, op: Op, *inputs: str, name: str, layer: str) -> str:
        """Append a node; the name gets a number where it is taken. Returns the value's name."""
        wanted = name
        while name in self.values or name in self._kept:
            self._taken[wanted] = self._taken.get(wanted, 1) + 1
            name = f"{wanted}_{self._taken[wanted]}"
        operands = [self.values[n] for n in inputs]
        try:
            shape = op.shape(*(v.shape for v in operands))
            if isinstance(op, Primitive) and all(v.type is not None for v in operands):
                kind, lo, hi = op.infer(*operands)
                value = Value(name, shape, layer, kind, lo, hi)
            else:
                value = Value(name, shape, layer)
        except GateformerError as error:
            raise error.at(layer) from None
        self._define(value)
        self._nodes.append(Node(op, tuple(inputs), name))
        return name

    def scale(self, name: str, scale: FloatArray) -> None:
        """Say what a value's reals are multiplied by to be the model's."""
        self._scales[name] = scale

    def floor(self, name: str, overflow: Overflow) -> None:
        """Let the host round an input down, and say what it does beyond the input's type."""
        self._floors[name] = overflow

    def output(self, name: str) -> None:
        """Declare a value an output."""
        self._outputs.append(name)

    def build(self) -> Graph:
        """Freeze and verify."""
        graph = Graph(
            self.name,
            tuple(self._inputs),
            tuple(self._outputs),
            tuple(self._nodes),
            MappingProxyType(dict(self.values)),
            MappingProxyType(dict(self._masks)),
            MappingProxyType(dict(self._scales)),
            MappingProxyType(dict(self._floors)),
        )
        graph.verify()
        return graph

    def _define(self, value: Value) -> None:
        if value.name in self.values:
            raise ModelError("E131", f"two values are called '{value.name}'", layer=value.layer)
        self.values[value.name] = value


def prune(graph: Graph) -> Graph:
    """Drop nodes that no output needs."""
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if node.output in needed:
            kept.append(node)
            needed.update(node.inputs)
    names = {*graph.inputs, *(n.output for n in kept)}
    values = {k: v for k, v in graph.values.items() if k in names}
    scales = {k: v for k, v in graph.scales.items() if k in names}
    return replace(graph, nodes=tuple(reversed(kept)), values=values, scales=scales)


def composites(graph: Graph) -> Iterable[Node]:
    """Nodes that still have to be expanded."""
    return (n for n in graph.nodes if isinstance(n.op, Composite))
