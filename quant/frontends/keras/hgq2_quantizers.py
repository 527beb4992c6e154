"""HGQ2's quantizers: an own type for every element, read from a layer's configuration and weights.

Owns ``Grid`` and ``quantizer``. Meanings follow HGQ2 0.2.0 (hgq.quantizer.internal) and quantizers
1.2.2 at inference: ``k`` is 1 where an element is signed, ``i`` its integer bits without the sign,
``f`` its fraction bits; an element with ``k + i + f <= 0`` is zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.expand import Quantize, QuantizeEach
from gateformer.quant.frontends.keras.blueprint import class_name
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.frontends.plain_json import Config, shorten
from gateformer.quant.ops.base import Composite
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding

ORDERS = {
    ("kbi", "WRAP"): "bki",
    ("kbi", "SAT"): "bik",
    ("kif", "WRAP"): "fki",
    ("kif", "SAT"): "ifk",
}
"""Kind and overflow -> a quantizer's variables in the file: Keras puts the trainable ones first."""

Float32Array = NDArray[np.float32]

MOST_BITS = 60
"""Widest element that is read; float32, in which HGQ2 computes, holds 24."""

FARTHEST = 120
"""Largest power of two, either way, of a step: float32 ends at 2^127."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A quantizer: arrays of one shape.

    Attributes
    ----------
    config : Config
        The layer's configuration, for messages.
    key : str
        Which of its quantizers.
    signed, width, frac : ndarray of int64
        Of each element; width 0 is a constant zero.
    rounding : Rounding
        How steps are rounded.
    overflow : Overflow
        What happens beyond an element's range.
    unbounded : bool
        A weight quantizer that wraps only while it is trained: at inference it rounds alone.
    """

    config: Config
    key: str
    signed: IntArray
    width: IntArray
    frac: IntArray
    rounding: Rounding
    overflow: Overflow
    unbounded: bool

    def weights(self, real: FloatArray) -> FloatArray:
        """Quantized weights, computed in float32 as HGQ2 does.

        Raises
        ------
        ModelError
            E104 where the file's widths do not fit the weights.
        """
        if self.width.shape != real.shape and self.width.size != 1:
            try:
                np.broadcast_to(self.width, real.shape)
            except ValueError:
                cause = f"'{self.key}' has widths of shape {self.width.shape} for {real.shape}"
                raise self.config.error(cause, code="E104") from None
        x = real.astype(np.float32)
        step = np.float32(2.0) ** self.frac.astype(np.float32)
        whole = (self.width - self.signed - self.frac).astype(np.float32)
        top = np.float32(2.0) ** whole
        if self.overflow is not Overflow.WRAP:
            least = top - 1 / step if self.overflow is Overflow.SAT_SYM else top
            x = np.clip(x, -least * self.signed.astype(np.float32), top - 1 / step)
        x = self._round(x * step) / step
        if self.unbounded:
            return x.astype(np.float64)
        if self.overflow is Overflow.WRAP:
            bias = self.signed.astype(np.float32) * top
            x = np.mod(x + bias, top * (1 + self.signed).astype(np.float32)) - bias
        return np.where(self.width > 0, x, 0.0).astype(np.float64)

    def _round(self, x: Float32Array) -> Float32Array:
        if self.rounding is Rounding.TRN:
            return np.floor(x)
        return np.floor(x + np.float32(0.5)) if self.rounding is Rounding.RND else np.rint(x)

    def kind(self) -> Fixed | None:
        """The type that all elements share, or None."""
        same = all(
            array.size and (array == array.flat[0]).all()
            for array in (self.signed, self.width, self.frac)
        )
        if not same or not self.width.flat[0]:
            return None
        return Fixed(bool(self.signed.flat[0]), int(self.width.flat[0]), int(self.frac.flat[0]))

    def op(self, order: tuple[int, ...] | None = None) -> Composite:
        """The quantizer of an activation; ``order`` rearranges its axes, the batch left out.

        Raises
        ------
        ModelError
            E109 for widths that differ between samples, or under symmetric saturation.
        """
        kind = self.kind()
        if kind is not None:
            return Quantize(kind, self.rounding, self.overflow)
        if self.overflow is Overflow.SAT_SYM:
            raise self.config.error(
                f"'{self.key}' saturates symmetrically, with widths that differ",
                "use overflow_mode SAT or WRAP for activations",
                "E109",
            )
        if self.width.shape[0] != 1:
            raise self.config.error(f"'{self.key}' differs from sample to sample", code="E109")
        arrays = [array[0] for array in (self.signed, self.width, self.frac)]
        if order is not None:
            arrays = [np.transpose(array, order) for array in arrays]
        signed, width, frac = (np.ascontiguousarray(array) for array in arrays)
        return QuantizeEach(signed, width, frac, self.rounding, self.overflow)


def quantizer(config: Config, key: str, weights: LayerWeights, path: str) -> Grid:
    """Read a quantizer.

    Parameters
    ----------
    config : Config
        The layer's configuration; ``key`` names the quantizer's (``iq_conf``).
    weights : LayerWeights
        The layer's weights.
    path : str
        Attributes from the layer to the quantizer (``key_dense/iq``).

    Raises
    ------
    ModelError
        E103, E104 for what is malformed or missing, E109 for quantizers without a meaning here.
    """
    inner = _settings(config, key)

    kind = inner.text("q_type")
    if kind not in ("kbi", "kif"):
        raise config.error(f"'{key}' is of type {shorten(kind)}", "use q_type kbi or kif", "E109")
    for name in ("scaler", "affine", "bw_mapper"):
        if inner.get(name) is not None:
            raise config.error(f"'{key}' has a '{name}'", f"leave '{name}' out", "E109")
    modes = inner.text("round_mode").upper().removeprefix("S_"), inner.text("overflow_mode").upper()
    if modes[0] not in Rounding.__members__ or modes[1] not in Overflow.__members__:
        raise config.error(
            f"'{key}' rounds by {modes[0]} and overflows by {modes[1]}",
            "round by TRN, RND or RND_CONV, overflow by WRAP, SAT or SAT_SYM",
            "E109",
        )
    rounding, overflow = Rounding[modes[0]], Overflow[modes[1]]
    order = ORDERS[kind, "WRAP" if overflow is Overflow.WRAP else "SAT"]
    found: dict[str, FloatArray] = {}
    for index, letter in enumerate(order):
        array = weights.at(f"{path}/quantizer", index)
        if array is None or array.size == 0 or not np.isfinite(array).all():
            raise config.error(
                f"the file does not hold the bits of '{key}', or they are not numbers",
                "build the model, trace its ranges and save it as .keras",
                "E104",
            )
        found[letter] = np.rint(array)
    k, whole = found["k"], found["i"]
    if len({array.shape for array in found.values()}) != 1 or not np.isin(k, (0, 1)).all():
        raise config.error(f"the bits of '{key}' do not fit together", code="E112")
    f = found["f"] if kind == "kif" else found["b"] - whole
    live = k + whole + f > 0
    width = np.where(live, k + whole + f, 0)
    if width.max() > MOST_BITS or np.abs(np.where(live, f, 0)).max() > FARTHEST:
        raise config.error(
            f"'{key}' has elements of {int(width.max())} bits, or of steps beyond 2^{FARTHEST}",
            "trace the model's ranges with trace_minmax before saving it",
            "E109",
        )
    free = overflow is Overflow.WRAP and inner.flag("trainable", True) and inner.flag("is_weight")
    return Grid(
        config,
        key,
        np.where(live, k, 0).astype(np.int64),
        width.astype(np.int64),
        np.where(live, f, 0).astype(np.int64),
        rounding,
        overflow,
        free and (kind == "kif" or modes[0] == "RND"),
    )


def _settings(config: Config, key: str) -> Config:
    spec = config.get(key)
    if not isinstance(spec, Mapping) or class_name(spec) not in ("QuantizerConfig", ""):
        raise config.error(f"'{key}' is {shorten(spec)}, not a quantizer's configuration")
    return Config(spec.get("config"), config.layer, config.kind)
