"""The b-tagging transformer, in floating point or with QKeras quantizers."""

from __future__ import annotations

from typing import Any

from gateformer.quant.datasets.collisions import N_TRACKS
from gateformer.quant.datasets.tracks import FEATURES
from gateformer.quant.train.attention import attention_class, keras
from gateformer.quant.train.recipe import Quantization

BLOCKS = 3
HEADS = 2
KEY_DIM = 32
FFN = 8
HEAD = (32, 16, 8)
CLASSES = 3
"""Sizes of the b-tagging network of Ultra Fast Transformers on FPGAs (arXiv:2402.01047)."""


def build(quantization: Quantization | None, score_limit: float) -> Any:
    """Return the untrained network, [n, 15, 6] -> softmax [n, 3].

    Three blocks of attention and a feed-forward pair, each around a residual sum and without
    normalization, then a dense head over all tracks.  Where `quantization` is None nothing is
    quantized; the weights are the same in number, shape and order.
    """
    layers = keras().layers
    attention = attention_class()
    import qkeras

    def signed(kind: str, symmetric: int) -> Any:
        bits, integer = _type(quantization, kind)
        return qkeras.quantized_bits(bits, integer, symmetric=symmetric, alpha=1)

    def weights() -> dict[str, Any]:
        if quantization is None:
            return {}
        return {name: signed("weight", 1) for name in ("kernel_quantizer", "bias_quantizer")}

    def dense(units: int, name: str, relu: bool) -> Any:
        activation: Any = "relu" if relu else None
        if relu and quantization is not None:
            activation = qkeras.quantized_relu(*_type(quantization, "relu"))
        return qkeras.QDense(units, activation=activation, name=name, **weights())

    def cast(x: Any, kind: str, name: str) -> Any:
        return x if quantization is None else qkeras.QActivation(signed(kind, 0), name=name)(x)

    tracks = layers.Input((N_TRACKS, len(FEATURES)), name="tracks")
    x = cast(tracks, "input", "tracks_cast")
    for block in (f"block{i + 1}" for i in range(BLOCKS)):
        mixed = attention(
            HEADS, KEY_DIM, score_limit=score_limit, name=f"{block}_attention", **weights()
        )(x, value=x)
        x = layers.Add(name=f"{block}_attention_sum")([mixed, x])
        x = cast(x, "activation", f"{block}_attention_cast")
        hidden = dense(FFN, f"{block}_ffn_up", relu=True)(x)
        hidden = dense(len(FEATURES), f"{block}_ffn_down", relu=False)(hidden)
        x = layers.Add(name=f"{block}_ffn_sum")([hidden, x])
        x = cast(x, "activation", f"{block}_ffn_cast")
    x = layers.Flatten(name="flatten")(x)
    for i, units in enumerate(HEAD):
        x = dense(units, f"head{i + 1}", relu=True)(x)
    x = dense(CLASSES, "logits", relu=False)(x)
    flavour = layers.Activation("softmax", name="flavour")(x)
    return keras().Model(tracks, flavour, name="btag")


def _type(quantization: Quantization | None, kind: str) -> tuple[int, int]:
    """Return total and integer bits of one kind of number."""
    return getattr(quantization, f"{kind}_bits"), getattr(quantization, f"{kind}_integer")
