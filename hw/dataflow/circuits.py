"""The arithmetic inside of stages: netlists of clusters, dot products and sums.

Owns how each stage's circuits are built. Imports facts, lanes, netlists and the stage records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gateformer.hw.dataflow import cut_sums
from gateformer.hw.dataflow.classify import Facts
from gateformer.hw.dataflow.clusters import Cluster
from gateformer.hw.dataflow.joint import Joint
from gateformer.hw.dataflow.lanes import Lane, Nodes, Terms, dense_terms, fold, lower, product
from gateformer.hw.dataflow.shifts import shifted_terms
from gateformer.hw.dataflow.stages import Circuit, MacParts, Rom
from gateformer.hw.netlist import costs
from gateformer.hw.netlist.net import Net
from gateformer.quant.graph import Node
from gateformer.quant.ops.base import Value
from gateformer.quant.ops.cast import Constant
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.ops.log_matmul import LogMatMul
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import IntArray

REGISTERED = (cut_sums,)
"""Modules imported for the lane lowerings that they register."""

ROM_DELAY = 0.7
"""ns from a beat counter through a small ROM of LUTs to an operand."""


def circuit_of_cluster(
    facts: Facts, cluster: Cluster, exported: Sequence[str], late: Mapping[str, float]
) -> tuple[Circuit, list[Rom], list[str], bool]:
    """Build a cluster's netlist for one token (or one vector).

    Returns
    -------
    (circuit, roms, bases, whole)
        ``bases`` are the streams it reads; ``whole`` says that it reads all tokens at once.
    """
    settings = facts.settings
    net = Net(settings.logic_ns, settings.ternary)
    lane = Lane(net, settings)
    first = cluster.nodes[0].output
    whole = facts.is_vector(first)
    made: dict[str, Nodes] = {}
    roms: dict[str, Rom] = {}
    bases: dict[str, None] = {}

    def leaf(name: str) -> Nodes:
        if name in made:
            return made[name]
        if facts.kinds.get(name) == "constant":
            made[name] = _constant(facts, net, name, whole, first, roms)
            return made[name]
        bases[name] = None
        lo, hi = facts.graph.values[name].bounds if whole else facts.element_bounds(name)
        made[name] = ports(net, name, lo, hi, late.get(name, 0.0))
        return made[name]

    sums: dict[str, list[Terms]] = {}
    joint = Joint(facts, cluster, exported)

    def wired(name: str) -> Nodes:
        return facts.wire(name, leaf, whole, net.shifted)

    for node in cluster.nodes:
        if node.output in joint.skipped:
            continue
        result = facts.graph.values[node.output]
        together = joint.sums(lane, node, leaf, wired)
        if together is not None:
            if isinstance(node.op, Dense) and _meets_add(facts, cluster, node):
                sums[node.output] = together
            else:
                totals = [net.total(terms, result.name) for terms in together]
                made[node.output] = np.array(totals, np.int64).reshape(facts.features(node.output))
            continue
        operands = [wired(n) for n in node.inputs if n not in sums]
        values = [facts.graph.values[n] for n in node.inputs]
        if isinstance(node.op, Dense) and _meets_add(facts, cluster, node):
            sums[node.output] = dense_terms(lane, node.op, values[0], operands[0])
        elif any(n in sums for n in node.inputs):
            made[node.output] = _joined(net, node, values, result, operands, sums)
        else:
            made[node.output] = lower(lane, node.op, values, result, operands)
    outputs = {n: made[n] for n in exported}
    circuit = Circuit.of(net, outputs, facts.graph.outputs)
    return circuit, list(roms.values()), list(bases), whole


def _meets_add(facts: Facts, cluster: Cluster, node: Node) -> bool:
    """Whether a Dense's only reader is an Add of the same stage: then both are one sum."""
    readers = facts.consumers[node.output]
    if len(readers) != 1 or node.output in facts.graph.outputs:
        return False
    reader = readers[0]
    shapes = {facts.graph.values[n].shape for n in reader.inputs}
    return (
        isinstance(reader.op, Add)
        and len(shapes) == 1
        and len(set(reader.inputs)) == 2
        and reader in cluster.nodes
    )


def _joined(
    net: Net, node: Node, values: list[Value], result: Value, operands: list[Nodes],
    sums: dict[str, list[Terms]],
) -> Nodes:  # fmt: skip
    """An Add whose operands may be sums that are not built yet, as one sum."""
    op = node.op
    assert isinstance(op, Add)
    rest = iter(operands)
    size = int(np.prod(result.shape[1:])) if len(result.shape) > 1 else result.shape[0]
    every: list[Terms] = [[] for _ in range(size)]
    for side, value in zip(node.inputs, values, strict=True):
        by = result.fixed.frac - value.fixed.frac
        minus = op.subtract and side == node.inputs[1]
        if side in sums:
            parts = sums[side]
        else:
            parts = [[(int(n), 0, False)] for n in next(rest).reshape(-1)]
        for terms, more in zip(every, parts, strict=True):
            terms += [(n, s + by, negate ^ minus) for n, s, negate in more]
    totals = [net.total(terms, result.name) for terms in every]
    shape = result.shape[1:] if len(result.shape) > 1 else result.shape
    return np.array(totals, np.int64).reshape(shape)


def ports(net: Net, name: str, lo: IntArray, hi: IntArray, late: float = 0.0) -> Nodes:
    """Inputs of a netlist for an array of ranges; elements that never change are constants."""
    nodes = np.empty(lo.shape, np.int64)
    for count, index in enumerate(np.ndindex(lo.shape)):
        low, high = int(lo[index]), int(hi[index])
        nodes[index] = net.const(low) if low == high else net.input(name, count, low, high, late)
    return nodes


def _constant(
    facts: Facts, net: Net, name: str, whole: bool, beside: str, roms: dict[str, Rom]
) -> Nodes:
    op = facts.producers[name].op
    assert isinstance(op, Constant)
    if whole:
        return ports(net, name, op.raw, op.raw)
    fold = facts.folds.get(beside, 1)
    per_key = fold > 1 and op.raw.shape[-1] > 1
    if op.raw.shape[0] == 1 and not per_key:
        return ports(net, name, op.raw[0], op.raw[0])
    lanes, beats = facts.lanes(beside), facts.beats(beside)
    tokens = np.zeros((beats * lanes, *op.raw.shape[1:]), np.int64)
    count = facts.tokens(beside)
    tokens[:count] = np.broadcast_to(op.raw, (count, *op.raw.shape[1:]))
    if per_key:
        group = facts.group(beside)
        padded = np.zeros((*tokens.shape[:-1], group * fold), np.int64)
        padded[..., : tokens.shape[-1]] = tokens
        split = padded.reshape(beats, lanes, *tokens.shape[1:-1], fold, group)
        entries = np.moveaxis(split, -2, 1).reshape(beats * fold, lanes, -1)
        shape = (*tokens.shape[1:-1], group)
    else:
        entries = np.repeat(tokens.reshape(beats, lanes, -1), fold, axis=0)
        shape = tokens.shape[1:]
    roms[name] = Rom(name, entries)
    flat = entries.reshape(-1, entries.shape[-1])
    return ports(net, name, flat.min(0).reshape(shape), flat.max(0).reshape(shape), ROM_DELAY)


def dot_circuits(
    facts: Facts, node: Node, group: int, chain: Sequence[Node], late: tuple[float, float]
) -> tuple[list[Circuit], Nodes]:
    """Netlists of a MatMul's distinct dot products, and which element (head, column) uses which.

    Products with equal operand ranges share a circuit. Key slots beyond the tensor hold zeros,
    so ranges of a folded key axis include zero.
    """
    op = node.op
    assert isinstance(op, MatMul)
    (alo, ahi), (blo, bhi) = (facts.element_bounds(n) for n in node.inputs)
    heads, width = facts.graph.values[node.output].shape[1:]
    circuits: list[Circuit] = []
    known: dict[tuple[object, ...], int] = {}
    columns = group if op.contract == "features" else width
    pick = np.zeros((heads, columns), np.int64)
    for h, j in np.ndindex(pick.shape):
        other = h % len(blo)
        if op.contract == "features":
            sides = [alo[h], ahi[h], blo[other], bhi[other]]
        else:
            low, high = int(blo[other, j]), int(bhi[other, j])
            if facts.folds.get(node.inputs[0], 1) > 1:
                low, high = min(low, 0), max(high, 0)
            sides = [alo[h], ahi[h], np.full(group, low), np.full(group, high)]
        key = tuple(tuple(int(v) for v in side) for side in sides)
        if key not in known:
            known[key] = len(circuits)
            circuits.append(_dot(facts, node, sides, chain, late))
        pick[h, j] = known[key]
    return circuits, pick


def _dot(
    facts: Facts, node: Node, sides: list[IntArray], chain: Sequence[Node],
    late: tuple[float, float],
) -> Circuit:  # fmt: skip
    net = Net(facts.settings.logic_ns, facts.settings.ternary)
    left = ports(net, "a", sides[0], sides[1], late[0])
    right = ports(net, "b", sides[2], sides[3], late[1])
    pairs = [(int(x), int(y)) for x, y in zip(left, right, strict=True)]
    if isinstance(node.op, LogMatMul):
        terms = shifted_terms(net, node.op, pairs, node.output)
    else:
        terms = [(product(net, x, y, node.output), 0, False) for x, y in pairs]
    for reader in chain:
        # The one constant that joins every sum: half a step of the Cast behind.
        constant = facts.producers[reader.inputs[1]].op
        assert isinstance(constant, Constant)
        shift = facts.graph.values[node.output].fixed.frac - constant.frac
        terms.append((net.const(int(constant.raw.ravel()[0]) << shift), 0, False))
    total = net.total(terms, node.output)
    return Circuit.of(net, {"y": np.array([total], np.int64)})


def _gathers(facts: Facts, node: Node) -> bool:
    """Whether a Dense accumulates over the beats of a flattened token stream."""
    source = node.inputs[0]
    return facts.is_vector(source) and any(
        not facts.is_vector(b) and facts.beats(b) > 1 for b in facts.bases(source)
    )


def mac_reuse(facts: Facts, node: Node) -> int:
    """Clocks that a beat keeps a folded Dense busy."""
    return _folding(facts, node)[1]


def _folding(facts: Facts, node: Node) -> tuple[int, int]:
    """``(features a clock, clocks a beat)`` of a folded Dense."""
    source, flat = node.inputs[0], _gathers(facts, node)
    if flat:
        source = _before_flatten(facts, source)
    elements = int(np.prod(facts.features(source))) * (facts.lanes(source) if flat else 1)
    reuse = min(facts.settings.reuse(facts.graph.values[node.output].layer), elements)
    chunk = -(-elements // reuse)
    return chunk, -(-elements // chunk)


def mac_source(facts: Facts, node: Node) -> str:
    """The value whose beats a folded Dense takes."""
    source = node.inputs[0]
    return _before_flatten(facts, source) if _gathers(facts, node) else source


def mac_parts(facts: Facts, node: Node, chain: Sequence[Node], late: float) -> MacParts:
    """Fold a Dense over its reuse factor, and over beats where tokens are flattened into it."""
    op = node.op
    assert isinstance(op, Dense)
    settings = facts.settings
    source, flat = node.inputs[0], _gathers(facts, node)
    weight, bias = op.aligned(facts.graph.values[source].fixed)
    if flat:
        source = _before_flatten(facts, source)
    chunk, reuse = _folding(facts, node)
    beats, lanes, tokens = (
        (facts.beats(source), facts.lanes(source), facts.tokens(source)) if flat else (1, 1, 1)
    )
    outputs, each_token = weight.shape[0], weight.shape[1] // tokens
    padded = np.zeros((outputs, beats * lanes, each_token), weight.dtype)
    padded[:, :tokens] = weight.reshape(outputs, tokens, each_token)
    folded = np.zeros((outputs, beats, reuse * chunk), weight.dtype)
    folded[:, :, : lanes * each_token] = padded.reshape(outputs, beats, lanes * each_token)
    by_clock = np.moveaxis(folded.reshape(outputs, beats, reuse, chunk), 0, 2)
    weights = by_clock.reshape(beats * reuse, outputs, chunk)
    lo, hi = facts.element_bounds(source)
    low, high = min(int(lo.min()), 0), max(int(hi.max()), 0)
    span = (min(int(weights.min()), 0), max(int(weights.max()), 0))
    net = Net(settings.logic_ns, settings.ternary)
    products = [
        product(
            net,
            net.input("x", c, low, high, late if reuse == 1 else 0.0),
            net.input("w", c, *span),
            node.output,
        )
        for c in range(chunk)
    ]
    total = net.total([(n, 0, False) for n in products], node.output)
    dot = Circuit.of(net, {"y": np.array([total], np.int64)})
    post = None
    if chain:
        net = Net(settings.logic_ns, settings.ternary)
        lows, highs = facts.graph.values[node.output].bounds
        if not facts.is_vector(node.output):
            lows, highs = lows.min(0), highs.max(0)
        out = ports(net, "x", lows.reshape(-1), highs.reshape(-1))
        for reader in chain:
            values = [facts.graph.values[n] for n in reader.inputs]
            result = facts.graph.values[reader.output]
            out = lower(Lane(net, settings), reader.op, values, result, [out])
        post = Circuit.of(net, {"y": out})
    return MacParts(source, chunk, reuse, beats, weights, bias, dot, post)


def _before_flatten(facts: Facts, name: str) -> str:
    """The token stream that a chain of wires flattens."""
    node = facts.producers[name]
    if isinstance(node.op, Reshape) and not facts.is_vector(node.inputs[0]):
        return node.inputs[0]
    return _before_flatten(facts, node.inputs[0])


def accumulate_circuit(facts: Facts, node: Node) -> Circuit | None:
    """What is done before the accumulator: a tree over the lanes or over a key group."""
    op = node.op
    assert isinstance(op, Reduce)
    source = node.inputs[0]
    lo, hi = facts.element_bounds(source)
    neutral = op.kind == "sum"
    net = Net(facts.settings.logic_ns, facts.settings.ternary)
    if op.axis == "tokens":
        lanes = facts.lanes(source)
        if lanes == 1:
            return None
        flat_lo, flat_hi = lo.reshape(-1), hi.reshape(-1)
        if neutral:
            flat_lo, flat_hi = np.minimum(flat_lo, 0), np.maximum(flat_hi, 0)
        ports = [
            [net.input("x", lane * flat_lo.size + f, int(flat_lo[f]), int(flat_hi[f]))
             for lane in range(lanes)]
            for f in range(flat_lo.size)
        ]  # fmt: skip
        out = np.array([fold(net, op.kind, p, node.output) for p in ports], np.int64)
        return Circuit.of(net, {"y": out})
    group = lo.shape[-1]
    if group == 1:
        return None
    rows_lo, rows_hi = lo.reshape(-1, group), hi.reshape(-1, group)
    if neutral:
        rows_lo, rows_hi = np.minimum(rows_lo, 0), np.maximum(rows_hi, 0)
    out = np.empty(len(rows_lo), np.int64)
    for row in range(len(rows_lo)):
        ports_row = [
            net.input("x", row * group + g, int(rows_lo[row, g]), int(rows_hi[row, g]), costs.MUX)
            for g in range(group)
        ]
        out[row] = fold(net, op.kind, ports_row, node.output)
    return Circuit.of(net, {"y": out})
