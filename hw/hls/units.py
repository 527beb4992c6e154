"""Units: the nodes of each source layer as one function, in an order without cycles.

Owns ``Unit``, ``Cut`` and ``cut``. Imports the graph and the primitives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateformer.quant.errors import GateformerError, Problems, ScheduleError
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.base import Primitive
from gateformer.quant.ops.cast import Constant
from gateformer.quant.types import IntArray


@dataclass(frozen=True, slots=True)
class Unit:
    """A layer, or the part of one that can run without waiting for another layer.

    Attributes
    ----------
    layer : str
        The source layer.
    nodes : tuple of Node
        In topological order; constants are not among them.
    reads : tuple of str
        Values of other units, or inputs of the graph, in the order of their first use.
    writes : tuple of str
        Own values that other units read or that leave the graph.
    """

    layer: str
    nodes: tuple[Node, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """A graph cut into units.

    Attributes
    ----------
    units : tuple of Unit
        Every unit reads only inputs of the graph and what earlier units wrote.
    constants : mapping of str to ndarray of int
        Raw integers of the values that depend on no input.
    """

    units: tuple[Unit, ...]
    constants: Mapping[str, IntArray]


def cut(graph: Graph) -> Cut:
    """Cut a lowered graph into one unit a layer; a layer is split where units would form a cycle.

    Raises
    ------
    Problems, ScheduleError
        E311 for outputs that are inputs or constants.
    """
    constants = _constants(graph)
    Problems.raise_if_any(_faults(graph, constants))
    owner: dict[str, int] = {}
    members: list[list[Node]] = []
    needs: list[set[int]] = []
    latest: dict[str, int] = {}
    for node in graph.nodes:
        if node.output in constants:
            continue
        layer = graph.values[node.output].layer
        sources = {owner[name] for name in node.inputs if name in owner}
        unit = latest.get(layer)
        if unit is None or any(unit in needs[s] for s in sources - {unit}):
            unit = latest[layer] = len(members)
            members.append([])
            needs.append(set())
        members[unit].append(node)
        owner[node.output] = unit
        _require(needs, unit, sources - {unit})
    order = sorted(range(len(members)), key=lambda unit: (len(needs[unit]), unit))
    return Cut(tuple(_unit(graph, members[unit], constants) for unit in order), constants)


def _require(needs: list[set[int]], unit: int, sources: set[int]) -> None:
    """Let a unit need others; ``needs`` stays closed, so its size orders units."""
    more = sources.union(*(needs[s] for s in sources))
    needs[unit] |= more
    for other in needs:
        if unit in other:
            other |= more


def _unit(graph: Graph, nodes: list[Node], constants: Mapping[str, IntArray]) -> Unit:
    made = {node.output for node in nodes}
    outside = (n for node in nodes for n in node.inputs if n not in made and n not in constants)
    readers = graph.consumers()
    writes = (
        name
        for name in made
        if name in graph.outputs or any(reader.output not in made for reader in readers[name])
    )
    layer = graph.values[nodes[0].output].layer
    order = {node.output: index for index, node in enumerate(nodes)}
    written = tuple(sorted(writes, key=order.__getitem__))
    return Unit(layer, tuple(nodes), tuple(dict.fromkeys(outside)), written)


def _constants(graph: Graph) -> dict[str, IntArray]:
    """Raw integers of everything that depends on no input, without the batch axis."""
    found: dict[str, IntArray] = {}
    for node in graph.nodes:
        if isinstance(node.op, Constant):
            found[node.output] = node.op.raw
        elif all(name in found for name in node.inputs):
            assert isinstance(node.op, Primitive)
            types = tuple(graph.values[name].fixed for name in node.inputs)
            found[node.output] = node.op.execute(types, *(found[n][None] for n in node.inputs))[0]
    return found


def _faults(graph: Graph, constants: Mapping[str, IntArray]) -> list[GateformerError]:
    return [
        ScheduleError(
            "E311",
            "an output that depends on no input, or is one",
            layer=graph.values[name].layer,
            cause=f"'{name}' needs no hardware",
            fix="leave it out of the outputs",
        )
        for name in graph.outputs
        if name in constants or name in graph.inputs
    ]
