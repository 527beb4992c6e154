"""Attention: multi-head, self or cross, with causal and padding masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.context import LIMITS, Lowering
from gateformer.quant.expand.heads import Heads
from gateformer.quant.expand.shares import PLAIN, Shares
from gateformer.quant.expand.weights import attend, gates
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
from gateformer.quant.ops.dense import Dense
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Attention(Composite):
    """``softmax(scale q k^T) v`` a head, heads joined by ``wo`` (Vaswani et al., 1706.03762).

    Operands: query (T, D), key (S, D'), value (S, D''), and a mask (S, 1) where ``masked``.

    Attributes
    ----------
    heads : int
        H.
    wq, wk : ndarray of float64, (D, H, K)
        Projections of queries and keys.
    bq, bk : ndarray of float64, (H, K), or None
        Their biases.
    wv : ndarray of float64, (D, H, V)
        Projection of values.
    bv : ndarray of float64, (H, V), or None
        Its bias.
    wo : ndarray of float64, (H, V, O)
        Joins the heads.
    bo : ndarray of float64, (O,), or None
        Its bias.
    scale : float
        Factor on the scores, 1/sqrt(K) as a rule.
    causal : bool
        Token t sees keys 0..t alone.
    masked : bool
        A last operand tells which keys count; where none does, a head's context is zero.
    shares : Shares
        What becomes of softmax's shares before they weigh the values.
    wg : ndarray of float64, (D, H), or None
        Gates: a head's context is multiplied by ``sigmoid(query wg + bg)`` of its own token
        (Bondarenko et al., arXiv 2306.12929, equation 5).
    bg : ndarray of float64, (H,), or None
        Their bias.
    """

    heads: int
    wq: FloatArray
    bq: FloatArray | None
    wk: FloatArray
    bk: FloatArray | None
    wv: FloatArray
    bv: FloatArray | None
    wo: FloatArray
    bo: FloatArray | None
    scale: float
    causal: bool = False
    masked: bool = False
    shares: Shares = PLAIN
    wg: FloatArray | None = None
    bg: FloatArray | None = None

    def shape(self, *inputs: Shape) -> Shape:
        query, key, value = attention_operands(self, self.masked, *inputs)
        for name, x, w in (
            ("query", query, self.wq),
            ("key", key, self.wk),
            ("value", value, self.wv),
        ):
            if x[1] != w.shape[0]:
                raise shape_error(self, *inputs, why=f"the {name} has {w.shape[0]} features")
        if self.wq.shape[1:] != self.wk.shape[1:] or self.wv.shape[1:] != self.wo.shape[:2]:
            raise shape_error(self, *inputs, why="the projections do not fit together")
        check_gate(self, self.wg, self.bg, *inputs)
        return (query[0], self.wo.shape[2])

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        q, k, v = (
            project(x, w, b, probe, point)
            for x, w, b, point in (
                (inputs[0], self.wq, self.bq, "query"),
                (inputs[1], self.wk, self.bk, "key"),
                (inputs[2], self.wv, self.bv, "value"),
            )
        )
        score = np.einsum("nthk,nshk->nths", q, k)
        mask = inputs[3] if self.masked else None
        context = attend(score, None, v, self.scale, self.causal, mask, probe, self.shares)
        if self.wg is not None:
            context = context * gates(inputs[0], self.wg, self.bg, probe)
        probe("context", context)
        y = np.einsum("nthv,hvo->nto", context, self.wo)
        return y if self.bo is None else y + self.bo

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """Three Dense, scores, softmax weights, weighted values, one division, one Dense.

        Casts at ``<layer>/query``, ``/key``, ``/value``, ``/score``, ``/distance`` and
        ``/context``; all between is exact but for what ``Heads.context`` states.
        """
        mask = inputs[3] if self.masked else None
        run = Heads(to, self.scale, self.causal, mask, self.shares)
        query = run.query(flat_dense(to, self.wq, self.bq, "query"), inputs[0])
        keys, values = (
            to.point(flat_dense(to, w, b, at), x, point=at)
            for w, b, at, x in (
                (self.wk, self.bk, "key", inputs[1]),
                (self.wv, self.bv, "value", inputs[2]),
            )
        )
        context = run.context(query, run.key(keys, query), values)
        context = run.gated(context, inputs[0], self.wg, self.bg)
        context = run.narrow(context, LIMITS["context"])
        kernel = self.wo.reshape(-1, self.wo.shape[2])
        joined = to.dense(kernel, self.bo, (kernel.shape[1],), at="output_")
        return to.finish(joined, context, output=output)


def check_gate(op: Composite, wg: FloatArray | None, bg: FloatArray | None, *inputs: Shape) -> None:
    """Check that a gate takes the query's features."""
    if wg is not None and (wg.ndim != 2 or wg.shape[0] != inputs[0][1]):
        raise shape_error(op, *inputs, why="the gate takes other features")
    if bg is not None and (wg is None or bg.shape != wg.shape[1:]):
        raise shape_error(op, *inputs, why="the gate's bias does not fit it")


def attention_operands(op: Composite, masked: bool, *inputs: Shape) -> tuple[Shape, Shape, Shape]:
    """Check the operands' ranks and token counts; returns query, key and value."""
    if len(inputs) != 3 + masked or any(len(x) != 2 for x in inputs):
        raise shape_error(op, *inputs, why="operands are query, key, value and a mask if masked")
    query, key, value = inputs[:3]
    if key[0] != value[0]:
        raise shape_error(op, *inputs, why="keys and values have different token counts")
    if masked and inputs[3] != (key[0], 1):
        raise shape_error(op, *inputs, why=f"the mask's shape is not {(key[0], 1)}")
    return query, key, value


def flat_dense(to: Lowering, w: FloatArray, b: FloatArray | None, at: str) -> Dense:
    """Per-head projection (D, H, K) as one Dense with result (T, H, K)."""
    bias = None if b is None else b.ravel()
    return to.dense(w.reshape(w.shape[0], -1), bias, w.shape[1:], at=f"{at}_")


def project(
    x: FloatArray, w: FloatArray, b: FloatArray | None, probe: Probe, point: str
) -> FloatArray:
    """Per-head projection (n, T, D) -> (n, T, H, K), shown to the probe."""
    y = np.einsum("ntd,dhk->nthk", x, w)
    if b is not None:
        y = y + b
    probe(point, y)
    return y
