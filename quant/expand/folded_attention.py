"""FoldedAttention: attention whose projections are multiplied out head by head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.attention import attention_operands, check_gate, project
from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.heads import Heads
from gateformer.quant.expand.shares import PLAIN, Shares
from gateformer.quant.expand.weights import attend, gates
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.types import FloatArray

KEY_BITS = 25
"""Widest key features that a DSP multiplies by 18 bits of query."""

SUMMED_BITS = 34
"""Widest contexts that are summed over heads before a Cast."""

FOLDED_BITS = 52
"""Folded weights of at most so many bits are exact integers, also in the float64 they come in."""


@dataclass(frozen=True, slots=True, eq=False)
class FoldedAttention(Composite):
    """Attention with keys left raw: ``q~ = x M_h + m_h`` meets the keys' own features.

    Equal to Attention on reals, with ``M_h = Wq_h Wk_h^T``, ``m_h = Wk_h bq_h``, the row
    constant ``x.c_h + d_h`` of the keys' bias, and values ``x N_h``, ``N_h = Wv_h Wo_h``,
    which are summed over heads. Operands as in Attention.

    Attributes
    ----------
    heads : int
        H.
    wm : ndarray of float64, (D, H, D')
        Query features to key features.
    bm : ndarray of float64, (H, D')
        m_h.
    wc : ndarray of float64, (D, H)
        c_h; the row constant matters only where exp can saturate.
    bc : ndarray of float64, (H,)
        d_h.
    wn : ndarray of float64, (D'', H, O)
        N_h.
    bn : ndarray of float64, (H, O)
        ``bv_h Wo_h``, a part of each value, so that a fully masked row stays zero.
    bo : ndarray of float64, (O,)
        Bias of the result.
    scale : float
        Factor on the scores.
    causal, masked, shares, wg, bg
        As in Attention.
    """

    heads: int
    wm: FloatArray
    bm: FloatArray
    wc: FloatArray
    bc: FloatArray
    wn: FloatArray
    bn: FloatArray
    bo: FloatArray
    scale: float
    causal: bool = False
    masked: bool = False
    shares: Shares = PLAIN
    wg: FloatArray | None = None
    bg: FloatArray | None = None

    def shape(self, *inputs: Shape) -> Shape:
        query, key, value = attention_operands(self, self.masked, *inputs)
        if (query[1], key[1], value[1]) != (
            self.wm.shape[0],
            self.wm.shape[2],
            self.wn.shape[0],
        ):
            raise shape_error(self, *inputs, why="the folded projections take other features")
        check_gate(self, self.wg, self.bg, *inputs)
        return (query[0], self.wn.shape[2])

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        query, key, value = inputs[:3]
        q = project(query, self.wm, self.bm, probe, "query")
        v = project(value, self.wn, self.bn, probe, "value")
        row = query @ self.wc + self.bc
        relative = np.einsum("nthk,nsk->nths", q, key)
        mask = inputs[3] if self.masked else None
        row = row[..., None]
        context = attend(relative, row, v, self.scale, self.causal, mask, probe, self.shares)
        if self.wg is not None:
            context = context * gates(query, self.wg, self.bg, probe)
        probe("context", context)
        return context.sum(2) + self.bo

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """As Attention, with the keys' features as they come and values of the output's size.

        Folded matrices stay exact integers. Contexts of all heads are summed uncast unless they
        are wider than ``SUMMED_BITS``. The row constant is added only to a direct table.
        """
        mask = inputs[3] if self.masked else None
        run = Heads(to, self.scale, self.causal, mask, self.shares)
        query = run.query(self._dense(to, self.wm, self.bm, "query"), inputs[0])
        value = self._dense(to, self.wn, self.bn, "value")
        values = to.point(value, inputs[2], point="value")
        keys = inputs[1]
        if to.value(keys).fixed.width > KEY_BITS:
            keys = to.cast(keys, "key")
        keys = to.add(Reshape(self._key_shape(to, keys)), keys, point="keys")
        context = run.context(query, run.key(keys, query), values, self._row(to, inputs[0]))
        context = run.gated(context, inputs[0], self.wg, self.bg)
        context = run.narrow(context, SUMMED_BITS)
        heads, size = self.wn.shape[1:]
        joined = to.dense(np.tile(np.eye(size), (heads, 1)), self.bo, (size,), at="output_")
        return to.finish(joined, context, output=output)

    def _dense(self, to: Lowering, w: FloatArray, b: FloatArray, at: str) -> Dense:
        kernel = w.reshape(w.shape[0], -1)
        return to.dense(kernel, b.ravel(), w.shape[1:], at=f"{at}_", exact_bits=FOLDED_BITS)

    def _key_shape(self, to: Lowering, keys: str) -> Shape:
        tokens, size = to.value(keys).shape
        return (tokens, 1, size)

    def _row(self, to: Lowering, x: str) -> str | None:
        """The rows' constants (T, H, 1), None where all are zero."""
        if not (self.wc.any() or self.bc.any()):
            return None
        shape = (self.heads, 1)
        dense = to.dense(self.wc, self.bc, shape, at="row_", exact_bits=FOLDED_BITS)
        return to.add(dense, x, point="row")
