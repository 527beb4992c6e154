"""Train and save HGQ2's models and their own predictions: ``make hgq2-goldens`` runs this.

HGQ2 and QKeras cannot share an environment, so this runs in one of its own (keras, hgq2, torch and
scikit-learn) and what it writes is checked in: ``<name>.keras`` and ``<name>.npz`` with the input,
``x``, and every layer's output under the layer's name.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from hgq.config import LayerConfigScope, QuantizerConfig, QuantizerConfigScope
from hgq.layers import (
    QAdd,
    QAveragePow2,
    QBatchNormalization,
    QBatchNormDense,
    QDense,
    QEinsum,
    QEinsumDense,
    QGlobalAveragePooling1D,
    QGlobalMaxPooling1D,
    QMaximum,
    QMeanPow2,
    QMinimum,
    QMultiHeadAttention,
    QMultiply,
    QSoftmax,
    QSubtract,
    QSum,
    Quantizer,
    QUnaryFunctionLUT,
)
from hgq.utils import trace_minmax
from sklearn.datasets import load_digits

FRAMES = 360
"""Test images of a digits model; they are the last ones of the set."""

SMALL = 64
"""Frames of the other models."""


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images as 8 tokens of 8 pixels in 0..1, sixteenths; and labels."""
    found = load_digits()
    return (found.images / 16.0).astype(np.float32), found.target


def block(x: object, number: int, norm: bool) -> object:
    """Attention and a feed-forward pair, each with its residual sum."""
    a = QMultiHeadAttention(2, 8, fuse="qkv", name=f"attention{number}")(x, x)
    x = QAdd(name=f"mixed{number}")([x, a])
    if norm:
        x = QBatchNormalization(name=f"norm{number}")(x)
    h = QDense(32, activation="relu", name=f"wide{number}")(x)
    h = QDense(16, name=f"narrow{number}")(h)
    return QAdd(name=f"out{number}")([x, h])


def encoder(blocks: int, norm: bool = False) -> keras.Model:
    """An encoder of 8 tokens x 8 features, width 16, 2 heads of 8."""
    inputs = keras.Input((8, 8), name="x")
    x = QDense(16, activation="relu", name="embed")(inputs)
    for number in range(1, blocks + 1):
        x = block(x, number, norm)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(inputs, QDense(10, name="head")(x), name="encoder")


def trained(model: keras.Model, epochs: int) -> keras.Model:
    """Fit to the digits and trace the ranges on what it was fitted to."""
    x, y = digits()
    x, y = x[:-FRAMES], y[:-FRAMES]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(4e-3), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    trace_minmax(model, x)
    return model


def encoder_each() -> tuple[keras.Model, np.ndarray]:
    """Two blocks; every element of every token has a width of its own, as HGQ2 does by default."""
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", b0=6),
        LayerConfigScope(beta0=3e-6),
    ):
        return trained(encoder(2), 16), digits()[0][-FRAMES:]


def encoder_shared() -> tuple[keras.Model, np.ndarray]:
    """One block; widths differ between features and are the same for all tokens."""
    with (
        QuantizerConfigScope(place="all", default_q_type="kif", f0=5),
        QuantizerConfigScope(place="datalane", default_q_type="kif", f0=5, homogeneous_axis=(0, 1)),
        LayerConfigScope(beta0=1e-6),
    ):
        return trained(encoder(1, norm=True), 20), digits()[0][-FRAMES:]


def _varied(model: keras.Model, seed: int) -> None:
    """Move every quantizer's bits at random, so that no two elements need be alike."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        for letter in ("_b", "_f"):
            bits = getattr(layer, letter, None)
            if bits is not None and hasattr(layer, "_k"):
                moved = np.asarray(bits) + rng.integers(-3, 3, bits.shape)
                bits.assign(np.maximum(moved, 0) if letter == "_b" else moved)


def _settled(model: keras.Model, x: np.ndarray, seed: int) -> tuple[keras.Model, np.ndarray]:
    for variable in model.trainable_variables:
        if variable.name in ("bias", "bn_beta", "beta"):
            variable.assign(np.random.default_rng(seed).normal(0, 0.3, variable.shape))
    _varied(model, seed)
    trace_minmax(model, x)
    return model, x


def _inputs(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).integers(-160, 160, (SMALL, *shape)) / 64).astype("f")


def merges() -> tuple[keras.Model, np.ndarray]:
    """Every merge, sums and pools; widths by element, some of them zero."""
    with QuantizerConfigScope(place="all", default_q_type="kif", f0=3):
        inputs = keras.Input((4, 6), name="x")
        a = QDense(6, name="a")(inputs)
        b = QDense(6, activation="relu", name="b")(inputs)
        c = QMultiply(name="product")([a, b])
        d = QSubtract(name="difference")([c, a])
        e = QMaximum(name="larger")([d, b])
        f = QMinimum(name="smaller")([e, a])
        g = QAveragePow2(name="mean")([e, f, a, b])
        h = QAdd(name="sum", enable_oq=True)([g, a, c])
        tops = QGlobalMaxPooling1D(name="tops")(h)
        middle = QGlobalAveragePooling1D(name="middle")(h)
        totals = QSum(axes=-1, scale=0.25, name="totals")(h)
        means = QMeanPow2(axes=1, name="means")(h)
        model = keras.Model(inputs, [tops, middle, totals, means], name="merges")
    return _settled(model, _inputs((4, 6), 3), 3)


def saturated() -> tuple[keras.Model, np.ndarray]:
    """Saturating quantizers of both kinds, every rounding, tables and a softmax."""
    conf = QuantizerConfig
    with QuantizerConfigScope(place="all", default_q_type="kbi", b0=5, i0=1):
        inputs = keras.Input((4, 6), name="x")
        x = Quantizer(
            conf("kif", "datalane", i0=1, f0=3, overflow_mode="SAT", round_mode="RND_CONV"),
            name="held",
        )(inputs)
        x = QEinsumDense(
            "bti,ihk->bthk",
            (4, 2, 4),
            bias_axes="hk",
            iq_conf=conf("kbi", "datalane", round_mode="TRN", overflow_mode="SAT"),
            name="split",
        )(x)
        x = keras.layers.Reshape((4, 8), name="flat")(x)
        x = QUnaryFunctionLUT(
            "tanh", iq_conf=conf("kbi", "datalane", b0=6, i0=2, overflow_mode="SAT"), name="bent"
        )(x)
        x = QDense(5, iq_conf=conf("kif", "datalane", heterogeneous_axis=(), homogeneous_axis=None,
                                   overflow_mode="SAT_SYM"), name="dense")(x)  # fmt: skip
        x = QSoftmax(enable_iq=True, name="shares", enable_oq=True)(x)
        model = keras.Model(inputs, x, name="saturated")
    return _settled(model, _inputs((4, 6), 5), 5)


def normalized() -> tuple[keras.Model, np.ndarray]:
    """Batch normalization with statistics that are not the initial ones, and inside a dense."""
    with QuantizerConfigScope(place="all", default_q_type="kbi"):
        inputs = keras.Input((6,), name="x")
        x = QBatchNormalization(name="norm")(inputs)
        x = QBatchNormDense(7, activation="relu", name="fused")(x)
        x = QBatchNormalization(center=False, scale=False, name="plain")(x)
        model = keras.Model(inputs, x, name="normalized")
    rng = np.random.default_rng(7)
    for variable in model.non_trainable_variables:
        if variable.name.startswith("moving"):
            variable.assign(rng.uniform(0.3, 2.0, variable.shape))
    return _settled(model, _inputs((6,), 7), 7)


def attention_plain() -> tuple[keras.Model, np.ndarray]:
    """Cross attention with input quantizers of their own and another value size."""
    with QuantizerConfigScope(place="all", default_q_type="kif", f0=4):
        x = keras.Input((3, 5), name="x")
        y = keras.Input((4, 6), name="y")
        mixed = QMultiHeadAttention(3, 2, value_dim=3, output_shape=5, name="mixed")(x, y)
        model = keras.Model([x, y], mixed, name="cross")
    return _settled(model, [_inputs((3, 5), 9), _inputs((4, 6), 11)], 9)


def causal() -> tuple[keras.Model, np.ndarray]:
    """Self attention in which a token sees itself and those before it."""
    with QuantizerConfigScope(place="all", default_q_type="kif", f0=4):
        inputs = keras.Input((5, 6), name="x")
        mixed = QMultiHeadAttention(2, 3, fuse="kv", name="mixed")(
            inputs, inputs, use_causal_mask=True
        )
        model = keras.Model(inputs, mixed, name="causal")
    return _settled(model, _inputs((5, 6), 15), 15)


def einsums() -> tuple[keras.Model, np.ndarray]:
    """Attention written by hand, with heads and without."""
    with QuantizerConfigScope(place="all", default_q_type="kif", f0=3):
        inputs = keras.Input((4, 6), name="x")
        score = QEinsum("bik,bjk->bij", name="score")([inputs, QDense(6, name="key")(inputs)])
        share = QSoftmax(name="share", enable_oq=True)(score)
        one = QEinsum("...ij,...jk->...ik", name="one")([share, inputs])
        heads = keras.layers.Reshape((4, 2, 3), name="heads")(one)
        score = QEinsum("bthk,bshk->bths", name="scores")([heads, heads])
        many = QEinsum("bths,bshk->bthk", name="many")([score, heads])
        model = keras.Model(inputs, keras.layers.Reshape((4, 6), name="flat")(many), name="einsums")
    return _settled(model, _inputs((4, 6), 13), 13)


MODELS: dict[str, Callable[[], tuple[keras.Model, np.ndarray]]] = {
    f.__name__: f
    for f in (
        encoder_each,
        encoder_shared,
        merges,
        saturated,
        normalized,
        attention_plain,
        einsums,
        causal,
    )
}


def save(model: keras.Model, x: object, folder: Path, name: str) -> None:
    """Write the model, compressed and without dates, and what it predicts."""
    model.save(folder / f"{name}.keras")
    with zipfile.ZipFile(folder / f"{name}.keras") as found:
        parts = {item.filename: found.read(item) for item in found.infolist()}
    with zipfile.ZipFile(folder / f"{name}.keras", "w", zipfile.ZIP_DEFLATED) as packed:
        for part, content in parts.items():
            packed.writestr(zipfile.ZipInfo(part), content, zipfile.ZIP_DEFLATED)
    again = keras.models.load_model(folder / f"{name}.keras")
    layers = [layer for layer in again.layers if not isinstance(layer, keras.layers.InputLayer)]
    tapped = keras.Model(again.inputs, [layer.output for layer in layers])
    values = tapped.predict(x, batch_size=len(x[0]) if isinstance(x, list) else len(x), verbose=0)
    values = values if len(layers) > 1 else [values]
    named = dict(zip((layer.name for layer in layers), values, strict=True))
    arrays = x if isinstance(x, list) else [x]
    inputs = {tensor.name: array for tensor, array in zip(again.inputs, arrays, strict=True)}
    kept = {n: np.asarray(v) for n, v in named.items()}
    if name.startswith("encoder"):
        kept = {n: v if n == "head" else v[:8] for n, v in kept.items()}
        accuracy = (kept["head"].argmax(-1) == digits()[1][-FRAMES:]).mean()
        print(f"{name}: test accuracy {accuracy:.4f}")
    np.savez_compressed(folder / f"{name}.npz", **inputs, **kept)


def main(folder: Path, names: list[str]) -> None:
    """Make the models named, or all."""
    torch.set_num_threads(1)
    for name in names or MODELS:
        keras.utils.set_random_seed(1)
        save(*MODELS[name](), folder, name)


if __name__ == "__main__":
    main(Path(__file__).parent, sys.argv[1:])
