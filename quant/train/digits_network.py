"""The digits transformer, in floating point or with QKeras quantizers."""

from __future__ import annotations

from typing import Any

from gateformer.quant.datasets.digits import CLASSES, PIXELS, TOKENS
from gateformer.quant.train.attention import keras
from gateformer.quant.train.network import block
from gateformer.quant.train.quantized import Quantized
from gateformer.quant.train.recipe import Quantization

WIDTH = 6
HEADS = 1
KEY_DIM = 4
FFN = 8
"""Sizes: few enough multipliers for a device without many."""


def build(quantization: Quantization | None, score_limit: float) -> Any:
    """Return the untrained network, [n, 16, 4] -> softmax [n, 10].

    A dense embedding, one block of attention and a feed-forward pair, and a dense layer over all
    tokens.  Where `quantization` is None nothing is quantized; the weights are the same in number,
    shape and order.
    """
    layers = keras().layers
    make = Quantized(quantization)
    pixels = layers.Input((TOKENS, PIXELS), name="pixels")
    x = make.cast(pixels, "input", "pixels_cast")
    x = make.cast(make.dense(WIDTH, "embedding")(x), "activation", "embedding_cast")
    x = block(make, x, "block", (HEADS, KEY_DIM, FFN, WIDTH), score_limit)
    x = layers.Flatten(name="flatten")(x)
    x = make.dense(CLASSES, "logits")(x)
    digit = layers.Activation("softmax", name="digit")(x)
    return keras().Model(pixels, digit, name="digits")
