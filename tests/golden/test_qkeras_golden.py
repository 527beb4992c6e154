"""QKeras's and Keras 2's own predictions are the golden of every quantizer and layer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand.context import Types
from gateformer.quant.frontends import load
from gateformer.quant.frontends.keras.qkeras import weight_quantizer
from gateformer.quant.frontends.plain_json import Config
from gateformer.quant.lower import lower
from gateformer.quant.types import Fixed

pytestmark = [pytest.mark.tensorflow, pytest.mark.xdist_group("keras2")]

MODELS = Path(__file__).with_name("qkeras_models.py")
EXACT = {"dense_chain", "shared"}
"""Models whose every sum is exact in float32."""

UNQUANTIZED = ("hard_tanh", "smooth_", "hard_sigmoid", "quantized_ulaw")
"""Functions whose values lie on no grid: float32 and float64 differ in the last place."""


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qkeras")
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, str(MODELS), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def activations_file(path: Path, size: int, texts: list[str]) -> Path:
    """Write a model of one QActivation a quantizer, without tensorflow."""
    entry = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, size], "name": "x"}}
    layers: list[object] = [{**entry, "name": "x", "inbound_nodes": []}]
    for number, text in enumerate(texts):
        name = f"q{number}"
        layers.append(
            {
                "class_name": "QActivation",
                "config": {"name": name, "activation": text},
                "name": name,
                "inbound_nodes": [[["x", 0, 0, {}]]],
            }
        )
    config = {
        "name": "all",
        "layers": layers,
        "input_layers": [["x", 0, 0]],
        "output_layers": [[f"q{n}", 0, 0] for n in range(len(texts))],
    }
    with h5py.File(path, "w") as file:
        text = json.dumps({"class_name": "Functional", "config": config})
        file.attrs["model_config"] = text
        file.attrs["keras_version"] = "2.9.0"
        file.create_group("model_weights")
    return path


def test_activation_quantizers_equal_qkeras_bit_for_bit(golden: Path, tmp_path: Path) -> None:
    held = np.load(golden / "quantizers.npz")
    texts = [key.removeprefix("activation ") for key in held if key.startswith("activation ")]
    assert len(texts) > 50
    x = held["x"]
    graph = load(activations_file(tmp_path / "all.h5", x.size, texts))
    found = run_reals(graph, {"x": x[None].astype(np.float64)})
    different = {}
    for number, text in enumerate(texts):
        ours, theirs = found[f"q{number}"][0].astype(np.float32), held[f"activation {text}"]
        bad = (ours != theirs) & (straight_through(x, ours) != theirs)
        if text.startswith(("binary", "ternary")):
            bad &= straight_through(np.tanh(x), ours) != theirs
        if text.startswith(UNQUANTIZED):
            bad &= np.abs(ours - theirs) > 1e-6
        if bad.any():
            at = np.flatnonzero(bad)[:3]
            different[text] = (int(bad.sum()), list(zip(x[at], ours[at], theirs[at], strict=True)))
    assert not different


def straight_through(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """What QKeras makes of a quantizer's value ``q`` in float32: its gradient's ``x + (q - x)``.

    It differs from ``q`` only where ``q`` is far from ``x``: beyond the range, or scaled.
    """
    return x + (q - x)


def test_weight_quantizers_equal_qkeras(golden: Path) -> None:
    held = np.load(golden / "quantizers.npz")
    checked = 0
    for key in held:
        if not key.startswith("weights "):
            continue
        _, kernel, text = key.split(" ", 2)
        quantizer = weight_quantizer(Config({"kernel_quantizer": text}, "d", "QDense"), "kernel")
        assert quantizer is not None
        w = held[f"kernel {kernel}"].astype(np.float64)
        ours, theirs = quantizer(w), held[key].astype(np.float64)
        limit = 2.0**-23 * np.maximum(np.abs(w), np.abs(ours))
        assert (np.abs(ours - theirs) <= limit).all(), key
        assert (np.frexp(np.abs(ours[ours != 0]))[0] * 256 % 1 == 0).all(), key
        checked += 1
    assert checked == 48


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("name", ["dense_chain", "shared", "transformer", "masked", "tokens"])
def test_models_equal_keras(golden: Path, name: str, suffix: str) -> None:
    held = np.load(golden / f"{name}.npz")
    graph = load(golden / f"{name}.{suffix}")
    data = {k.removeprefix("input "): held[k].astype(np.float64) for k in held if "input " in k}
    if name == "masked":
        data["masking/mask"] = (data["x"] != 0).any(-1, keepdims=True).astype(np.float64)
    found = run_reals(graph, data)
    for number, output in enumerate(graph.outputs):
        theirs = held[f"output {number}"].astype(np.float64)
        if name in EXACT:
            np.testing.assert_array_equal(found[output], theirs)
        else:
            np.testing.assert_allclose(found[output], theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", sorted(EXACT))
def test_lowered_integers_equal_keras_bit_for_bit(golden: Path, name: str) -> None:
    held = np.load(golden / f"{name}.npz")
    graph = load(golden / f"{name}.h5")
    kinds = {n: Fixed.parse("fixed<8,3>") for n in graph.inputs}
    lowered = lower(graph, Types(given=kinds, default=Fixed.parse("fixed<32,18>")))
    raw = {n: k.from_real(held[f"input {n}"].astype(np.float64)) for n, k in kinds.items()}
    found = run(lowered, raw)
    for number, output in enumerate(lowered.outputs):
        reals = lowered.values[output].fixed.to_real(found[output])
        np.testing.assert_array_equal(reals, held[f"output {number}"])


@pytest.mark.parametrize(
    "text",
    [
        "binary",
        "binary(use_01=True,alpha=0.5)",
        "ternary",
        "ternary(alpha=2.0,threshold=0.25)",
        "quantized_bits(1)",
        "quantized_relu(6,3,negative_slope=0.0625)",
        "quantized_sigmoid(8)",
    ],
)
def test_quantizers_of_few_nodes_stay_exact_on_wide_operands(text: str, tmp_path: Path) -> None:
    kind = Fixed.parse("fixed<24,8>")
    raw = np.random.default_rng(9).integers(kind.min, kind.max, (1, 4000)) >> np.arange(4000) % 20
    graph = load(activations_file(tmp_path / "m.h5", 4000, [text]))
    lowered = lower(graph, Types(given={"x": kind}, default=Fixed.parse("fixed<40,20>")))
    found = lowered.values["q0"].fixed.to_real(run(lowered, {"x": raw})["q0"])
    np.testing.assert_array_equal(found, run_reals(graph, {"x": kind.to_real(raw)})["q0"])


def test_both_formats_give_the_same_graph(golden: Path) -> None:
    one, two = (load(golden / f"transformer.{suffix}") for suffix in ("h5", "keras"))
    assert list(one.values) == list(two.values)
    assert {"embed", "gelu", "self", "hard/linear", "hard", "out/linear", "out"} <= set(one.values)
