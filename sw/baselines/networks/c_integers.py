"""The integers of a lowered graph as plain C: bit for bit those of the executor and the hardware.

Owns ``source``. Imports primitives, the C of frames and of integers. Sums and products wrap
(-fwrapv): what is proven to fit in its result is right there, whatever its partial sums were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.networks.c_code import (
    Buffer,
    Code,
    Index,
    address,
    arranged,
    flat,
    padded,
    split,
    unflat,
    within,
)
from gateformer.baselines.networks.c_words import (
    BITS,
    PRELUDE,
    load,
    modulo,
    signed_bits,
    store,
    vector,
    whole,
    word,
)
from gateformer.quant.errors import BaselineError
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.base import Op, Value
from gateformer.quant.ops.cast import Cast, Constant, Rescale, round_shift
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Reshape, Slice, Transpose
from gateformer.quant.ops.log_matmul import LogMatMul
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.ops.shift_add import ShiftAdd
from gateformer.quant.types import Fixed, Overflow, Rounding


def source(graph: Graph) -> tuple[str, bytes]:
    """Return the C of a lowered graph, and its weights.

    Parameters
    ----------
    graph : Graph
        Primitives, every value typed.

    Returns
    -------
    (str, bytes)
        ``run`` takes pointers to the raw inputs (frames, *shape) in the graph's order and to the
        raw outputs, int64 all.

    Raises
    ------
    BaselineError
        E851 for integers of more than 128 bits, or inputs and outputs of more than 64.
    """
    values = graph.values
    for name in (*graph.inputs, *graph.outputs):
        if signed_bits(values[name].fixed) > BITS["int64_t"]:
            cause = f"'{name}' has {values[name].fixed.width} bits"
            raise BaselineError("E851", "runtime failed", layer="plain-c", cause=cause)
    shapes = [[values[name].shape for name in names] for names in (graph.inputs, graph.outputs)]
    code = Code("int64_t", *shapes)
    says = _Integers(code, graph)
    for place, name in enumerate(graph.inputs):
        says.held[name] = code.read(place, says.made(name))
    for node in graph.nodes:
        SAYS[type(node.op)](says, node, node.op)
    for place, name in enumerate(graph.outputs):
        code.write(place, values[name].shape, says.held[name].at)
    return code.text(PRELUDE), bytes(code.blob)


class _Integers:
    """What is in memory so far, and how one node after the other is said."""

    def __init__(self, code: Code, graph: Graph) -> None:
        self.code, self.graph = code, graph
        self.held: dict[str, Buffer] = {}

    def value(self, name: str) -> Value:
        return self.graph.values[name]

    def kind(self, name: str) -> str:
        return word(signed_bits(self.value(name).fixed))

    def made(self, name: str) -> Buffer:
        return self.code.buffer(self.value(name).shape, self.kind(name))

    def operand(self, name: str, index: Index, kind: str, lift: int = 0) -> str:
        """Return an element in a type, times a power of two; axes of size 1 are repeated."""
        buffer = self.held[name]
        one = f"({kind}){buffer.at(within(buffer.shape, index))}"
        if lift == 0:
            return one
        return f"({one} << {lift})" if lift < BITS[kind] else f"({kind})0"

    def each(self, node: Node, element: Callable[[Index, str], str]) -> None:
        """Fill a node's result element by element."""
        made = self.made(node.output)
        self.held[node.output] = self.code.compute(made, lambda index: element(index, made.kind))

    def weights(self, array: NDArray[Any], kind: str) -> str:
        """Return a pointer to constants, modulo the type."""
        return self.code.weight(modulo(array, kind), kind)

    def fitted(self, raw: str, kind: str, to: Fixed, overflow: Overflow, span: range) -> str:
        """Return integers brought into a type's range; ``span``: what is proven of them."""
        low, high = to.limits(overflow)
        if low <= span.start and span.stop <= high:
            return raw
        if overflow is Overflow.WRAP:
            if not to.signed:
                return f"({raw} & {whole(to.max, kind)})"
            away = BITS[kind] - to.width
            return f"(({kind})({raw} << {away}) >> {away})"
        held = f"({raw} < {whole(low, kind)} ? {whole(low, kind)} : {raw})"
        return f"({held} > {whole(high, kind)} ? {whole(high, kind)} : {held})"


Says = Callable[[_Integers, Node, Any], None]
SAYS: dict[type[Op], Says] = {}
"""Primitive -> how it is said in C."""


def says(kind: type[Op]) -> Callable[[Says], Says]:
    """Register how a primitive is said."""

    def register(body: Says) -> Says:
        SAYS[kind] = body
        return body

    return register


@says(Constant)
def _constant(to: _Integers, node: Node, op: Constant) -> None:
    kind = to.kind(node.output)
    pointer = to.code.weight(arranged(modulo(op.raw, kind)), kind)
    to.held[node.output] = Buffer(pointer, op.raw.shape, kind)


@says(Rescale)
def _rescale(to: _Integers, node: Node, op: Rescale) -> None:
    to.held[node.output] = to.held[node.inputs[0]]


@says(Dense)
def _dense(to: _Integers, node: Node, op: Dense) -> None:
    x, made, code = to.held[node.inputs[0]], to.made(node.output), to.code
    weight, bias = op.aligned(to.value(node.inputs[0]).fixed)
    w, b = to.weights(weight, made.kind), to.weights(bias, made.kind)
    outputs, inputs = weight.shape
    tokens = padded(split(x.shape)[0])
    lanes, kind = vector(tokens, x.kind, made.kind)
    with code.loop("o", outputs), code.loop("j", tokens, lanes):
        code.say(f"{kind} a = {b}[o] - ({kind}){{0}};")
        with code.loop("i", inputs, unroll=8):
            one = load(x, f"i * {tokens} + j", made.kind, lanes)
            code.say(f"a += {w}[o * {inputs} + i] * {one};")
        code.say(store(made, f"o * {tokens} + j", "a", lanes))
    to.held[node.output] = made


@says(MatMul)
def _matmul(to: _Integers, node: Node, op: MatMul) -> None:
    a, b = (to.held[name] for name in node.inputs)
    made, code = to.made(node.output), to.code
    (rows, heads, size), (keys, shared, _) = a.shape, b.shape
    tokens, room = padded(rows), padded(keys)
    lanes, kind = vector(tokens, a.kind, made.kind)
    held = made.shape[2]
    head = "0" if shared == 1 else "h"
    with code.loop("h", heads), code.loop("o", held), code.loop("j", tokens, lanes):
        code.say(f"{kind} a = {{0}};")
        with code.loop("k", size, unroll=8):
            if op.contract == "features":
                other = f"({head} * {size} + k) * {room} + o"
            else:
                other = f"({head} * {held} + o) * {room} + k"
            left = load(a, f"(h * {size} + k) * {tokens} + j", made.kind, lanes)
            code.say(f"a += {left} * ({made.kind}){b.name}[{other}];")
        code.say(store(made, f"(h * {held} + o) * {tokens} + j", "a", lanes))
    to.held[node.output] = made


@says(LogMatMul)
def _log_matmul(to: _Integers, node: Node, op: LogMatMul) -> None:
    a, b = (to.held[name] for name in node.inputs)
    made, code = to.made(node.output), to.code
    (rows, heads, size), (keys, shared, _) = a.shape, b.shape
    tokens, room, held = padded(rows), padded(keys), made.shape[2]
    head = "0" if shared == 1 else "h"
    odd, even = whole(1 << op.guard, made.kind), whole(op.even, made.kind)
    with code.loop("h", heads), code.loop("o", held), code.loop("j", tokens):
        code.say(f"{made.kind} a = 0;")
        with code.loop("k", size):
            code.say(f"int c = (int){a.name}[(h * {size} + k) * {tokens} + j];")
            code.say(f"{made.kind} w = c < 0 ? 0 : (c & 1 ? {odd} : {even}) << (c >> 1);")
            code.say(f"a += w * ({made.kind}){b.name}[({head} * {held} + o) * {room} + k];")
        code.say(store(made, f"(h * {held} + o) * {tokens} + j", "a", 1))
    to.held[node.output] = made


@says(ShiftAdd)
def _shift_add(to: _Integers, node: Node, op: ShiftAdd) -> None:
    """Straight-line code on each token: what is cut is cut in each step."""
    x, made, code = to.held[node.inputs[0]], to.made(node.output), to.code
    kind = word(op.widest(to.value(node.inputs[0]).fixed))
    tokens = padded(split(x.shape)[0])

    def moved(term: int, left: int) -> str:
        return f"(t[{term}] << {left})" if left >= 0 else f"(t[{term}] >> {-left})"

    with code.loop("j", tokens):
        code.say(f"{kind} t[{op.inputs + len(op.steps)}];")
        for i in range(op.inputs):
            code.say(f"t[{i}] = {load(x, f'{i} * {tokens} + j', kind, 1)};")
        for number, (a, b, left_a, left_b, minus) in enumerate(op.steps.tolist(), op.inputs):
            sign = "-" if minus else "+"
            code.say(f"t[{number}] = {moved(a, left_a)} {sign} {moved(b, left_b)};")
        for o, (term, left, negate) in enumerate(op.outputs.tolist()):
            one = moved(term, left) if term >= 0 else "0"
            y = f"{'-' if negate else ''}{one} + {whole(int(op.bias[o]), kind)}"
            code.say(store(made, f"{o} * {tokens} + j", y, 1))
    to.held[node.output] = made


@says(Add)
def _add(to: _Integers, node: Node, op: Add) -> None:
    fracs = [to.value(name).fixed.frac for name in node.inputs]
    lifts = [max(fracs) - frac for frac in fracs]
    sign = "-" if op.subtract else "+"

    def element(index: Index, kind: str) -> str:
        parts = (
            to.operand(name, index, kind, lift)
            for name, lift in zip(node.inputs, lifts, strict=True)
        )
        return f" {sign} ".join(parts)

    to.each(node, element)


@says(Mul)
def _mul(to: _Integers, node: Node, op: Mul) -> None:
    to.each(
        node,
        lambda index, kind: " * ".join(to.operand(name, index, kind) for name in node.inputs),
    )


@says(Reduce)
def _reduce(to: _Integers, node: Node, op: Reduce) -> None:
    x, made, code = to.held[node.inputs[0]], to.made(node.output), to.code
    features = op.axis == "features"
    with code.over(made.shape) as index:
        places = [(*index[:-1], one) if features else (one, *index) for one in ("0", "k")]
        first, one = (f"({made.kind}){x.at(place)}" for place in places)
        code.say(f"{made.kind} a = {first if op.kind == 'max' else 0};")
        with code.loop("k", x.shape[-1] if features else x.shape[0]):
            code.say(f"a += {one};" if op.kind == "sum" else f"a = {one} > a ? {one} : a;")
        code.say(f"{made.at(index)} = a;")
    to.held[node.output] = made


@says(Lookup)
def _lookup(to: _Integers, node: Node, op: Lookup) -> None:
    entries = op.table.shape[0]
    table = to.weights(op.table, to.kind(node.output))

    def element(index: Index, kind: str) -> str:
        if op.table.ndim == 1:
            return f"{table}[{to.operand(node.inputs[0], index, 'int32_t')} & {entries - 1}]"
        row = to.operand(node.inputs[0], (*index[:-1], "0"), "int32_t")
        return f"{table}[({row} & {entries - 1}) * {op.table.shape[1]} + {index[-1]}]"

    to.each(node, element)


@says(Cast)
def _cast(to: _Integers, node: Node, op: Cast) -> None:
    value = to.value(node.inputs[0])
    drop = value.fixed.frac - op.type.frac
    bits = max(signed_bits(value.fixed), drop) + 2 if drop > 0 else signed_bits(value.fixed) - drop
    work = word(max(bits, signed_bits(op.type) + 1))
    ends = (int(bound.min() if low else bound.max()) for low, bound in _ends(value))
    span = range(*(_rounded(end, drop, op.rounding) for end in ends))

    def element(index: Index, kind: str) -> str:
        x = to.operand(node.inputs[0], index, work)
        if drop <= 0:
            raw = f"({x} << {-drop})"
        elif op.rounding is Rounding.TRN:
            raw = f"({x} >> {drop})"
        else:
            half = (1 << (drop - 1)) - (op.rounding is Rounding.RND_CONV)
            odd = f" + (({x} >> {drop}) & 1)" if op.rounding is Rounding.RND_CONV else ""
            raw = f"(({x} + {whole(half, work)}{odd}) >> {drop})"
        return to.fitted(raw, work, op.type, op.overflow, span)

    to.each(node, element)


@says(Normalize)
def _normalize(to: _Integers, node: Node, op: Normalize) -> None:
    width = to.value(node.inputs[0]).fixed.width

    def element(index: Index, kind: str) -> str:
        x = to.operand(node.inputs[0], index, to.kind(node.inputs[0]))
        # The lowest bit set, zero counts as one, and no other number's leading one moves.
        if width <= BITS["int64_t"]:
            top = f"(63 - __builtin_clzll((uint64_t){x} | 1))"
        else:
            upper = f"(uint64_t)({x} >> 64)"
            top = f"({upper} ? 127 - __builtin_clzll({upper} | ({upper} == 0)) "
            top += f": 63 - __builtin_clzll((uint64_t){x} | 1))"
        amount = f"({width - 1} - {top})"
        return f"({amount} & ~1)" if op.even else amount

    to.each(node, element)


@says(Shift)
def _shift(to: _Integers, node: Node, op: Shift) -> None:
    x, amount = (to.value(name) for name in node.inputs)
    drop = x.fixed.frac - op.type.frac
    least, largest = int(amount.bounds[0].min()), int(amount.bounds[1].max())
    right, left = max(drop - least, 0), max(largest - drop, 0)
    bits = max(signed_bits(x.fixed) + left, right) + 2
    work = word(max(bits, signed_bits(op.type) + 1))

    def element(index: Index, kind: str) -> str:
        value = to.operand(node.inputs[0], index, work)
        by = f"({drop} - {to.operand(node.inputs[1], index, 'int32_t')})"
        down, up = (f"({one} > 0 ? {one} : 0)" for one in (by, f"-{by}"))
        if op.rounding is not Rounding.TRN:
            half = f"((({work})1 << {down}) >> 1)"
            if op.rounding is Rounding.RND_CONV:
                half += f" - ({by} > 0 ? 1 - (({value} >> {down}) & 1) : 0)"
            value = f"({value} + {half})"
        moved = f"(({value} >> {down}) << {up})"
        # Whatever it is shifted by, it may leave the range.
        span = range(-(1 << bits), 1 << bits)
        return to.fitted(moved, work, op.type, op.overflow, span)

    to.each(node, element)


@says(Reshape)
def _reshape(to: _Integers, node: Node, op: Reshape) -> None:
    x = to.held[node.inputs[0]]
    if split(op.to)[0] == split(x.shape)[0]:
        # Tokens stay: features of any shape lie as they did.
        to.held[node.output] = Buffer(x.name, op.to, x.kind)
        return
    made = to.made(node.output)
    with to.code.over(x.shape, lanes=False) as index:
        place = address(made.shape, unflat(made.shape, flat(x.shape, index)))
        to.code.say(f"{made.name}[{place}] = {x.at(index)};")
    to.held[node.output] = made


@says(Transpose)
def _transpose(to: _Integers, node: Node, op: Transpose) -> None:
    x, axes = to.held[node.inputs[0]], range(len(op.order))
    to.each(node, lambda index, kind: x.at(tuple(index[op.order.index(axis)] for axis in axes)))


@says(Slice)
def _slice(to: _Integers, node: Node, op: Slice) -> None:
    x = to.held[node.inputs[0]]
    to.each(node, lambda index, kind: x.at((*index[:-1], f"({index[-1]} + {op.start})")))


@says(Concat)
def _concat(to: _Integers, node: Node, op: Concat) -> None:
    made, first = to.made(node.output), 0
    frac = to.value(node.output).fixed.frac
    for name in node.inputs:
        value = to.value(name)
        with to.code.over(value.shape) as index:
            place = made.at((*index[:-1], f"({index[-1]} + {first})"))
            one = to.operand(name, index, made.kind, frac - value.fixed.frac)
            to.code.say(f"{place} = {one};")
        first += value.shape[-1]
    to.held[node.output] = made


def _ends(value: Value) -> tuple[tuple[bool, Any], tuple[bool, Any]]:
    return (True, value.bounds[0]), (False, value.bounds[1])


def _rounded(raw: int, drop: int, rounding: Rounding) -> int:
    return int(round_shift(np.array([raw], object), drop, rounding)[0])
