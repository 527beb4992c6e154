"""Constant matrices as one adder graph: those that read one value, and chains of exact sums.

Owns ``merged``, which lets stages share a graph, and ``Joint``, which says how a stage's matrices
are solved. Whatever is joined takes fewer adders so than apart; the integers are the same.
Imports facts, clusters and the solver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from gateformer.hw import cmvm
from gateformer.hw.dataflow.classify import Facts, is_sum
from gateformer.hw.dataflow.clusters import Cluster, needs
from gateformer.hw.dataflow.lanes import Lane, Nodes, Terms, matrix_terms, solved
from gateformer.quant.graph import Node
from gateformer.quant.ops.cast import Constant
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.types import IntArray

MOST_WEIGHTS = 1 << 14
"""Most weights of matrices that are solved as one: it takes minutes beyond."""

NEAR = 32
"""Stages before a stage, and after it, that it is tried with in vain: all of them where a value has
up to so many readers, and beyond that the time grows with their number and not with its square."""

Row = tuple[dict[int, int], int]
"""A sum over a stage's elements: weight of each by number, and a constant."""


def merged(facts: Facts, found: list[Cluster]) -> list[Cluster]:
    """Stages that read the same values, as one where their matrices then take fewer adders.

    Values that enter a stage are made before it, so none of two such stages waits for the other.
    Each takes in one after the other of its neighbours among them, until `NEAR` gained nothing.
    """
    alike: dict[object, list[Cluster]] = {}
    for cluster in found:
        last = cluster.nodes[-1].output
        key = (needs(facts, cluster.nodes), facts.is_vector(last), facts.folds[last],
               facts.tokens(last))  # fmt: skip
        alike.setdefault(key, []).append(cluster)
    place = {node.output: number for number, node in enumerate(facts.graph.nodes)}
    costs = _Costs(facts)
    gone: set[int] = set()
    for group in alike.values():
        # Without a matrix there is nothing to share.
        left = [cluster for cluster in group if by_operand(cluster.nodes)]
        at = 0
        while at < len(left):
            first, refused = left[at], 0
            other = max(0, at - NEAR)
            while other < len(left) and refused < NEAR:
                if left[other] is first:
                    at, other = other, other + 1
                elif costs.gains(first.nodes, left[other].nodes):
                    nodes = first.nodes + left[other].nodes
                    first.nodes = sorted(nodes, key=lambda n: place[n.output])
                    first.cheap = False
                    gone.add(id(left.pop(other)))
                else:
                    refused += other > at
                    other += 1
            at += 1
    return [cluster for cluster in found if id(cluster) not in gone]


class _Costs:
    """Adders of matrices, each set of them solved once.

    Parameters
    ----------
    facts : Facts
        The graph.
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.weights: dict[str, IntArray] = {}
        self.known: dict[tuple[str, ...], int] = {}

    def gains(self, first: Sequence[Node], other: Sequence[Node]) -> bool:
        """Whether any matrices of two stages take fewer adders together."""
        mine, its = by_operand(first), by_operand(other)
        return any(self.share(mine[name], its[name]) for name in mine.keys() & its.keys())

    def share(self, *groups: Sequence[Node]) -> bool:
        """Whether matrices of one value take fewer adders as one; large ones are not tried."""
        every = [node for group in groups for node in group]
        if sum(self._weight(node).size for node in every) > MOST_WEIGHTS:
            return False
        return self._together(every) < sum(self._together(group) for group in groups)

    def _together(self, nodes: Sequence[Node]) -> int:
        """Adders of matrices solved as one."""
        key = tuple(node.output for node in nodes)
        if key not in self.known:
            whole = np.concatenate([self._weight(node) for node in nodes])
            self.known[key] = _adders(self.facts, whole)
        return self.known[key]

    def _weight(self, node: Node) -> IntArray:
        if node.output not in self.weights:
            self.weights[node.output] = _scaled(self.facts, node)[0]
        return self.weights[node.output]


def by_operand(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    """Constant matrices by the value that they read."""
    found: dict[str, list[Node]] = {}
    for node in nodes:
        if isinstance(node.op, Dense):
            found.setdefault(node.inputs[0], []).append(node)
    return found


def _adders(facts: Facts, weight: IntArray, more: int = 0) -> int:
    return cmvm.additions(solved(facts.settings, weight)[0], facts.settings.ternary, more)


def _scaled(facts: Facts, node: Node) -> tuple[IntArray, int, IntArray]:
    """A matrix without the power of two that all its weights have, that power, and the bias."""
    op = node.op
    assert isinstance(op, Dense)
    weight, bias = op.aligned(facts.graph.values[node.inputs[0]].fixed)
    power = cmvm.trailing_zeros(weight)
    return weight >> power, power, bias


class Joint:
    """How the constant matrices of one stage are solved.

    Parameters
    ----------
    facts : Facts
        The graph.
    cluster : Cluster
        The stage.
    exported : sequence of str
        Values that leave it.
    """

    def __init__(self, facts: Facts, cluster: Cluster, exported: Sequence[str]) -> None:
        self.facts = facts
        self.cluster = cluster
        self.inner = {node.output: node for node in cluster.nodes}
        self.kept = {*exported, *facts.graph.outputs}
        self.places: dict[str, int] = {}
        self.rows: dict[str, list[Row]] = {}
        self.chained: dict[str, IntArray] = {}
        self.skipped: set[str] = set()
        self.groups: dict[str, list[Node]] = {}
        self.ready: dict[str, list[Terms]] = {}
        if facts.settings.joint:
            self._chain()
            self._group()

    def sums(
        self, lane: Lane, node: Node, leaf: Callable[[str], Nodes], wired: Callable[[str], Nodes]
    ) -> list[Terms] | None:
        """A node's outputs as sums, where it is solved with others; None where it is not."""
        name = node.output
        if name in self.chained:
            return self._chain_sums(lane, name, leaf)
        group = self.groups.get(node.inputs[0], [])
        if name not in self.ready and node in group:
            parts = [_scaled(self.facts, one) for one in group]
            weights = np.concatenate([w for w, _, _ in parts])
            every = matrix_terms(lane, weights, wired(node.inputs[0]))
            for one, (_, power, bias) in zip(group, parts, strict=True):
                own, every = every[: len(bias)], every[len(bias) :]
                self.ready[one.output] = [
                    [(lane.net.const(int(b)), 0, False), *((n, s + power, m) for n, s, m in terms)]
                    for b, terms in zip(bias, own, strict=True)
                ]
        return self.ready.get(name)

    def _group(self) -> None:
        """Matrices that read one value: together where that takes fewer adders."""
        costs, chains = _Costs(self.facts), {*self.chained, *self.skipped}
        nodes = [node for node in self.cluster.nodes if node.output not in chains]
        for name, group in by_operand(nodes).items():
            if len(group) > 1 and costs.share(*([node] for node in group)):
                self.groups[name] = group

    # Chains

    def _chain(self) -> None:
        """Multiply matrices and sums out where the product takes fewer adders than its parts."""
        sums = {node.output for node in self.cluster.nodes if is_sum(node)}
        read = {b for name in sums for i in self.inner[name].inputs for b in self.facts.bases(i)}
        if not sums & read:
            return
        costs: dict[str, int] = {}
        for node in self.cluster.nodes:
            name = node.output
            rows = self._rows_of(node)
            if rows is None:
                continue
            self.rows[name] = rows
            behind = self._behind(node)
            alone = [n for n in behind if self._read_once(n)]
            costs[name] = self._own_cost(node) + sum(costs[n] for n in alone)
            matrix, bias = self._matrix(rows)
            if not behind or matrix.size > MOST_WEIGHTS or not matrix.any():
                continue
            product = _adders(self.facts, matrix, int(bias.any()))
            if product < costs[name]:
                costs[name] = product
                self.chained[name] = matrix
                self._skip(alone)

    def _skip(self, names: Iterable[str]) -> None:
        for name in names:
            self.skipped.add(name)
            self.chained.pop(name, None)
            self._skip(n for n in self._behind(self.inner[name]) if self._read_once(n))

    def _read_once(self, name: str) -> bool:
        return len(self.facts.readers(name)) == 1 and name not in self.kept

    def _behind(self, node: Node) -> list[str]:
        """Sums of this stage that a node reads, wires looked through."""
        bases = dict.fromkeys(b for name in node.inputs for b in self.facts.bases(name))
        return [name for name in bases if name in self.rows]

    def _own_cost(self, node: Node) -> int:
        if isinstance(node.op, Dense):
            weight, _, bias = _scaled(self.facts, node)
            return _adders(self.facts, weight, int(bias.any()))
        size = int(np.prod(self.facts.features(node.output)))
        return -(-size // 2) if self.facts.settings.ternary else size

    def _rows_of(self, node: Node) -> list[Row] | None:
        """A node's elements as sums over the stage's; None for what is no plain sum."""
        values = self.facts.graph.values
        if isinstance(node.op, Dense):
            weight, bias = node.op.aligned(values[node.inputs[0]].fixed)
            before = self._elements(node.inputs[0])
            return [
                _weighted(before, [int(w) for w in row], int(b))
                for row, b in zip(weight, bias, strict=True)
            ]
        if not isinstance(node.op, Add):
            return None
        if len({values[name].shape for name in (*node.inputs, node.output)}) != 1:
            return None
        signs = (1, -1 if node.op.subtract else 1)
        frac = values[node.output].fixed.frac
        powers = [frac - values[name].fixed.frac for name in node.inputs]
        scales = [sign << power for sign, power in zip(signs, powers, strict=True)]
        sides = [self._elements(name) for name in node.inputs]
        if len({len(side) for side in sides}) != 1:
            return None  # a group of keys at a time meets a constant of all
        return [_weighted(pair, scales, 0) for pair in zip(*sides, strict=True)]

    def _elements(self, name: str) -> list[Row]:
        """A value's elements as sums, wires looked through."""
        known: list[Row] = []
        whole = self.facts.is_vector(self.cluster.nodes[0].output)

        def leaf(base: str) -> Nodes:
            features = self.facts.graph.values[base].shape if whole else self.facts.features(base)
            rows = self.rows.get(base) or self._atoms(base, features)
            start = len(known)
            known.extend(rows)
            return np.arange(start, len(known)).reshape(features)

        def shift(number: int, by: int) -> int:
            known.append(_weighted([known[number]], [1 << by], 0))
            return len(known) - 1

        found = self.facts.wire(name, leaf, whole, shift)
        return [known[int(number)] for number in found.ravel()]

    def _atoms(self, base: str, features: Sequence[int]) -> list[Row]:
        """Elements of a value that is no sum of this stage, by number; constants as such."""
        size = int(np.prod(features))
        made = self.facts.producers.get(base)
        if made is not None and isinstance(made.op, Constant) and made.op.raw.size == size:
            return [({}, int(value)) for value in made.op.raw.ravel()]
        if base not in self.places:
            self.places[base] = sum(self._size(name) for name in self.places)
        start = self.places[base]
        return [({start + i: 1}, 0) for i in range(size)]

    def _size(self, base: str) -> int:
        whole = self.facts.is_vector(self.cluster.nodes[0].output)
        shape = self.facts.graph.values[base].shape if whole else self.facts.features(base)
        return int(np.prod(shape))

    def _matrix(self, rows: Sequence[Row]) -> tuple[IntArray, IntArray]:
        """Rows over all elements numbered so far, and their constants."""
        width = sum(self._size(name) for name in self.places)
        matrix = np.zeros((len(rows), width), object)
        for line, (weights, _) in enumerate(rows):
            for place, weight in weights.items():
                matrix[line, place] = weight
        most = max((abs(int(w)) for w in matrix.ravel()), default=0)
        return matrix.astype(np.int64) if most < 1 << 62 else matrix, np.array(
            [bias for _, bias in rows], object
        )

    def _chain_sums(self, lane: Lane, name: str, leaf: Callable[[str], Nodes]) -> list[Terms]:
        matrix = self.chained[name]
        used = [base for base in self.places if self._columns(base, matrix).any()]
        nodes = np.concatenate([leaf(base).reshape(-1) for base in used])
        weight = np.concatenate([self._columns(base, matrix) for base in used], 1)
        sums = matrix_terms(lane, weight, nodes)
        return [
            [(lane.net.const(bias), 0, False), *terms]
            for (_, bias), terms in zip(self.rows[name], sums, strict=True)
        ]

    def _columns(self, base: str, matrix: IntArray) -> IntArray:
        start = self.places[base]
        return matrix[:, start : start + self._size(base)]


def _weighted(rows: Sequence[Row], weights: Sequence[int], constant: int) -> Row:
    """A sum of sums."""
    total: dict[int, int] = {}
    for (parts, bias), weight in zip(rows, weights, strict=True):
        if weight:
            constant += weight * bias
            for place, inner in parts.items():
                total[place] = total.get(place, 0) + weight * inner
    return {place: weight for place, weight in total.items() if weight}, constant
