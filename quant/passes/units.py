"""A graph under construction whose values have units, as the rules of scale folding see it.

Owns ``Units``. Imports the graph, composites and operations.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gateformer.quant.expand.multiplier import wires
from gateformer.quant.expand.parameter import Parameter
from gateformer.quant.expand.quantize import Quantize
from gateformer.quant.expand.requantize import Requantize
from gateformer.quant.expand.scale import Scale
from gateformer.quant.expand.scaled import ScaledQuantize
from gateformer.quant.graph import Builder, Graph, Node
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.cast import Constant
from gateformer.quant.ops.layout import Reshape, Transpose
from gateformer.quant.types import Fixed, FloatArray, Overflow

SAME = 1e-12
"""Relative difference of units that only the order of their factors' products can make."""

ONE = np.array(1.0)


class Units:
    """Values by their imported names: what stands for them, and in which unit.

    Parameters
    ----------
    graph : Graph
        As imported.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers = graph.consumers()
        self.builder = Builder(graph.name)
        self.layer = ""
        self._made: dict[str, str] = {}
        self._unit: dict[str, FloatArray] = {}
        self._constants: dict[str, FloatArray] = {}
        self._bias: dict[str, FloatArray] = {}
        self._moved: dict[tuple[str, bytes], str] = {}

    def input(self, name: str) -> None:
        """Declare an input, in the unit of the quantizer that alone reads it."""
        value = self.graph.values[name]
        bounds = None if value.lo is None or value.hi is None else (value.lo, value.hi)
        self.builder.input(name, value.shape, value.type, self.graph.masks.get(name), bounds)
        wanted = self.wanted(name)
        self._place(name, name, ONE if wanted is None else wanted)

    def unit(self, name: str) -> FloatArray:
        """Unit of an imported value, in its own shape."""
        return np.broadcast_to(self._unit[name], self.graph.values[name].shape)

    def same(self, name: str, axes: tuple[int, ...] | None = None) -> bool:
        """Whether a value's unit is one along some axes, or all."""
        unit = self.unit(name)
        least, most = unit.min(axis=axes), unit.max(axis=axes)
        return bool((most - least <= SAME * most).all())

    def value(self, name: str) -> str:
        """What stands for an imported value, in its unit."""
        return self._made[name]

    def plain(self, name: str) -> str:
        """What stands for an imported value, in unit 1."""
        return self.into(name, ONE)

    def single(self, name: str) -> tuple[str, float]:
        """What stands for a value, and its one unit; in unit 1 where it has several."""
        if self.same(name):
            return self._made[name], float(self.unit(name).flat[0])
        return self.plain(name), 1.0

    def into(self, name: str, unit: FloatArray) -> str:
        """What stands for an imported value, brought to another unit."""
        shape = self.graph.values[name].shape
        factor = packed(self.unit(name) / np.broadcast_to(unit, shape))
        if (np.abs(factor - 1.0) <= SAME).all():
            return self._made[name]
        key = (name, factor.tobytes())
        if key not in self._moved:
            op, inputs = self._scaled(name, factor)
            free = f"{name}/scaled"
            while free in self.graph.values or free in self.builder.values:
                free += "_"
            self._moved[key] = self.builder.add(op, *inputs, name=free, layer=self.layer)
        return self._moved[key]

    def _scaled(self, name: str, factor: FloatArray) -> tuple[Op, tuple[str, ...]]:
        held = self._constants.get(name)
        if held is None:
            return Scale(factor), (self._made[name],)
        return Parameter(held * factor), ()

    def keep(self, node: Node, unit: FloatArray, *inputs: str, op: Op | None = None) -> None:
        """Append a node under its own name; its value gets a unit."""
        made = self.builder.add(op or node.op, *inputs, name=node.output, layer=self.layer)
        self._place(node.output, made, unit)
        if isinstance(node.op, Constant | Parameter):
            self._constants[node.output] = node.op.reference(probe=lambda *_: None)[0]

    def apart(self, node: Node, unit: FloatArray, bias: FloatArray, x: str, op: Op) -> None:
        """Append a sum without its bias, which all its readers, quantizers, add themselves."""
        free = f"{node.output}/sum"
        while free in self.graph.values or free in self.builder.values:
            free += "_"
        made = self.builder.add(op, x, name=free, layer=self.layer)
        self._place(node.output, made, unit)
        self._bias[node.output] = bias

    def quantized(self, node: Node, result: Requantize, unit: FloatArray) -> None:
        """Append a quantizer, as a Quantize where only wires come before it."""
        x = node.inputs[0]
        if x in self._bias:
            result = replace(result, offset=self._bias[x] * result.factor)
        self.keep(node, unit, self.value(x), op=plainest(result))

    def only_quantized(self, name: str) -> bool:
        """Whether nothing but quantizers that saturate reads a value."""
        readers = [node.op for node in self.readers[name]]
        return name not in self.graph.outputs and all(
            isinstance(op, ScaledQuantize)
            or (isinstance(op, Quantize) and op.overflow is not Overflow.WRAP)
            for op in readers
        )

    def wanted(self, name: str) -> FloatArray | None:
        """Unit of the steps that all readers of a value make of it, through changes of shape."""
        readers = self.readers[name]
        if not readers or name in self.graph.outputs:
            return None
        found = [self._wanted(node) for node in readers]
        first = found[0]
        if first is None or any(f is None or not np.array_equal(f, first) for f in found):
            return None
        return first

    def _wanted(self, node: Node) -> FloatArray | None:
        op = node.op
        if isinstance(op, ScaledQuantize):
            return op.scale if wires(op.scale) is None else ONE
        if isinstance(op, Quantize) and op.overflow is not Overflow.WRAP:
            return ONE
        if isinstance(op, Reshape | Transpose):
            wanted = self.wanted(node.output)
            return wanted if wanted is not None and wanted.size == 1 else None
        return None

    def build(self) -> Graph:
        """Freeze, with every unit that is not 1."""
        for name in self.graph.outputs:
            self.builder.output(self._made[name])
        for name, made in self._made.items():
            unit = packed(self.unit(name))
            if name == made and not (unit == 1.0).all():
                self.builder.scale(name, unit)
        return self.builder.build()

    def _place(self, name: str, made: str, unit: FloatArray) -> None:
        self._made[name] = made
        self._unit[name] = unit


def packed(unit: FloatArray) -> FloatArray:
    """A unit without the axes along which it does not change; shape () where there is one."""
    for axis in range(unit.ndim):
        first = unit.take([0], axis)
        if unit.shape[axis] > 1 and (unit == first).all():
            unit = first
    return unit.reshape(()) if unit.size == 1 else unit


def plainest(op: Requantize) -> Requantize | Quantize:
    """A Quantize where it gives the same."""
    if not op.of_steps or op.zero_point.any():
        return op
    kind = Fixed.for_range(op.low, op.high, op.frac)
    for overflow in (Overflow.SAT, Overflow.SAT_SYM):
        if kind.limits(overflow) == (op.low, op.high):
            return Quantize(kind, op.rounding, overflow)
    return op
