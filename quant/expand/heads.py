"""Attention after the projections: scores, masks, softmax and weighted values, head by head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gateformer.quant.expand.clipped_shares import clipped
from gateformer.quant.expand.context import LIMITS, Lowering
from gateformer.quant.expand.division import divide
from gateformer.quant.expand.elementwise import Elementwise
from gateformer.quant.expand.exponential import (
    exponential,
    hide_future,
    is_direct,
    keep_past,
    score_type,
)
from gateformer.quant.expand.log_shares import Row, code_weights, codes
from gateformer.quant.expand.shares import PLAIN, Shares
from gateformer.quant.ops.cast import Rescale
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Reshape, Slice
from gateformer.quant.ops.log_matmul import LogMatMul
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import FloatArray


class Heads:
    """One attention layer's way from projections to contexts.

    Parameters
    ----------
    to : Lowering
        Takes the primitives.
    scale : float
        Factor on the scores.
    causal : bool
        Token t sees keys 0..t alone.
    mask : str or None
        Bits (S, 1), 1 where a key counts.
    shares : Shares, optional
        What becomes of softmax's shares.
    """

    def __init__(
        self,
        to: Lowering,
        scale: float,
        causal: bool,
        mask: str | None,
        shares: Shares = PLAIN,
    ) -> None:
        self.to = to
        self.scale = scale
        self.causal = causal
        self.mask = mask
        self.shares = shares
        self.bits: dict[int, str] = {}
        self.direct = is_direct(to, scale)
        self.kind = score_type(to, self.direct, scale)

    @property
    def guarded(self) -> bool:
        """Whether masked keys must be kept from being a row's largest."""
        return self.mask is not None and not self.direct

    def query(self, dense: Dense, x: str) -> str:
        """Queries (T, H, K) in the type of ``<layer>/query``.

        Guarded, each head has one more feature, a negative constant that meets the masked
        keys' bit.
        """
        to = self.to
        if self.guarded:
            heads, size = dense.features
            floor = 1 << max(0, to.type(f"{to.layer}/query").integer - 1 + dense.bias_frac)
            weight = dense.weight.reshape(heads, size, -1)
            bias = dense.bias.reshape(heads, size)
            dense = replace(
                dense,
                weight=np.pad(weight, ((0, 0), (0, 1), (0, 0))).reshape(heads * (size + 1), -1),
                bias=np.pad(bias, ((0, 0), (0, 1)), constant_values=-floor).ravel(),
                features=(heads, size + 1),
            )
        return to.point(dense, x, point="query")

    def key(self, keys: str, query: str) -> str:
        """Keys (S, H, K); guarded, masked ones are zero but for the bit that lowers their score."""
        to = self.to
        if not self.guarded or self.mask is None:
            return keys
        heads = to.value(keys).shape[1]
        kept = to.add(Mul(), keys, self._bits(1), point="key_masked")
        reach = max(self.kind.integer - self.kind.signed, 1 - self.kind.frac)
        power = max(reach - self._floor(query), -to.value(keys).fixed.frac)
        absent = Dense(
            np.full((heads, 1), -1), -power, np.ones(heads, np.int64), -power, (heads, 1)
        )
        flag = to.add(absent, self.mask, point="key_absent")
        return to.add(Concat(), kept, flag, point="key_guarded")

    def context(self, query: str, keys: str, values: str, row: str | None = None) -> str:
        """Contexts (T, H, V), uncast.

        Errors: those of ``exponential`` in the weights, those of ``divide`` in the quotient; with
        other shares, those of ``clipped`` or ``codes``. A row without a key that counts gives exact
        zeros.

        Parameters
        ----------
        query, keys : str
            (T, H, K) and (S, H or 1, K).
        values : str
            (S, H, V).
        row : str, optional
            Constants of the rows (T, H, 1), which cancel unless the table is direct.
        """
        to = self.to
        score = to.add(MatMul("features"), query, keys, point="score/exact")
        if row is not None and self.direct:
            score = to.add(Add(), score, row, point="score/row")
        if self.causal and not self.direct:
            score = hide_future(to, score, self.kind)
        return self.weigh(to.cast_to(score, self.kind, "score"), values)

    def weigh(self, score: str, values: str) -> str:
        """Contexts (T, H, V) from scores (T, H, S) in their type."""
        to = self.to
        if self.shares.kind == "log_sqrt2":
            return self._shifted(score, values)
        weight = exponential(to, score, self.scale, self.direct)
        if self.causal:
            weight = keep_past(to, weight)
        bounds = to.value(values).bounds
        lo, hi = int(bounds[0].min()), int(bounds[1].max())
        if self.shares.kind == "clipped":
            found = clipped(to, weight, self._total(weight), self.shares)
            summed = to.add(MatMul("tokens"), found.weight, self._kept(values), point="weighted")
            lo, hi = found.bounds(lo, hi)
            return divide(to, summed, found.divisor, lo, hi, "context/exact")
        if self.mask is None:
            total = to.add(Reduce("sum", "features"), weight, point="total")
            summed = to.add(MatMul("tokens"), weight, values, point="weighted")
        else:
            summed, total = self._masked_sums(weight, values)
        return divide(to, summed, total, lo, hi, "context/exact")

    def gated(self, context: str, x: str, wg: FloatArray | None, bg: FloatArray | None) -> str:
        """Contexts times their heads' gates ``sigmoid(x wg + bg)``: a table a head and token.

        Casts at ``<layer>/index`` and ``/gate``, and of the contexts as ``narrow``.
        """
        if wg is None:
            return context
        to = self.to
        dense = to.dense(wg, bg, (wg.shape[1], 1), at="gate_")
        level = to.add(dense, x, point="gate_level")
        gate = Elementwise("sigmoid").expand(to, f"{to.layer}/gate", to.layer, level)
        context = self.narrow(context, LIMITS["context"])
        return to.add(Mul(), context, gate, point="context/gated")

    def narrow(self, context: str, widest: int) -> str:
        """Cast contexts to ``<layer>/context`` where they are wider, or where that is given."""
        to = self.to
        given = to.given(f"{to.layer}/context")
        if given is not None or to.value(context).fixed.width > widest:
            return to.cast(context, "context")
        return context

    def _bits(self, heads: int) -> str:
        """The mask as (S, heads, 1)."""
        mask = self.mask or ""
        if heads not in self.bits:
            ones = Dense(np.ones((heads, 1), np.int64), 0, np.zeros(heads, np.int64), 0, (heads, 1))
            tokens = self.to.value(mask).shape[0]
            op, point = (Reshape((tokens, 1, 1)), "mask") if heads == 1 else (ones, "mask_heads")
            self.bits[heads] = self.to.add(op, mask, point=point)
        return self.bits[heads]

    def _floor(self, query: str) -> int:
        """Log2 of the constant feature's magnitude."""
        x = self.to.value(query)
        return int(-int(x.bounds[0][..., -1].max())).bit_length() - 1 - x.fixed.frac

    def _shifted(self, score: str, values: str) -> str:
        """Contexts by shifts: no product of two tensors, no division."""
        to, bits = self.to, self.shares.bits
        row = Row(score, self.scale, self.direct, bits)
        index, weight = code_weights(to, row)
        if self.causal:
            weight = keep_past(to, weight)
        found = codes(to, row, index, self._total(weight), self.causal)
        return to.add(LogMatMul(bits=bits), found, self._kept(values), point="context/exact")

    def _kept(self, values: str) -> str:
        """Values, zero where a key does not count."""
        if self.mask is None:
            return values
        return self.to.add(Mul(), values, self._bits(1), point="value_masked")

    def _total(self, weight: str) -> str:
        """Sums (T, H, 1) of the weights of keys that count."""
        to = self.to
        if self.mask is None:
            return to.add(Reduce("sum", "features"), weight, point="total")
        ones = self._bits(to.value(weight).shape[1])
        return to.add(MatMul("tokens"), weight, ones, point="total")

    def _masked_sums(self, weight: str, values: str) -> tuple[str, str]:
        """Sums over the keys that count: of weighted values, and of weights as one more column."""
        to = self.to
        kind, size = to.value(values).fixed, to.value(values).shape[2]
        kept = to.add(Mul(), values, self._bits(1), point="value_masked")
        column = to.add(Rescale(-kind.frac), self._bits(to.value(values).shape[1]), point="ones")
        operand = to.add(Concat(), kept, column, point="value_counted")
        sums = to.add(MatMul("tokens"), weight, operand, point="sums")
        summed = to.add(Slice(0, size), sums, point="weighted")
        column = to.add(Slice(size, size + 1), sums, point="counted")
        return summed, to.add(Rescale(kind.frac), column, point="total")
