"""The b-tagging transformer, in floating point or with QKeras quantizers."""

from __future__ import annotations

from typing import Any

from gateformer.quant.datasets.collisions import N_TRACKS
from gateformer.quant.datasets.tracks import FEATURES
from gateformer.quant.train.attention import keras
from gateformer.quant.train.quantized import Quantized
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
    make = Quantized(quantization)
    tracks = layers.Input((N_TRACKS, len(FEATURES)), name="tracks")
    x = make.cast(tracks, "input", "tracks_cast")
    for name in (f"block{i + 1}" for i in range(BLOCKS)):
        x = block(make, x, name, (HEADS, KEY_DIM, FFN, len(FEATURES)), score_limit)
    x = layers.Flatten(name="flatten")(x)
    for i, units in enumerate(HEAD):
        x = make.dense(units, f"head{i + 1}", relu=True)(x)
    x = make.dense(CLASSES, "logits")(x)
    flavour = layers.Activation("softmax", name="flavour")(x)
    return keras().Model(tracks, flavour, name="btag")


def block(
    make: Quantized, x: Any, name: str, sizes: tuple[int, int, int, int], score_limit: float
) -> Any:
    """Return attention and a feed-forward pair on `x`, each around a residual sum.

    `sizes` are the heads, features a head, features between the pair and features of `x`.
    """
    layers = keras().layers
    heads, key_dim, ffn, width = sizes
    mixed = make.attention(heads, key_dim, score_limit, f"{name}_attention")(x, value=x)
    x = layers.Add(name=f"{name}_attention_sum")([mixed, x])
    x = make.cast(x, "activation", f"{name}_attention_cast")
    hidden = make.dense(ffn, f"{name}_ffn_up", relu=True)(x)
    hidden = make.dense(width, f"{name}_ffn_down")(hidden)
    x = layers.Add(name=f"{name}_ffn_sum")([hidden, x])
    return make.cast(x, "activation", f"{name}_ffn_cast")
