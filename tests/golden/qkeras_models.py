"""Make golden files with tensorflow, QKeras and Keras 2; run as a program, writes into argv[1].

``quantizers.npz`` holds each quantizer's own results, ``<model>.h5``, ``<model>.keras`` and
``<model>.npz`` a model in both formats with inputs and its own predictions.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import qkeras
from tensorflow import keras

L = keras.layers

ACTIVATIONS = [
    "quantized_bits(8)",
    "quantized_bits(8,2)",
    "quantized_bits(8,2,1)",
    "quantized_bits(6,0,0,keep_negative=False)",
    "quantized_bits(6,3,1,alpha=1)",
    "quantized_bits(6,3,1,alpha=1.0)",
    "quantized_bits(1)",
    "quantized_bits(1,0,0,keep_negative=False)",
    "quantized_bits(2,1)",
    "quantized_bits(12,4,1)",
    "quantized_bits(4,6)",
    "quantized_bits(8,2,1,use_stochastic_rounding=True)",
    "quantized_relu(8)",
    "quantized_relu(8,2)",
    "quantized_relu(4,4)",
    "quantized_relu(1,1)",
    "quantized_relu(3,5)",
    "quantized_relu(11,7)",
    "quantized_relu(8,2,1)",
    "quantized_relu(4,0,1)",
    "quantized_relu(8,2,0,0.25)",
    "quantized_relu(6,3,negative_slope=0.0625)",
    "quantized_relu(4,1,0,0.5)",
    "quantized_relu(8,3,relu_upper_bound=6.0,is_quantized_clip=False)",
    "quantized_relu(8,3,relu_upper_bound=6.0)",
    "quantized_tanh(8)",
    "quantized_tanh(4,symmetric=True)",
    "quantized_tanh(6,use_real_tanh=True)",
    "quantized_tanh(10,symmetric=True,use_real_tanh=True)",
    "quantized_sigmoid(8)",
    "quantized_sigmoid(3)",
    "quantized_sigmoid(4,True)",
    "quantized_sigmoid(6,use_real_sigmoid=True)",
    "quantized_sigmoid(8,symmetric=True,use_real_sigmoid=True)",
    "quantized_po2(3)",
    "quantized_po2(4)",
    "quantized_po2(4,2)",
    "quantized_po2(4,max_value=4)",
    "quantized_po2(5,quadratic_approximation=True)",
    "quantized_po2(4,log2_rounding='floor')",
    "quantized_relu_po2(3)",
    "quantized_relu_po2(4,4)",
    "quantized_relu_po2(4,negative_slope=0.5)",
    "quantized_relu_po2(5,quadratic_approximation=True)",
    "quantized_relu_po2(4,log2_rounding='floor')",
    "quantized_ulaw(6)",
    "quantized_hswish(8,2)",
    "quantized_hswish(6,3,1)",
    "binary",
    "binary()",
    "binary(use_01=True)",
    "ternary",
    "ternary(threshold=0.5)",
    "hard_sigmoid",
    "smooth_sigmoid",
    "hard_tanh",
    "smooth_tanh",
    "binary_tanh",
    "binary_sigmoid",
]

SCALED = [
    "quantized_bits(6,2,alpha=2.0)",
    "quantized_bits(6,2,alpha=0.25)",
    "binary(alpha=0.5)",
    "ternary(alpha=2.0,threshold=0.25)",
]
"""Scales whose straight-through estimator may miss the quantizer's own value by one ulp."""

WEIGHTS = [
    "quantized_bits(4,0,alpha='auto_po2')",
    "quantized_bits(6,1,alpha='auto_po2')",
    "quantized_bits(8,0,1,alpha='auto_po2')",
    "quantized_bits(4)",
    "binary(alpha='auto_po2')",
    "binary",
    "binary(use_01=True,alpha='auto_po2')",
    "ternary(alpha='auto_po2')",
    "ternary",
    "quantized_po2(4,1)",
    "quantized_relu_po2(4,1)",
    "quantized_bits(8,2,1,alpha=1)",
]


def sweep() -> np.ndarray:
    """Every step and tie of small types, random numbers of few bits, extremes."""
    rng = np.random.default_rng(5)
    parts = [
        np.arange(-1300, 1301) / 128.0,
        np.arange(-260, 261) / 2.0,
        np.arange(-80, 81) / 4096.0,
        rng.integers(-(1 << 19), 1 << 19, 6000) / 2.0**16,
        rng.integers(-(1 << 19), 1 << 19, 2000) / 2.0**20,
        [0.0, -0.0, 1e4, -1e4, 2.0**20, -(2.0**20), 2.0**-30, -(2.0**-30), 1e-7, 0.33, -0.33],
        2.0 ** np.arange(-20, 20),
        -(2.0 ** np.arange(-20, 20)),
        rng.normal(0, 2, 4000),
    ]
    return np.concatenate([np.asarray(p, np.float32) for p in parts])


def quantizers(out: Path) -> None:
    """Results of every quantizer on the sweep, and of weight quantizers on kernels."""
    rng = np.random.default_rng(6)
    x = sweep()
    held: dict[str, np.ndarray] = {"x": x}
    for text in ACTIVATIONS + SCALED:
        held[f"activation {text}"] = np.asarray(qkeras.get_quantizer(text)(x))
    kernels = {
        "normal": rng.normal(0, 0.5, (7, 5)),
        "small": rng.normal(0, 0.01, (16, 3)),
        "wide": rng.normal(0, 3, (6, 2, 4)) * [0.1, 1, 4, 0.3],
        "zeros": np.concatenate([np.zeros((4, 1)), rng.normal(0, 1, (4, 2))], 1),
    }
    for name, kernel in kernels.items():
        w = kernel.astype(np.float32)
        held[f"kernel {name}"] = w
        for text in WEIGHTS:
            quantizer = qkeras.get_quantizer(text)
            quantizer._set_trainable_parameter()
            held[f"weights {name} {text}"] = np.asarray(quantizer(w))
    np.savez(out / "quantizers.npz", **held)


def dyadic(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of 8 bits with 5 fraction bits."""
    return (rng.integers(-128, 128, shape) / 32.0).astype(np.float32)


def q(bits: int = 6, integer: int = 1) -> Any:
    """Weights of few bits with a fixed scale."""
    return qkeras.quantized_bits(bits, integer, 1, alpha=1)


def dense_chain() -> Any:
    """QDense layers with every kind of activation; all sums are exact in float32."""
    x = keras.Input((5, 4), name="x")
    y = qkeras.QDense(6, kernel_quantizer=q(), bias_quantizer=q(), name="first")(x)
    y = qkeras.QActivation("quantized_bits(8,3,1)", name="cut")(y)
    y = qkeras.QDense(
        7,
        kernel_quantizer=q(4, 0),
        bias_quantizer=q(4, 0),
        activation="quantized_relu(7,3)",
        name="mid",
    )(y)
    y = L.Dropout(0.5, name="drop")(y)
    z = qkeras.QDense(7, kernel_quantizer="ternary(alpha=1)", use_bias=False, name="tern")(y)
    y = L.Add(name="sum")([y, z])
    y = L.Flatten(name="flat")(y)
    y = qkeras.QDense(
        3,
        kernel_quantizer=q(4, 0),
        bias_quantizer=q(4, 0),
        activation="quantized_tanh(6)",
        name="last",
    )(y)
    return keras.Model(x, y)


def shared() -> Any:
    """A nested model used twice, a shared layer, two inputs and two outputs."""
    a, b = keras.Input((5, 4), name="a"), keras.Input((5, 4), name="b")
    inner_in = keras.Input((5, 4), name="inner_in")
    inner_mid = qkeras.QDense(4, kernel_quantizer=q(), bias_quantizer=q(), name="dense")(inner_in)
    inner_out = qkeras.QActivation("quantized_bits(8,3,1)", name="act")(inner_mid)
    inner = keras.Model(inner_in, inner_out, name="inner")
    chain = keras.Sequential(
        [keras.Input((5, 4)), qkeras.QDense(4, kernel_quantizer=q(), name="dense")], name="chain"
    )
    twice = qkeras.QDense(4, kernel_quantizer=q(5), bias_quantizer=q(5), name="dense")
    y = inner(inner(a))
    y = L.Subtract(name="gap")([twice(y), twice(b)])
    u = L.Concatenate(name="join")([chain(b), a])
    return keras.Model([a, b], [y, u])


def transformer() -> Any:
    """Attention blocks with everything that Keras 2 and QKeras put around them."""
    x = keras.Input((6, 4), name="x")
    y = qkeras.QDense(8, kernel_quantizer=q(8, 2), bias_quantizer=q(8, 2), name="embed")(x)
    y = L.Activation("gelu", name="gelu")(y)
    a = L.MultiHeadAttention(2, 5, value_dim=3, name="self")(y, y, use_causal_mask=True)
    y = L.Add(name="skip")([y, a])
    y = L.LayerNormalization(name="norm")(y)
    c = L.MultiHeadAttention(3, 4, use_bias=False, output_shape=5, name="cross")(y, x)
    y = L.Concatenate(name="join")([y, c])
    y = L.EinsumDense("abc,cd->abd", output_shape=(None, 6), bias_axes="d", name="einsum")(y)
    y = qkeras.QBatchNormalization(name="qbn")(y)
    y = L.LeakyReLU(name="leaky")(y)
    y = L.BatchNormalization(name="bn")(y)
    y = L.ReLU(max_value=3.0, negative_slope=0.25, threshold=0.5, name="relu")(y)
    y = (y * 2.0 - 1.0) + L.Permute((1, 2), name="same")(y)
    p = L.GlobalAveragePooling1D(name="mean")(y)
    m = L.GlobalMaxPooling1D(name="max")(L.ELU(name="elu")(y))
    y = L.Multiply(name="both")([p, m])
    y = L.Rescaling(0.5, offset=1.0, name="scale")(y)
    y = L.Dense(4, activation="hard_sigmoid", name="hard")(y)
    y = L.Dense(4, activation="swish", name="silu")(y)
    return keras.Model(x, L.Dense(3, activation="softmax", name="out")(y))


def masked() -> Any:
    """A Masking layer on an input; attention and pooling leave padded tokens out."""
    x = keras.Input((6, 4), name="x")
    y = L.Masking(name="masking")(x)
    y = L.Dense(5, name="embed")(y)
    a = L.MultiHeadAttention(2, 3, name="attention")(y, y)
    y = L.Add(name="skip")([y, a])
    y = L.GlobalAveragePooling1D(name="mean")(y)
    return keras.Model(x, L.Dense(2, name="out")(y))


def tokens() -> Any:
    """Embedding of indices."""
    x = keras.Input((7,), name="ids")
    y = L.Embedding(11, 4, name="table")(x)
    y = L.Dense(3, activation="tanh", name="tanh")(y)
    y = L.Reshape((21,), name="row")(y)
    return keras.Model(x, L.Dense(2, activation="sigmoid", name="out")(y))


def scramble(model: Any, rng: np.random.Generator, exact: bool) -> None:
    """Give every weight a value that tells it apart from all others."""
    fresh = []
    for weight in model.weights:
        name = getattr(weight, "path", weight.name)
        value = dyadic(rng, tuple(weight.shape)) / 4 if exact else rng.normal(0, 0.5, weight.shape)
        fresh.append(np.abs(value) + 0.5 if "variance" in name else value)
    model.set_weights(fresh)


def models(out: Path, makers: list[Callable[[], Any]], exact: set[str]) -> None:
    """Save every model in both formats, with inputs and predictions."""
    rng = np.random.default_rng(7)
    for make in makers:
        keras.backend.clear_session()
        model = make()
        name = make.__name__
        scramble(model, rng, name in exact)
        data = {}
        for i in model.inputs:
            shape = (8, *i.shape[1:])
            data[i.name.split(":")[0]] = dyadic(rng, shape)
        if name == "tokens":
            data["ids"] = rng.integers(0, 11, (8, 7)).astype(np.float32)
        if name == "masked":
            data["x"] = np.where(
                np.arange(6)[:, None] < rng.integers(1, 7, (8, 1, 1)), data["x"], 0
            )
        given = list(data.values())
        found = model.predict(given if len(given) > 1 else given[0], verbose=0)
        found = found if isinstance(found, list) else [found]
        results = {f"output {n}": np.asarray(y) for n, y in enumerate(found)}
        np.savez(out / f"{name}.npz", **{f"input {k}": v for k, v in data.items()}, **results)
        model.save(out / f"{name}.h5")
        model.save(out / f"{name}.keras")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    quantizers(folder)
    models(
        folder,
        [dense_chain, shared, transformer, masked, tokens],
        {"dense_chain", "shared"},
    )
