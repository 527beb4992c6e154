"""A network on reals as plain C in float32.

Owns ``source``. Imports the meaning of operations and the C of frames. Elementwise operations
become one loop a node; exponentials and the like are the C library's own vector functions.
"""

# A kit's words are told once, in `Kit`.
# ruff: noqa: D102
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

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
from gateformer.baselines.networks.c_kernels import attend, product
from gateformer.baselines.networks.functions import steps
from gateformer.baselines.networks.meaning import Heads, translate
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Shape
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding

PRELUDE = """#include <math.h>
typedef float vec16 __attribute__((vector_size(64), may_alias));
typedef float vec8 __attribute__((vector_size(32), may_alias));
typedef float vec4 __attribute__((vector_size(16), may_alias));
typedef float vec1 __attribute__((may_alias));
static inline float least(float a, float b) { return a < b ? a : b; }
static inline float most(float a, float b) { return a > b ? a : b; }
static inline float exponential(float x)
{
    const float power = least(most(x, -87.0f), 88.0f) * 1.44269504f;
    const float whole = rintf(power);
    const float z = (power - whole) * 0.69314718f;
    float y = 1.0f / 720.0f;
    y = y * z + 1.0f / 120.0f;
    y = y * z + 1.0f / 24.0f;
    y = y * z + 1.0f / 6.0f;
    y = y * z + 0.5f;
    y = y * z + 1.0f;
    y = y * z + 1.0f;
    union { int i; float f; } scale = {((int)whole + 127) << 23};
    return y * scale.f;
}
static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }
static inline float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }
static inline float gelu_tanh(float x)
{
    return x * sigmoid(1.5957691f * (x + 0.044715f * x * x * x));
}
"""
"""The exponential is a Taylor polynomial of degree 6 within half a power of two, 2e-7 off at most:
inlined it takes a fifth of the vector function of glibc 2.36, most of a small network's time. GELU
by tanh is written with ``(1 + tanh(z)) / 2 = sigmoid(2 z)``."""
NAMES = {"abs": "fabsf", "exp": "exponential", "floor": "floorf", "log": "logf", "rint": "rintf"}
NAMES |= {"sqrt": "sqrtf", "tanh": "tanhf"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the network: in memory, or still an expression of its elements."""

    kit: RealsKit
    shape: Shape
    at: Callable[[Index], str]
    held: Buffer | None = None

    def __add__(self, other: Tensor | float) -> Tensor:
        return self.kit.joined("({} + {})", self, other)

    def __sub__(self, other: Tensor | float) -> Tensor:
        return self.kit.joined("({} - {})", self, other)

    def __mul__(self, other: Tensor | float) -> Tensor:
        return self.kit.joined("({} * {})", self, other)

    def __truediv__(self, other: Tensor | float) -> Tensor:
        return self.kit.joined("({} / {})", self, other)


def source(graph: Graph) -> tuple[str, bytes]:
    """Return the C of a graph on reals, and its weights.

    Parameters
    ----------
    graph : Graph
        As imported or folded.

    Returns
    -------
    (str, bytes)
        ``run`` takes pointers to the inputs (frames, *shape) in the graph's order and to the
        outputs, float32 all.

    Raises
    ------
    DataError
        E612 for an operation that works on raw integers.
    """
    shapes = [
        [graph.values[name].shape for name in names] for names in (graph.inputs, graph.outputs)
    ]
    code = Code("float", *shapes)
    kit = RealsKit(code)
    inputs = {
        name: kit.stored(code.read(place, code.buffer(graph.values[name].shape, "float")))
        for place, name in enumerate(graph.inputs)
    }
    for place, made in enumerate(translate(kit, graph, inputs)):
        code.write(place, shapes[1][place], made.at)
    return code.text(PRELUDE), bytes(code.blob)


class RealsKit:
    """Says a kit's words in C."""

    def __init__(self, code: Code) -> None:
        self.code = code

    def stored(self, buffer: Buffer) -> Tensor:
        """Return a tensor in memory."""
        return Tensor(self, buffer.shape, buffer.at, buffer)

    def joined(self, form: str, *parts: Tensor | float) -> Tensor:
        """Return an elementwise expression of tensors and numbers."""
        shapes = [one.shape for one in parts if isinstance(one, Tensor)]
        shape = tuple(int(n) for n in np.broadcast_shapes(*shapes))

        def at(index: Index) -> str:
            return form.format(
                *(
                    one.at(within(one.shape, index)) if isinstance(one, Tensor) else number(one)
                    for one in parts
                )
            )

        return Tensor(self, shape, at)

    def keep(self, x: Tensor) -> Tensor:
        if x.held is not None:
            return x
        return self.stored(self.code.compute(self.code.buffer(x.shape, "float"), x.at))

    def constant(self, reals: FloatArray) -> Tensor:
        pointer = self.code.weight(arranged(reals.astype(np.float32)), "float")
        return self.stored(Buffer(pointer, reals.shape, "float"))

    def linear(
        self, x: Tensor, kernel: FloatArray, bias: FloatArray | None, given: Shape, made: Shape
    ) -> Tensor:
        result = self.code.buffer(made, "float")
        product(self.code, self._name(x), kernel, bias, result.name, split(made)[0])
        return self.stored(result)

    def attention(self, heads: Heads, query: Tensor, key: Tensor, value: Tensor, mask: Any) -> Any:
        code, (count, size) = self.code, heads.wq.shape[1:]
        keys = padded(heads.keys)
        q = self._projected(query, heads.wq, heads.bq, heads.tokens)
        k, own = self._name(key), ""
        if heads.wk is not None:
            k, own = self._projected(key, heads.wk, None, heads.keys), f"h * {size * keys} + "
        v = self._projected(value, heads.wv, heads.bv, heads.keys)
        held = heads.wv.shape[2]
        mixed = code.buffer((heads.tokens, count, held), "float")
        attend(code, heads, q, (k, own), v, mixed.name, self._seen(heads, mask))
        if heads.wo is not None:
            kernel = heads.wo.reshape(-1, heads.wo.shape[2])
            made = (heads.tokens, kernel.shape[1])
            return self.linear(self.stored(mixed), kernel, heads.bo, mixed.shape, made)
        shape = (heads.tokens, held)
        whole = [mixed.at(("{t}", str(h), "{i}")) for h in range(count)]
        if heads.bo is not None:
            whole.append(f"{self.code.weight(heads.bo.astype(np.float32), 'float')}[{{i}}]")
        return self.keep(
            Tensor(self, shape, lambda index: " + ".join(whole).format(t=index[0], i=index[1]))
        )

    def layer_norm(self, x: Tensor, gamma: FloatArray, beta: FloatArray, epsilon: float) -> Tensor:
        mean = self.keep(self.reduce(x, "sum", "features") * (1.0 / gamma.size))
        centred = self.keep(x - mean)
        return self._scaled(centred, gamma, epsilon) + self._row(beta, x.shape)

    def rms_norm(self, x: Tensor, gamma: FloatArray, epsilon: float) -> Tensor:
        return self._scaled(x, gamma, epsilon)

    def softmax(self, x: Tensor) -> Tensor:
        weight = self.keep(self.unary("exp", x - self.reduce(x, "max", "features")))
        return weight * self.keep(
            self.joined("(1.0f / {})", self.reduce(weight, "sum", "features"))
        )

    def matmul(self, a: Tensor, b: Tensor, contract: Literal["features", "tokens"]) -> Tensor:
        code, a, b = self.code, self.keep(a), self.keep(b)
        features = contract == "features"
        shape = (a.shape[0], a.shape[1], b.shape[0] if features else b.shape[2])
        made = code.buffer(shape, "float")
        with code.over(shape) as (t, h, o):
            code.say("float a = 0.0f;")
            with code.loop("k", a.shape[2]):
                other = b.at((o, h, "k")) if features else b.at(("k", h, o))
                code.say(f"a += {a.at((t, h, 'k'))} * {other};")
            code.say(f"{made.at((t, h, o))} = a;")
        return self.stored(made)

    def rows(self, x: Tensor, table: FloatArray, tokens: int) -> Tensor:
        pointer = self.code.weight(table.astype(np.float32), "float")
        entries, features = table.shape

        def at(index: Index) -> str:
            row = x.at(index[:1] if len(x.shape) == 1 else (index[0], "0"))
            inside = f"({row} > -1.0f && {row} < {entries})"
            return f"({inside} ? {pointer}[(int){row} * {features} + {index[1]}] : 0.0f)"

        return Tensor(self, (tokens, features), at)

    def reshape(self, x: Tensor, shape: Shape) -> Tensor:
        if split(shape)[0] == split(x.shape)[0]:
            # Tokens stay: features of any shape lie as they did.
            return self.stored(Buffer(self._name(x), shape, "float"))
        made = self.code.buffer(shape, "float")
        with self.code.over(x.shape, lanes=False) as index:
            place = unflat(shape, flat(x.shape, index))
            self.code.say(f"{made.name}[{address(shape, place)}] = {x.at(index)};")
        return self.stored(made)

    def transpose(self, x: Tensor, order: tuple[int, ...]) -> Tensor:
        shape = tuple(x.shape[axis] for axis in order)

        def at(index: Index) -> str:
            return x.at(tuple(index[order.index(axis)] for axis in range(len(order))))

        return Tensor(self, shape, at)

    def slice(self, x: Tensor, start: int, stop: int) -> Tensor:
        shape = (*x.shape[:-1], stop - start)
        return Tensor(self, shape, lambda index: x.at((*index[:-1], f"({index[-1]} + {start})")))

    def concat(self, parts: list[Tensor], given: list[Shape]) -> Tensor:
        made = self.code.buffer((*given[0][:-1], sum(shape[-1] for shape in given)), "float")
        first = 0
        for part, shape in zip(parts, given, strict=True):
            with self.code.over(shape) as index:
                place = (*index[:-1], f"({index[-1]} + {first})")
                self.code.say(f"{made.at(place)} = {part.at(index)};")
            first += shape[-1]
        return self.stored(made)

    def reduce(self, x: Tensor, kind: str, axis: Literal["features", "tokens"]) -> Tensor:
        features = axis == "features"
        made = self.code.buffer((*x.shape[:-1], 1) if features else x.shape[1:], "float")
        extent = x.shape[-1] if features else x.shape[0]
        with self.code.over(made.shape) as index:
            self.code.say(f"float a = {'0.0f' if kind == 'sum' else '-1e30f'};")
            with self.code.loop("k", extent):
                place = (*index[:-1], "k") if features else ("k", *index)
                one = x.at(place)
                self.code.say(f"a += {one};" if kind == "sum" else f"a = most(a, {one});")
            self.code.say(f"{made.at(index)} = a;")
        return self.stored(made)

    def quantize(self, x: Tensor, to: Fixed, rounding: Rounding, overflow: Overflow) -> Any:
        return steps(self, x, to, rounding, overflow)

    def where(self, condition: Tensor, yes: Any, no: Any) -> Tensor:
        return self.joined("({} ? {} : {})", condition, yes, no)

    def at_least(self, a: Any, b: Any) -> Tensor:
        return self.joined("({} >= {})", a, b)

    def minimum(self, a: Any, b: Any) -> Tensor:
        return self.joined("least({}, {})", a, b)

    def maximum(self, a: Any, b: Any) -> Tensor:
        return self.joined("most({}, {})", a, b)

    def unary(self, name: str, x: Tensor) -> Tensor:
        return self.joined(f"{NAMES.get(name, name)}({{}})", x)

    def _name(self, x: Tensor) -> str:
        held = self.keep(x).held
        assert held is not None
        return held.name

    def _row(self, reals: FloatArray, shape: Shape) -> Tensor:
        """Return one number a feature, the same for every token."""
        return self.constant(reals.reshape((1,) * (len(shape) - 1) + reals.shape))

    def _scaled(self, x: Tensor, gamma: FloatArray, epsilon: float) -> Tensor:
        square = self.reduce(x * x, "sum", "features") * (1.0 / gamma.size) + epsilon
        factor = self.keep(self.joined("(1.0f / {})", self.unary("sqrt", square)))
        return x * factor * self._row(gamma, x.shape)

    def _seen(self, heads: Heads, mask: Any) -> str:
        """Return whether token t sees key s, as C; empty where it always does."""
        parts = ["t >= s"] if heads.causal else []
        if mask is not None:
            parts.append(f"{self._name(mask)}[s] != 0.0f")
        return f"({' && '.join(parts)})" if parts else ""

    def _projected(self, x: Tensor, w: FloatArray, b: FloatArray | None, tokens: int) -> str:
        made = self.code.buffer((tokens, *w.shape[1:]), "float").name
        bias = None if b is None else b.ravel()
        product(self.code, self._name(x), w.reshape(w.shape[0], -1), bias, made, tokens)
        return made


def number(value: float) -> str:
    """Return a number as C."""
    return f"{float(value)!r}f"
