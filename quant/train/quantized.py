"""Layers with the quantizers of a recipe, or with none: what the networks are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateformer.quant.train.attention import attention_class, keras
from gateformer.quant.train.recipe import Quantization


@dataclass(frozen=True, slots=True)
class Quantized:
    """Makes Keras layers; the weights are the same in number, shape and order either way.

    Attributes
    ----------
    quantization:
        Bits of the numbers; None quantizes nothing.
    """

    quantization: Quantization | None

    def cast(self, x: Any, kind: str, name: str) -> Any:
        """Return `x` rounded to the recipe's type of one kind of number."""
        if self.quantization is None:
            return x
        import qkeras

        return qkeras.QActivation(self._bits(kind, 0), name=name)(x)

    def dense(self, units: int, name: str, relu: bool = False) -> Any:
        """Return a dense layer, with a rectifier on request."""
        keras()
        import qkeras

        activation: Any = "relu" if relu else None
        if relu and self.quantization is not None:
            activation = qkeras.quantized_relu(*self._type("relu"))
        return qkeras.QDense(units, activation=activation, name=name, **self._weights())

    def attention(self, heads: int, key_dim: int, score_limit: float, name: str) -> Any:
        """Return an attention layer whose scores are penalized beyond `score_limit`."""
        return attention_class()(
            heads, key_dim, score_limit=score_limit, name=name, **self._weights()
        )

    def _weights(self) -> dict[str, Any]:
        if self.quantization is None:
            return {}
        return {name: self._bits("weight", 1) for name in ("kernel_quantizer", "bias_quantizer")}

    def _bits(self, kind: str, symmetric: int) -> Any:
        import qkeras

        bits, integer = self._type(kind)
        return qkeras.quantized_bits(bits, integer, symmetric=symmetric, alpha=1)

    def _type(self, kind: str) -> tuple[int, int]:
        """Return total and integer bits of one kind of number."""
        found = self.quantization
        return getattr(found, f"{kind}_bits"), getattr(found, f"{kind}_integer")
