"""Make golden files with tensorflow's own Keras 3; run as a program, writes into argv[1]."""

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

L = keras.layers


def transformer() -> Any:
    """Attention, norms and operators as Keras 3 writes them, with a nested model used twice."""
    x = keras.Input((6, 4), name="x")
    y = L.Dense(8, activation="relu", name="embed")(x)
    a = L.MultiHeadAttention(2, 5, value_dim=3, name="self")(y, y, use_causal_mask=True)
    y = L.Add(name="skip")([y, a])
    y = L.LayerNormalization(name="norm")(y)
    c = L.MultiHeadAttention(3, 4, use_bias=False, output_shape=5, name="cross")(y, x, key=x)
    y = L.Concatenate(name="join")([y, c])
    y = L.EinsumDense("...c,cd->...d", output_shape=6, bias_axes="d", name="einsum")(y)
    inner_in = keras.Input((6, 6), name="inner_in")
    inner_out = L.Dense(6, name="dense", activation="tanh")(inner_in)
    inner = keras.Model(inner_in, inner_out, name="inner")
    chain = keras.Sequential([keras.Input((6, 6)), L.Dense(6, name="dense")], name="chain")
    y = chain(inner(inner(y)))
    y = L.BatchNormalization(name="bn")(y)
    y = keras.ops.relu(1.0 - y * 2.0)
    y = L.RMSNormalization(name="rms")(y)
    p = L.GlobalAveragePooling1D(name="mean")(y)
    m = L.GlobalMaxPooling1D(name="max")(L.ELU(name="elu")(y))
    y = L.Multiply(name="both")([p, m])
    y = L.Dense(4, activation="hard_sigmoid", name="hard")(y)
    y = L.LeakyReLU(negative_slope=0.125, name="leaky")(y)
    y = L.Dense(4, activation="gelu", name="gelu")(y)
    return keras.Model(x, L.Dense(3, activation="softmax", name="out")(y))


def masked() -> Any:
    """A padding mask as a model input, through a Reshape for attention and straight for pooling."""
    x, mask = keras.Input((6, 4), name="x"), keras.Input((6,), name="mask", dtype="bool")
    y = L.Dense(5, name="embed")(x)
    row = L.Reshape((1, 6), name="row")(mask)
    a = L.MultiHeadAttention(2, 3, name="attention")(y, y, attention_mask=row)
    y = L.Add(name="skip")([y, a])
    y = L.GlobalAveragePooling1D(name="mean")(y, mask=mask)
    return keras.Model([x, mask], L.Dense(2, name="out")(y))


def main(out: Path) -> None:
    """Save both models in both formats, with inputs and predictions."""
    rng = np.random.default_rng(8)
    for make in (transformer, masked):
        model = make()
        for weight in model.weights:
            value = rng.normal(0, 0.5, weight.shape)
            weight.assign(np.abs(value) + 0.5 if "variance" in weight.path else value)
        data = {"x": (rng.integers(-128, 128, (8, 6, 4)) / 32.0).astype(np.float32)}
        if make is masked:
            data["mask"] = np.arange(6) < rng.integers(1, 7, (8, 1))
        found = model.predict(list(data.values()) if len(data) > 1 else data["x"], verbose=0)
        saved = {f"input {k}": v for k, v in data.items()}
        np.savez(out / f"{make.__name__}.npz", output=np.asarray(found), **saved)
        model.save(out / f"{make.__name__}.h5")
        model.save(out / f"{make.__name__}.keras")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
