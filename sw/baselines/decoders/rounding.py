"""The weights that a format of few bits keeps, as real numbers: what its runtimes are held to.

Owns ``ROUNDINGS`` and ``rounded``. Imports each format's own quantizer; ``gguf`` where it is used.

A runtime of 4 bits held to float32 weights would be allowed what rounding random weights changes,
half of the largest logit: as much as keys of a wrong head change. Held to a decoder of the very
weights that it stores, it has to explain the rounding of activations alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gateformer.baselines.decoders import onnx_model, openvino_model
from gateformer.baselines.decoders.weights import Array, Parameters, Weights
from gateformer.baselines.work import DecoderWork


@dataclass(frozen=True, slots=True)
class Rounding:
    """What a format makes of a decoder's weights.

    Attributes
    ----------
    matrix : callable
        Returns a matrix's numbers after they were stored.
    table : bool
        Whether the token table is stored as the matrices are.
    """

    matrix: Callable[[Array], Array]
    table: bool = False


@dataclass(frozen=True, slots=True)
class Rounded(Weights):
    """Weights after they were stored; vectors and positions stay as they are.

    Attributes
    ----------
    rounding : Rounding
        What storing them does.
    """

    rounding: Rounding

    def layer(self, index: int) -> Parameters:
        """Return one layer's parameters, as ``Weights.layer`` names them."""
        found = Weights.layer(self, index)
        return {name: self._stored(one) for name, one in found.items()}

    def outside(self) -> Parameters:
        """Return what lies outside of the layers, as ``Weights.outside`` names it."""
        found = Weights.outside(self)
        head = self._stored(found["head"])
        if self.rounding.table:
            tied = self.decoder.tied
            found["tokens"] = head if tied else self._stored(found["tokens"])
        return found | {"head": head}

    def _stored(self, one: Array) -> Array:
        return self.rounding.matrix(one) if one.ndim == 2 else one


def rounded(work: DecoderWork) -> Weights:
    """Return the weights of a work as ``work.weights`` says that they are stored."""
    whole = Weights(work.decoder, work.seed)
    return Rounded(work.decoder, work.seed, ROUNDINGS[work.weights]) if work.weights else whole


def _onnx(bits: int) -> Callable[[Array], Array]:
    def stored(rows: Array) -> Array:
        whole, scales = onnx_model.quantized(rows, bits)
        if bits == 4:
            whole = np.stack([whole & 15, whole >> 4], axis=-1).reshape(*scales.shape, -1)
        real = (whole.astype(np.float32) - np.float32(1 << bits - 1)) * scales[..., None]
        return np.asarray(real.reshape(rows.shape), np.float32)

    return stored


def _openvino(bits: int) -> Callable[[Array], Array]:
    def stored(rows: Array) -> Array:
        form = openvino_model.FORMATS[f"int{bits}"]
        whole, scales = openvino_model.quantized(rows, bits, form.storage.block)
        return (whole * scales).reshape(rows.shape)

    return stored


def _gguf(precision: str) -> Callable[[Array], Array]:
    def stored(rows: Array) -> Array:
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize, quantize

        kind = GGMLQuantizationType[precision.upper()]
        return np.asarray(dequantize(quantize(rows, kind), kind), np.float32)

    return stored


ROUNDINGS: Mapping[str, Rounding] = {
    "onnx int8": Rounding(_onnx(8)),
    "onnx int4": Rounding(_onnx(4)),
    "openvino int8": Rounding(_openvino(8)),
    "openvino int4": Rounding(_openvino(4)),
    "gguf q8_0": Rounding(_gguf("q8_0"), table=True),
    "gguf q4_0": Rounding(_gguf("q4_0"), table=True),
}
"""By the name that a candidate's ``weights`` has."""
