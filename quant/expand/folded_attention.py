"""FoldedAttention: attention whose projections are multiplied out head by head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.attention import attention_operands, project
from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.weights import attend
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
from gateformer.quant.types import FloatArray


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
    causal, masked : bool
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

    def shape(self, *inputs: Shape) -> Shape:
        query, key, value = attention_operands(self, self.masked, *inputs)
        if (query[1], key[1], value[1]) != (
            self.wm.shape[0],
            self.wm.shape[2],
            self.wn.shape[0],
        ):
            raise shape_error(self, *inputs, why="the folded projections take other features")
        return (query[0], self.wn.shape[2])

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        query, key, value = inputs[:3]
        q = project(query, self.wm, self.bm, probe, "query")
        v = project(value, self.wn, self.bn, probe, "value")
        row = query @ self.wc + self.bc
        score = np.einsum("nthk,nsk->nths", q, key) + row[..., None]
        mask = inputs[3] if self.masked else None
        context = attend(score, v, self.scale, self.causal, mask, probe)
        probe("context", context)
        return context.sum(2) + self.bo
