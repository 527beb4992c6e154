"""Phases: the loops of a unit, each over its tokens, and the frames between them.

Owns ``Phase``, ``Frame``, ``Phases``, ``phases``, ``accesses``, ``moves`` and ``tokens``. Imports
units and primitives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateformer.hw.hls.units import Unit
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.base import Value
from gateformer.quant.ops.layout import Reshape, Transpose
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import IntArray

Access = Literal["row", "whole", "first"]
"""Which tokens of an operand one token of the result needs: its own, all, or the only one."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One loop over tokens.

    Attributes
    ----------
    level : int
        Whole frames that have to be gathered before it, counted from the unit's inputs.
    tokens : int
        Iterations; 1 for vectors.
    nodes : tuple of Node
        What it computes for each token, in order.
    totals : tuple of Node
        Sums and maxima over its tokens, complete when it ends.
    reads : tuple of str
        Values of other units that it takes in, a token an iteration.
    writes : tuple of str
        Values that leave the unit from here.
    """

    level: int
    tokens: int
    nodes: tuple[Node, ...]
    totals: tuple[Node, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """What it knows of a token: what it reads and what it computes."""
        return (*self.reads, *(node.output for node in self.nodes))


@dataclass(frozen=True, slots=True)
class Frame:
    """All tokens of a value, handed from one phase to another.

    Attributes
    ----------
    value : str
        The value.
    source, target : int
        Indices of phases; each frame has one writer and one reader.
    whole : bool
        Whether the reader needs all tokens at once, rather than one an iteration.
    """

    value: str
    source: int
    target: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Phases:
    """A unit as loops.

    Attributes
    ----------
    phases : tuple of Phase
        In order of level.
    frames : tuple of Frame
        In order of source and target.
    """

    phases: tuple[Phase, ...]
    frames: tuple[Frame, ...]


def tokens(value: Value) -> int:
    """Tokens of a value; 1 for a vector."""
    return value.shape[0] if len(value.shape) > 1 else 1


def accesses(graph: Graph, node: Node) -> tuple[Access, ...]:
    """How a node reads each operand."""
    rows = tokens(graph.values[node.output])
    found: list[Access] = []
    for position, name in enumerate(node.inputs):
        own = tokens(graph.values[name])
        if _whole(node, position, own, rows):
            found.append("whole")
        else:
            found.append("row" if own == rows else "first")
    return tuple(found)


def _whole(node: Node, position: int, own: int, rows: int) -> bool:
    op = node.op
    if isinstance(op, MatMul):
        return position == 1
    if isinstance(op, Reduce):
        return op.axis == "tokens"
    if isinstance(op, Reshape):
        return own != rows
    return isinstance(op, Transpose) and op.order[0] != 0


def moves(graph: Graph, node: Node) -> bool:
    """Whether the token of a result decides which elements of other tokens it is made of."""
    return "whole" in accesses(graph, node) and not isinstance(node.op, MatMul)


def phases(graph: Graph, unit: Unit, constants: Mapping[str, IntArray], *, running: bool) -> Phases:
    """Place every node of a unit in the earliest loop that can compute it.

    Parameters
    ----------
    graph : Graph
        The lowered network.
    unit : Unit
        The part of it that becomes one function.
    constants : mapping of str to ndarray
        Values that need no loop.
    running : bool
        Add up over tokens as they pass, in the loop that makes them, rather than after it.
    """
    level: dict[str, int] = dict.fromkeys(unit.reads, 0)
    where = {name: (0, tokens(graph.values[name])) for name in unit.reads}
    needs: dict[str, dict[str, Access]] = {}
    totals: set[str] = set()
    for node in unit.nodes:
        name = node.output
        read = zip(node.inputs, accesses(graph, node), strict=True)
        moving = [(n, access) for n, access in read if n not in constants]
        waits = (level[n] + (access != "row" and n not in totals) for n, access in moving)
        level[name] = max(waits)
        if running and _totals(graph, node):
            totals.add(name)
            where[name] = where[node.inputs[0]]
            needs[name] = {}
            continue
        where[name] = level[name], tokens(graph.values[name])
        needs[name] = {}
        for operand, access in moving:
            if needs[name].get(operand) != "whole":
                needs[name][operand] = access
    keys = sorted(set(where.values()), key=lambda key: (key[0], -key[1]))
    index = {key: number for number, key in enumerate(keys)}
    made = tuple(
        Phase(
            *key,
            tuple(n for n in unit.nodes if where[n.output] == key and n.output not in totals),
            tuple(n for n in unit.nodes if where[n.output] == key and n.output in totals),
            tuple(name for name in unit.reads if where[name] == key),
            tuple(name for name in unit.writes if where[name] == key),
        )
        for key in keys
    )
    crossing: dict[tuple[int, int, str], bool] = {}
    for reader, operands in needs.items():
        for name, access in operands.items():
            pair = index[where[name]], index[where[reader]]
            if pair[0] != pair[1]:
                key = (*pair, name)
                crossing[key] = crossing.get(key, False) or access != "row"
    frames = (Frame(name, a, b, whole) for (a, b, name), whole in sorted(crossing.items()))
    return Phases(made, tuple(frames))


def _totals(graph: Graph, node: Node) -> bool:
    """Whether a node makes one vector of all tokens of its operand."""
    over = isinstance(node.op, Reduce) and node.op.axis == "tokens"
    shapes = [graph.values[name].shape for name in (node.inputs[0], node.output)]
    return over and len(shapes[0]) == 2 and shapes[0][0] > 1
