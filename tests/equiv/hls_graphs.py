"""Graphs of what frontends seldom make: every statement of the HLS in its odd forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.cast import Cast, Constant, Rescale
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Reshape, Slice, Transpose
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed, IntArray, Overflow, Rounding


class Drawing:
    """A builder whose values are called ``<layer>`` or ``<layer>/<point>``."""

    def __init__(self, name: str) -> None:
        self.builder = Builder(name)

    def input(self, name: str, kind: str, *shape: int) -> str:
        """An input of a type."""
        return self.builder.input(name, shape, Fixed.parse(kind))

    def add(self, op: Op, *inputs: str, name: str) -> str:
        """A value."""
        return self.builder.add(op, *inputs, name=name, layer=name.partition("/")[0])

    def graph(self, *outputs: str) -> Graph:
        """The graph with its outputs."""
        for name in outputs:
            self.builder.output(name)
        return self.builder.build()


def numbers(*shape: int, top: int = 20) -> IntArray:
    """Seeded integers."""
    return np.random.default_rng(sum(shape)).integers(-top, top, shape)


def moved() -> Graph:
    """Elements that go from token to token; a constant for each token; several outputs."""
    to = Drawing("moved")
    x = to.input("x", "fixed<9,5>", 4, 6)
    r = to.add(Reshape((4, 3, 2)), x, name="a")
    turned = to.add(Transpose((1, 0, 2)), r, name="a/turned")
    again = to.add(Transpose((2, 1, 0)), turned, name="a/again")
    wide = to.add(Reshape((6, 4)), again, name="wide")
    more = to.add(Reshape((2, 12)), wide, name="wide/more")
    places = to.add(Constant(numbers(2, 12), 3), name="places/raw")
    placed = to.add(Add(), more, places, name="places")
    less = to.add(Add(subtract=True), places, placed, name="places/less")
    most = to.add(Reduce("max", "tokens"), turned, name="most")
    return to.graph(placed, less, most)


def broadcast() -> Graph:
    """Operands of four axes that are repeated along every kind of them; names of C++."""
    to = Drawing("double")
    x = to.input("x", "fixed<6,4>", 3, 2, 3, 2)
    y = to.input("float", "ufixed<5,7>", 3, 2, 1, 2)
    z = to.input("z", "fixed<7,-2>", 1, 1, 3, 1)
    w = to.input("w", "fixed<1,1>", 3, 1, 3, 2)
    p = to.add(Mul(), x, y, name="class")
    q = to.add(Add(), p, z, name="class/tokens")
    r = to.add(Mul(), w, q, name="r")
    e = to.add(Cast(Fixed(True, 7, 1), Rounding.RND_CONV, Overflow.SAT_SYM), r, name="r/e")
    k = to.add(Transpose((0, 3, 1, 2)), e, name="k")
    return to.graph(k, e, q)


def wide() -> Graph:
    """Numbers of 120 bits, every rounding, a negative number of fraction bits."""
    to = Drawing("wide")
    m = to.input("x", "fixed<30,18>", 3, 2)
    for name in ("m", "m/again"):
        m = to.add(Mul(), m, m, name=name)
    s = to.add(Reduce("sum", "features"), m, name="s")
    zeros = to.add(Normalize(), s, name="s/zeros")
    even = to.add(Normalize(even=True), s, name="s/even")
    up = to.add(Shift(Fixed(False, 20, 3), Rounding.RND, Overflow.SAT), s, zeros, name="s/up")
    each = Shift(Fixed(True, 20, 3), Rounding.RND_CONV, Overflow.WRAP)
    shifted = to.add(each, m, even, name="shifted")
    c = to.add(Cast(Fixed(False, 12, -30), Rounding.RND, Overflow.SAT), s, name="c")
    far = to.add(Rescale(-40), c, name="c/far")
    found = to.add(Lookup(numbers(4096, top=100), 3), c, name="found")
    return to.graph(up, shifted, far, found)


def entangled() -> Graph:
    """Two layers that wait for each other, hence four functions; one value with six readers."""
    to = Drawing("entangled")
    x = to.input("x", "fixed<6,4>", 3, 2)
    a = to.add(Add(), x, x, name="a")
    b = to.add(Mul(), a, x, name="b")
    a2 = to.add(Add(), b, a, name="a/second")
    b2 = to.add(Add(), a2, a, name="b/second")
    readers = [to.add(Add(), x, b2, name=f"r{number}") for number in range(5)]
    return to.graph(*readers, b2)


def bypassed() -> Graph:
    """A layer of three levels in which values wait for a level that does not need them."""
    to = Drawing("bypassed")
    x = to.input("x", "fixed<6,4>", 4, 3)
    h = to.add(Reshape((4, 1, 3)), x, name="l/h")
    s = to.add(MatMul("features"), h, h, name="l/s")
    t = to.add(MatMul("tokens"), s, h, name="l/t")
    u = to.add(MatMul("features"), h, t, name="l/u")
    v = to.add(MatMul("tokens"), u, t, name="l/v")
    w = to.add(Add(), v, h, name="l/w")
    most = to.add(Reduce("max", "tokens"), x, name="l/most")
    spread = to.add(Reshape((1, 1, 3)), most, name="l/spread")
    z = to.add(Add(), w, spread, name="l/z")
    keys = to.add(Constant(numbers(7, 1, 3, top=5), 1), name="l/keys")
    return to.graph(z, t, most, to.add(MatMul("features"), z, keys, name="l"))


def carried() -> Graph:
    """A frame that is read whole two levels on."""
    to = Drawing("carried")
    x = to.input("x", "fixed<6,4>", 4, 3)
    h = to.add(Reshape((4, 1, 3)), x, name="l/h")
    s = to.add(MatMul("features"), h, h, name="l/s")
    t = to.add(MatMul("tokens"), s, h, name="l/t")
    u = to.add(MatMul("features"), h, t, name="l/u")
    return to.graph(to.add(MatMul("tokens"), u, h, name="l"))


def joined() -> Graph:
    """Sums of wires and constants side by side, cut again; vectors throughout."""
    to = Drawing("joined")
    x = to.input("x", "fixed<8,4>", 6)
    y = to.input("y", "ufixed<5,1>", 4)
    c = to.add(Constant(numbers(3), 2), name="c")
    both = to.add(Concat(), x, y, c, name="both")
    part = to.add(Slice(4, 12), both, name="both/part")
    total = to.add(Reduce("sum", "features"), part, name="total")
    most = to.add(Reduce("max", "features"), part, name="most")
    return to.graph(part, to.add(Add(True), total, most, name="apart"))


TAKEN = """
    index name x_out Mix mix mix_frame std gf a.b-c result sum fork read Beat CONFIG_T tokens exp
    bits hls_stream each uint size_t array io EOF NULL config frame main T reuse_factor unix log
"""
"""Words that C++, its library, hls4ml or the templates use."""


def named() -> Graph:
    """A chain of layers whose names are taken."""
    to = Drawing("mynet")
    x = to.input("x_in", "fixed<8,4>", 3, 2)
    for name in TAKEN.split():
        x = to.add(Cast(Fixed(True, 8, len(name) % 5)), x, name=name)
    return to.graph(x)


GRAPHS: Mapping[str, Callable[[], Graph]] = {
    make.__name__: make
    for make in (moved, broadcast, wide, entangled, bypassed, carried, joined, named)
}
