"""Networks that Keras and torch trained in floating point, quantized after training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flows.tiny import Call

from gateformer.quant.expand import Attention
from gateformer.quant.frontends import load


def digits(folder: Path) -> dict[str, Any]:
    """Handwritten digits as eight rows of eight pixels, in data.npz."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x = (images[order] / 16).reshape(-1, 8, 8).astype(np.float32)
    y = labels[order]
    parts = {"x_calib": x[:300], "y_calib": y[:300], "x_test": x[1400:], "y_test": y[1400:]}
    np.savez(folder / "data.npz", **parts)
    return {**parts, "x": x[:1400], "y": y[:1400]}


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_float_keras_network(call: Call, tmp_path: Path, suffix: str) -> None:
    import tf_keras as keras

    keras.utils.set_random_seed(3)
    data, layers = digits(tmp_path), keras.layers
    x = keras.Input((8, 8), name="x")
    h = layers.Dense(16, name="embed")(x)
    n = layers.LayerNormalization(name="norm1")(h)
    h = layers.Add(name="add1")([h, layers.MultiHeadAttention(2, 8, name="attention")(n, n)])
    n = layers.LayerNormalization(name="norm2")(h)
    f = layers.Dense(16, name="down")(layers.Dense(32, activation="gelu", name="up")(n))
    h = layers.Add(name="add2")([h, f])
    h = layers.Flatten(name="flat")(layers.BatchNormalization(name="batch")(h))
    model = keras.Model(x, layers.Dense(10, name="logits")(h))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.legacy.Adam(3e-3), loss)
    model.fit(data["x"], data["y"], epochs=12, batch_size=64, verbose=0)
    model.save(tmp_path / f"float{suffix}")
    accuracy: dict[int, float] = {}
    for bits in (8, 6):
        code, told, said = call(
            "quantize", f"float{suffix}", "--data", "data.npz", "--technique", "repq",
            "--weights", bits, "--activations", bits, "--out", f"q{bits}",
        )  # fmt: skip
        assert code == 0, said
        assert told["bits"]["weights"] == told["bits"]["activations"] == bits
        accuracy[bits] = told["accuracy"]["accuracy_integer"]
        right = model.predict(data["x_test"], verbose=0).argmax(1) == data["y_test"]
        assert abs(told["accuracy"]["accuracy_float"] - right.mean()) < 1e-9
    assert right.mean() > 0.93
    assert accuracy[8] > right.mean() - 0.01 and accuracy[6] > right.mean() - 0.02


@pytest.mark.slow
@pytest.mark.brevitas
@pytest.mark.filterwarnings("default")  # torch warns of its own exporters
@pytest.mark.parametrize("dynamo", [True, False])
def test_a_float_torch_encoder(call: Call, tmp_path: Path, dynamo: bool) -> None:
    import torch

    torch.manual_seed(2)
    torch.set_num_threads(1)
    layer = torch.nn.TransformerEncoderLayer(16, 2, 24, 0.0, "gelu", batch_first=True)
    net = torch.nn.Sequential(
        torch.nn.Linear(5, 16),
        torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        torch.nn.Flatten(),
        torch.nn.Linear(96, 4),
    ).eval()
    x = np.random.default_rng(0).normal(size=(200, 6, 5)).astype(np.float32)
    with torch.no_grad():
        y = net(torch.from_numpy(x)).numpy()
    path = tmp_path / "float.onnx"
    torch.onnx.export(net, (torch.from_numpy(x[:1]),), str(path), dynamo=dynamo, input_names=["x"])
    np.savez(tmp_path / "data.npz", x_calib=x[:100], x_test=x[100:], y_test=y[100:].argmax(1))
    code, told, said = call("quantize", "float.onnx", "--data", "data.npz", "--out", "q")
    assert code == 0, said
    assert told["accuracy"]["accuracy_float"] == 1.0
    assert told["accuracy"]["relative_error"] < 0.06
    assert sum(isinstance(n.op, Attention) for n in load(tmp_path / "q" / "model.json").nodes) == 2
    assert call("estimate", "q")[0] == 0
