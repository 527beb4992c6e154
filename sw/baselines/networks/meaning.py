"""What each operation of a graph means on reals, said in words that every runtime has.

Owns ``translate``, ``Kit`` and ``Heads``. Imports graphs and operations. A kit says the words in
ONNX, torch or C; the operations themselves stand here once. What only hardware needs is left out:
points inside an attention that would be cast, and the constants of a row that softmax cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from gateformer.quant.errors import DataError
from gateformer.quant.expand import (
    Affine,
    Attention,
    Elementwise,
    Embedding,
    FoldedAttention,
    LayerNorm,
    Linear,
    Pool,
    Quantize,
    RMSNorm,
    Softmax,
)
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Op, Shape
from gateformer.quant.ops.cast import Cast, Constant, Rescale
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Reshape, Slice, Transpose
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding

V = Any
"""A tensor in the words of a kit: frames first, then the shape that the graph gives it."""


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """An attention, folded or not, with nothing left in it that does not change its result.

    Attributes
    ----------
    wq : ndarray of float64, (D, H, K)
        Queries, times the factor on the scores.
    bq : ndarray of float64, (H, K), or None
        Their bias.
    wk : ndarray of float64, (D', H, K), or None
        Keys; None: the operand's own features serve all heads. Their bias cancels in softmax.
    wv : ndarray of float64, (D'', H, V)
        Values.
    bv : ndarray of float64, (H, V), or None
        Their bias, where a mask may leave a row without keys; else it is in ``bo``.
    wo : ndarray of float64, (H, V, O), or None
        Joins the heads; None: their contexts are summed.
    bo : ndarray of float64, (O,), or None
        Bias of the result.
    causal, masked : bool
        As in Attention.
    tokens, keys : int
        Of queries, and of keys and values.
    """

    wq: FloatArray
    bq: FloatArray | None
    wk: FloatArray | None
    wv: FloatArray
    bv: FloatArray | None
    wo: FloatArray | None
    bo: FloatArray | None
    causal: bool
    masked: bool
    tokens: int
    keys: int


class Kit(Protocol):
    """A runtime's words; tensors also take ``+ - * /`` with one another and with numbers."""

    def constant(self, reals: FloatArray) -> V:
        """Return a tensor that is the same for every frame."""

    def linear(
        self, x: V, kernel: FloatArray, bias: FloatArray | None, given: Shape, made: Shape
    ) -> V:
        """Return ``x kernel + bias`` of each token's features, or of a vector."""

    def attention(self, heads: Heads, query: V, key: V, value: V, mask: V | None) -> V:
        """Return an attention's result."""

    def layer_norm(self, x: V, gamma: FloatArray, beta: FloatArray, epsilon: float) -> V:
        """Return LayerNorm over the last axis."""

    def rms_norm(self, x: V, gamma: FloatArray, epsilon: float) -> V:
        """Return RMSNorm over the last axis."""

    def softmax(self, x: V) -> V:
        """Return softmax over the last axis."""

    def matmul(self, a: V, b: V, contract: Literal["features", "tokens"]) -> V:
        """Return MatMul of tokens x heads x features."""

    def rows(self, x: V, table: FloatArray, tokens: int) -> V:
        """Return rows of a table by whole numbers (tokens, or tokens x 1), zeros beyond it."""

    def reshape(self, x: V, shape: Shape) -> V:
        """Return the same elements in another shape."""

    def transpose(self, x: V, order: tuple[int, ...]) -> V:
        """Return the axes in another order; frames stay first."""

    def slice(self, x: V, start: int, stop: int) -> V:
        """Return a part of the last axis."""

    def concat(self, parts: list[V], given: list[Shape]) -> V:
        """Return tensors side by side along the last axis."""

    def reduce(self, x: V, kind: str, axis: Literal["features", "tokens"]) -> V:
        """Return the sum or the maximum; features keep an axis of size 1."""

    def quantize(self, x: V, to: Fixed, rounding: Rounding, overflow: Overflow) -> V:
        """Return reals on a type's steps."""

    def keep(self, x: V) -> V:
        """Return a node's result, ready to be read more than once."""

    def where(self, condition: V, yes: V, no: V) -> V:
        """Return one or the other, element by element."""

    def at_least(self, a: V, b: V) -> V:
        """Return whether a >= b."""

    def minimum(self, a: V, b: V) -> V:
        """Return the lesser."""

    def maximum(self, a: V, b: V) -> V:
        """Return the greater."""

    def unary(self, name: str, x: V) -> V:
        """Return a function of `UNARY` of each element."""


UNARY = ("abs", "exp", "floor", "gelu", "gelu_tanh", "log", "rint", "sigmoid", "sqrt", "tanh")
"""Functions that every kit has."""

Meaning = Callable[[Kit, Any, list[V], list[Shape], Shape], V]
MEANINGS: dict[type[Op], Meaning] = {}
"""Operation -> what it is in a kit's words; operands, their shapes and the result's shape. The
package registers all of them, those of ``composed`` too."""


def means(kind: type[Op]) -> Callable[[Meaning], Meaning]:
    """Register what an operation means."""

    def register(meaning: Meaning) -> Meaning:
        MEANINGS[kind] = meaning
        return meaning

    return register


def translate(kit: Kit, graph: Graph, inputs: Mapping[str, V]) -> list[V]:
    """Return a graph's outputs in a kit's words.

    Raises
    ------
    DataError
        E612 for an operation that has no meaning on reals.
    """
    held = dict(inputs)
    for node in graph.nodes:
        meaning = MEANINGS.get(type(node.op))
        if meaning is None:
            layer = graph.values[node.output].layer
            cause = f"{type(node.op).__name__} works on raw integers"
            raise DataError("E612", "no meaning on reals", layer=layer, cause=cause)
        shapes = [graph.values[name].shape for name in node.inputs]
        operands = [held[name] for name in node.inputs]
        made = meaning(kit, node.op, operands, shapes, graph.values[node.output].shape)
        held[node.output] = kit.keep(made)
    return [held[name] for name in graph.outputs]


def heads_of(op: Attention | FoldedAttention, tokens: int, keys: int) -> Heads:
    """Return an attention without what cancels."""
    if isinstance(op, FoldedAttention):
        bias = op.bm * op.scale
        return Heads(
            wq=op.wm * op.scale,
            bq=bias if bias.any() else None,
            wk=None,
            wv=op.wn,
            bv=op.bn if op.bn.any() else None,
            wo=None,
            bo=op.bo if op.bo.any() else None,
            causal=op.causal,
            masked=op.masked,
            tokens=tokens,
            keys=keys,
        )
    bv, bo = op.bv, op.bo
    if bv is not None and not op.masked:
        # Weights sum to one, so the values' bias leaves softmax as it is.
        joined = np.einsum("hv,hvo->o", bv, op.wo)
        bv, bo = None, joined if bo is None else bo + joined
    return Heads(
        wq=op.wq * op.scale,
        bq=None if op.bq is None else op.bq * op.scale,
        wk=op.wk,
        wv=op.wv,
        bv=bv,
        wo=op.wo,
        bo=bo,
        causal=op.causal,
        masked=op.masked,
        tokens=tokens,
        keys=keys,
    )


@means(Linear)
def _linear(kit: Kit, op: Linear, x: list[V], given: list[Shape], made: Shape) -> V:
    kernel = op.kernel if op.scale is None else op.kernel * op.scale
    return kit.linear(x[0], kernel, op.bias, given[0], made)


@means(Dense)
def _dense(kit: Kit, op: Dense, x: list[V], given: list[Shape], made: Shape) -> V:
    kernel = np.ldexp(op.weight.astype(np.float64), -op.frac).T
    bias = np.ldexp(op.bias.astype(np.float64), -op.bias_frac)
    return kit.linear(x[0], kernel, bias, given[0], made)


def _attention(
    kit: Kit, op: Attention | FoldedAttention, x: list[V], given: list[Shape], made: Shape
) -> V:
    if op.wg is not None or op.shares.kind != "plain":
        from gateformer.baselines.networks.composed import spelt_out

        return spelt_out(kit, op, x, given, made)
    heads = heads_of(op, given[0][0], given[1][0])
    return kit.attention(heads, x[0], x[1], x[2], x[3] if op.masked else None)


means(Attention)(_attention)
means(FoldedAttention)(_attention)


@means(LayerNorm)
def _layer_norm(kit: Kit, op: LayerNorm, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.layer_norm(x[0], op.gamma, op.beta, op.epsilon)


@means(RMSNorm)
def _rms_norm(kit: Kit, op: RMSNorm, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.rms_norm(x[0], op.gamma, op.epsilon)


@means(Softmax)
def _softmax(kit: Kit, op: Softmax, x: list[V], given: list[Shape], made: Shape) -> V:
    score = x[0] if op.scale == 1.0 else x[0] * op.scale
    if not op.causal:
        return kit.softmax(score)
    seen = np.arange(made[2]) <= np.arange(made[0])[:, None]
    hidden = kit.constant((seen[:, None, :].astype(np.float64) - 1.0) * FAR)
    return kit.softmax(kit.keep(score + hidden))


@means(Affine)
def _affine(kit: Kit, op: Affine, x: list[V], given: list[Shape], made: Shape) -> V:
    shape = (1,) * (len(made) - 1) + (op.scale.size,)
    scaled = x[0] * kit.constant(op.scale.reshape(shape))
    return scaled + kit.constant(op.offset.reshape(shape)) if op.offset.any() else scaled


@means(Elementwise)
def _elementwise(kit: Kit, op: Elementwise, x: list[V], given: list[Shape], made: Shape) -> V:
    from gateformer.baselines.networks.functions import REALS

    given_x = x[0] if op.scale == 1.0 else x[0] * op.scale
    y = REALS[op.function](kit, given_x, **dict(op.parameters))
    return y if op.step == 1.0 else y * (1.0 / op.step)


@means(Embedding)
def _embedding(kit: Kit, op: Embedding, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.rows(x[0], op.table, made[0])


@means(Pool)
def _pool(kit: Kit, op: Pool, x: list[V], given: list[Shape], made: Shape) -> V:
    tokens, count = x[0], None
    if op.masked:
        keep = kit.reshape(x[1], (given[1][0], *(1,) * (len(given[0]) - 1)))
        count = kit.reduce(keep, "sum", "tokens")
        if op.kind == "max":
            # Far below any value, where the mask is 0.
            largest = kit.reduce(tokens + (keep - 1.0) * FAR, "max", "tokens")
            return kit.where(kit.at_least(count, 0.5), largest, 0.0)
        tokens = tokens * keep
    if op.kind != "mean":
        return kit.reduce(tokens, op.kind, "tokens")
    total = kit.reduce(tokens, "sum", "tokens")
    return total * (1.0 / given[0][0]) if count is None else total / kit.maximum(count, 1.0)


FAR = 16384.0
"""What a masked score or value is lowered by: a power of two that also float16 holds."""


def _quantize(kit: Kit, op: Quantize | Cast, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.quantize(x[0], op.type, op.rounding, op.overflow)


means(Quantize)(_quantize)
means(Cast)(_quantize)


@means(Rescale)
def _rescale(kit: Kit, op: Rescale, x: list[V], given: list[Shape], made: Shape) -> V:
    return x[0] * 2.0**op.power


@means(Constant)
def _constant(kit: Kit, op: Constant, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.constant(np.ldexp(op.raw.astype(np.float64), -op.frac))


@means(Add)
def _add(kit: Kit, op: Add, x: list[V], given: list[Shape], made: Shape) -> V:
    return x[0] - x[1] if op.subtract else x[0] + x[1]


@means(Mul)
def _mul(kit: Kit, op: Mul, x: list[V], given: list[Shape], made: Shape) -> V:
    return x[0] * x[1]


@means(MatMul)
def _matmul(kit: Kit, op: MatMul, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.matmul(x[0], x[1], op.contract)


@means(Reduce)
def _reduce(kit: Kit, op: Reduce, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.reduce(x[0], op.kind, op.axis)


@means(Reshape)
def _reshape(kit: Kit, op: Reshape, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.reshape(x[0], op.to)


@means(Transpose)
def _transpose(kit: Kit, op: Transpose, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.transpose(x[0], op.order)


@means(Slice)
def _slice(kit: Kit, op: Slice, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.slice(x[0], op.start, op.stop)


@means(Concat)
def _concat(kit: Kit, op: Concat, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.concat(x, given)
