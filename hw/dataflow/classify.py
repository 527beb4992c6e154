"""Which hardware each node becomes, before any clock is known.

Owns ``Shape facts`` of a graph under settings (beats, folding, kinds, ranks) and the wiring views.
Imports the graph and the primitives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from gateformer.hw.dataflow.lanes import Nodes
from gateformer.hw.settings import Settings
from gateformer.quant.errors import ScheduleError
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.base import Value
from gateformer.quant.ops.cast import Cast, Constant, Rescale
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.layout import Concat, Layout, Reshape, Transpose
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.reduce import Reduce

Kind = Literal["constant", "wire", "lane", "dot", "mac", "accumulate", "gather", "absorbed"]


@dataclass(slots=True)
class Facts:
    """A graph seen through its settings.

    Attributes
    ----------
    kinds : dict of str to Kind
        What each node's output is made by.
    absorbed : dict of str to list of Node
        Unary nodes that a dot or mac stage applies to its own result, in order.
    folds : dict of str to int
        Clocks over which the key axis of a value is spread; absent for 1.
    ranks : dict of str to int
        Frame-wide stages on the longest way from an input.
    """

    graph: Graph
    settings: Settings
    kinds: dict[str, Kind] = field(default_factory=dict)
    absorbed: dict[str, list[Node]] = field(default_factory=dict)
    folds: dict[str, int] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    consumers: dict[str, list[Node]] = field(default_factory=dict)
    producers: dict[str, Node] = field(default_factory=dict)

    def tokens(self, name: str) -> int:
        """Tokens of a value; 1 for a vector."""
        shape = self.graph.values[name].shape
        return shape[0] if len(shape) > 1 else 1

    def lanes(self, name: str) -> int:
        """Tokens a beat."""
        return min(self.settings.token_parallelism, self.tokens(name))

    def beats(self, name: str) -> int:
        """Beats a frame."""
        return -(-self.tokens(name) // self.lanes(name))

    @property
    def slots(self) -> int:
        """Input slots a frame."""
        return max(self.beats(name) for name in self.graph.inputs)

    def is_vector(self, name: str) -> bool:
        """Whether a value has no token axis."""
        return len(self.graph.values[name].shape) == 1

    def group(self, name: str) -> int:
        """Elements of the last axis a clock."""
        return -(-self.graph.values[name].shape[-1] // self.folds.get(name, 1))

    def features(self, name: str) -> tuple[int, ...]:
        """Shape of one lane's elements in one clock."""
        value = self.graph.values[name]
        if self.is_vector(name):
            return value.shape
        return (*value.shape[1:-1], self.group(name))

    def bases(self, name: str) -> tuple[str, ...]:
        """Values made by stages or inputs that a value is wired from."""
        node = self.producers.get(name)
        if node is None or self.kinds[name] not in ("wire", "constant"):
            return (name,)
        found: dict[str, None] = {}
        for operand in node.inputs:
            found.update(dict.fromkeys(self.bases(operand)))
        return tuple(found)

    def readers(self, name: str) -> list[Node]:
        """Nodes that read a value, wires looked through."""
        found: dict[str, Node] = {}
        for node in self.consumers[name]:
            if self.kinds[node.output] == "wire":
                found.update({n.output: n for n in self.readers(node.output)})
            else:
                found[node.output] = node
        return list(found.values())

    def leaves_graph(self, name: str) -> bool:
        """Whether a value, or a wiring of it, is an output of the graph."""
        return name in self.graph.outputs or any(
            self.kinds[n.output] == "wire" and self.leaves_graph(n.output)
            for n in self.consumers[name]
        )

    def element_bounds(self, name: str) -> tuple[Nodes, Nodes]:
        """Range of each element of one lane and clock, over all tokens and key groups."""
        value = self.graph.values[name]
        lo, hi = value.bounds
        if self.is_vector(name):
            return lo, hi
        lo, hi = lo.min(0), hi.max(0)
        if self.folds.get(name, 1) > 1:
            size = self.group(name)
            shape = (*lo.shape[:-1], size)
            lo = np.broadcast_to(lo.min(-1, keepdims=True), shape)
            hi = np.broadcast_to(hi.max(-1, keepdims=True), shape)
        return lo, hi

    def wire(
        self,
        name: str,
        leaf: Callable[[str], Nodes],
        whole: bool,
        shift: Callable[[int, int], int],
    ) -> Nodes:
        """Follow wires down to stage outputs and arrange their elements.

        Parameters
        ----------
        name : str
            Value to arrange.
        leaf : callable
            Nodes of a base value or constant: one token's features, or the whole tensor.
        whole : bool
            Whether leaves are whole tensors (all tokens) rather than one token.
        shift : callable
            Makes an element's ``x 2^n``, where operands of different fractions are joined.
        """
        node = self.producers.get(name)
        if node is None or self.kinds[name] != "wire":
            return leaf(name)
        parts = [self.wire(n, leaf, whole, shift) for n in node.inputs]
        op = node.op
        if isinstance(op, Rescale):
            return parts[0]
        assert isinstance(op, Layout)
        frac = self.graph.values[name].fixed.frac
        steps = [frac - self.graph.values[n].fixed.frac for n in node.inputs]
        parts = [
            np.vectorize(lambda n, by=by: shift(int(n), by), otypes=[np.int64])(p) if by else p
            for p, by in zip(parts, steps, strict=True)
        ]
        if whole:
            return op.move(*(p[None] for p in parts))[0]
        if isinstance(op, Reshape):
            op = Reshape((1, *op.to[1:]))
        return op.move(*(p[None, None] for p in parts))[0, 0]


def classify(graph: Graph, settings: Settings) -> Facts:
    """Decide every node's kind; all that cannot be built is told at once."""
    facts = Facts(graph, settings, consumers=graph.consumers(), producers=graph.producers())
    for name in graph.inputs:
        facts.ranks[name] = 0
    for node in graph.nodes:
        name = node.output
        if name in facts.kinds:
            continue
        facts.folds[name] = _fold(facts, node)
        facts.kinds[name] = _kind(facts, node)
        operands = [b for n in node.inputs for b in facts.bases(n)]
        rank = max((facts.ranks[b] for b in operands), default=0)
        facts.ranks[name] = rank + (facts.kinds[name] in ("dot", "mac", "accumulate", "gather"))
        if facts.kinds[name] in ("dot", "mac"):
            _absorb(facts, node)
    return facts


def _kind(facts: Facts, node: Node) -> Kind:
    op, name = node.op, node.output
    value = facts.graph.values[name]
    if isinstance(op, Constant):
        return "constant"
    if isinstance(op, Rescale):
        return "wire"
    if isinstance(op, MatMul):
        return "dot"
    source = node.inputs[0]
    if isinstance(op, Layout):
        return _layout_kind(facts, node, op, value)
    if isinstance(op, Reduce):
        if op.axis == "tokens":
            return "lane" if facts.beats(source) == 1 else "accumulate"
        return "accumulate" if facts.folds.get(source, 1) > 1 else "lane"
    if isinstance(op, Dense):
        if facts.folds.get(source, 1) > 1:
            raise _unsupported(value, op, "a constant matrix over a folded key axis")
        flattened = facts.is_vector(source) and any(
            not facts.is_vector(b) and facts.beats(b) > 1 for b in facts.bases(source)
        )
        return "mac" if flattened or facts.settings.reuse(value.layer) > 1 else "lane"
    return "lane"


def _layout_kind(facts: Facts, node: Node, op: Layout, value: Value) -> Kind:
    source = node.inputs[0]
    if any(facts.folds.get(n, 1) > 1 for n in node.inputs):
        raise _unsupported(value, op, "elements of a folded key axis cannot be rearranged")
    was, now = facts.is_vector(source), facts.is_vector(node.output)
    if was != now:
        if now and facts.beats(source) == 1:
            return "wire"
        if now:
            readers = facts.consumers[node.output]
            only_dense = all(isinstance(r.op, Dense) for r in readers) and readers
            single = len(facts.bases(source)) == 1
            leaves = node.output in facts.graph.outputs
            return "wire" if only_dense and single and not leaves else "gather"
        raise _spread(facts, node, value)
    moves_tokens = isinstance(op, Transpose) and op.order[0] != 0
    if not now and (moves_tokens or facts.tokens(source) != facts.tokens(node.output)):
        raise _unsupported(value, op, "it moves elements from token to token")
    return "wire"


def _fold(facts: Facts, node: Node) -> int:
    """Clocks over which a result's key axis is spread."""
    value = facts.graph.values[node.output]
    op = node.op
    if isinstance(op, MatMul):
        if op.contract == "tokens":
            return 1
        keys = value.shape[2]
        size = -(-keys // facts.settings.reuse(value.layer))
        return -(-keys // size)
    if isinstance(op, (Reduce, Dense, Layout)):
        return 1
    return max((facts.folds.get(n, 1) for n in node.inputs), default=1)


def _absorb(facts: Facts, node: Node) -> None:
    """Let a stage take in what alone reads its result.

    A dot takes a constant into its sum; a mac applies casts and tables behind its accumulators.
    """
    chain: list[Node] = []
    name = node.output
    facts.absorbed[name] = chain
    if isinstance(node.op, MatMul) and facts.folds.get(node.inputs[0], 1) > 1:
        return  # Partial sums over key groups have to be added first.
    while len(facts.consumers[name]) == 1 and name not in facts.graph.outputs:
        (reader,) = facts.consumers[name]
        if isinstance(node.op, MatMul):
            if chain or not _adds_constant(facts, reader):
                break
        elif not isinstance(reader.op, (Cast, Rescale)) and not (
            isinstance(reader.op, Lookup) and reader.op.table.ndim == 1 and chain
        ):
            break
        chain.append(reader)
        name = reader.output
        facts.kinds[name] = "absorbed"
        facts.folds[name] = facts.folds[node.output]
        facts.ranks[name] = facts.ranks[node.output]


def _adds_constant(facts: Facts, node: Node) -> bool:
    """Whether a node adds one and the same constant to every element."""
    if not isinstance(node.op, Add) or node.op.subtract:
        return False
    other = facts.producers.get(node.inputs[1])
    return other is not None and isinstance(other.op, Constant) and other.op.raw.size == 1


def is_cheap(node: Node) -> bool:
    """Whether a node may ride on another layer's stage."""
    return isinstance(node.op, (Add, Cast))


def is_sum(node: Node) -> bool:
    """Whether a node's elements are sums of its operands', by constant weights."""
    return isinstance(node.op, (Add, Dense))


def _spread(facts: Facts, node: Node, value: Value) -> ScheduleError:
    """E310 for a vector that becomes tokens: by its name where that is how tokens are joined."""
    tokens = facts.tokens(node.output)
    size = int(np.prod(value.shape)) // tokens
    joint = _joined_constants(facts, node.inputs[0])
    if joint is None or joint[1] % size:
        return ScheduleError(
            "E310",
            "no hardware for this operation",
            layer=value.layer,
            kind="Reshape",
            cause=f"It spreads a vector over {tokens} tokens, which a pipeline that takes them "
            "one after the other does not do",
            fix="Keep the tokens apart up to there, without a Flatten or a Reshape of them all",
        )
    layer, constants = facts.graph.values[joint[0]].layer, joint[1]
    added = constants // size
    words = "a token" if added == 1 else f"{added} tokens"
    what = "a class token" if added == 1 else "class or register tokens"
    return ScheduleError(
        "E310",
        "tokens joined inside the network",
        layer=layer,
        kind="Concat",
        cause=f"It joins {words} of constants ({what}) to {tokens - added} others, and a pipeline "
        f"that takes {tokens - added} tokens a frame has no place for {tokens}: '{value.layer}' "
        "reads them all",
        fix="Leave it out, pool the tokens (their mean or maximum) where the network picks it, and "
        f"train again; or export the network from behind '{layer}' on, with {tokens} tokens as its "
        "input, of which the host sends the constant ones too",
    )


def _joined_constants(facts: Facts, name: str) -> tuple[str, int] | None:
    """The vector before which constants were joined to what moves, and how many numbers."""
    moving = set(facts.graph.inputs)
    for node in facts.graph.nodes:
        if moving.intersection(node.inputs):
            moving.add(node.output)
    waiting, seen = [name], {name}
    while waiting:
        found = facts.producers.get(waiting.pop())
        if found is None or not facts.is_vector(found.output):
            continue
        if isinstance(found.op, Concat):
            still = (facts.graph.values[n].shape[-1] for n in found.inputs if n not in moving)
            if constants := sum(still):
                return found.output, constants
        new = [one for one in found.inputs if one not in seen]
        seen.update(new)
        waiting += new
    return None


def _unsupported(value: Value, op: object, cause: str) -> ScheduleError:
    return ScheduleError(
        "E310",
        "no hardware for this operation",
        layer=value.layer,
        kind=type(op).__name__,
        cause=cause,
        fix="take all tokens in one beat (schedule.token_parallelism), or change the layer",
    )
