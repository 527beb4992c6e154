"""Recipes, areas under ROC curves, and a network trained small, saved and read back."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gateformer.quant.datasets import jets
from gateformer.quant.datasets.jets import Jets
from gateformer.quant.errors import ConfigError, GateformerError, Problems
from gateformer.quant.train.attention import keras
from gateformer.quant.train.fitting import load_model, save_model
from gateformer.quant.train.metrics import area, separation
from gateformer.quant.train.qkeras import Sample, quantize_inputs, train
from gateformer.quant.train.recipe import Data, Quantization, Recipe, Training, read

PROJECT = Path(__file__).parents[2] / "fpga_projects" / "btag"
RECIPE = PROJECT / "recipe.toml"
BITS = Quantization(8, 2, 6, 1, 8, 3, 6, 3)

# Recipes


def test_the_shipped_recipe_reads() -> None:
    recipe = read(RECIPE, Data)
    assert recipe.data.test >= 10_000
    assert recipe.quantization.weight_bits <= 8
    assert recipe.quantization.activation_bits <= 8


@pytest.mark.parametrize(
    ("old", "new", "code", "named"),
    [
        ("[training]", "[training]\nepochs = 3", "E001", "epochs"),
        ("[training]", "[extra]\n[training]", "E001", "extra"),
        ("input_bits = 8", "", "E002", "input_bits"),
        ("input_bits = 8", "input_bits = 8.0", "E002", "quantization.input_bits"),
        ("input_bits = 8", "input_bits = true", "E002", "quantization.input_bits"),
        ("input_bits = 8", "input_bits = 1", "E002", "quantization"),
        ("input_bits = 8", "input_bits = ", "E004", "recipe.toml"),
        ("[data]", "data = 3\n[other]", "E001", "other"),
    ],
)
def test_wrong_recipes_are_refused(
    tmp_path: Path, old: str, new: str, code: str, named: str
) -> None:
    text = RECIPE.read_text()
    assert old in text
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(GateformerError) as caught:
        read(path, Data)
    errors = caught.value.errors if isinstance(caught.value, Problems) else [caught.value]
    assert errors[0].code == code
    assert named in str(errors[0])


def test_all_that_is_wrong_with_a_recipe_is_told_at_once(tmp_path: Path) -> None:
    text = RECIPE.read_text()
    for old, new in (
        ("input_bits = 8", "input_bits = true"),
        ("[training]", "[training]\nepochs = 3"),
        ("[data]", "[extra]\n[data]"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(Problems) as caught:
        read(path, Data)
    told = [(error.code, error.layer) for error in caught.value.errors]
    assert told == [
        ("E001", str(path)), ("E002", "quantization.input_bits"), ("E001", "training"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "code", "said"),
    [
        ("float_rate", "inf", "E002", "training.float_rate'. inf is no finite number"),
        ("quantized_rate", "nan", "E002", "training.quantized_rate"),
        ("seed", "99999999999999999999999", "E002", "beyond 64 bits"),
        ("batch", "999999999", "E006", "a batch of 999999999"),
    ],
)
def test_numbers_that_nothing_can_be_computed_with(
    tmp_path: Path, key: str, value: str, code: str, said: str
) -> None:
    text, count = re.subn(f"(?m)^{key} = .*$", f"{key} = {value}", RECIPE.read_text())
    assert count
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(GateformerError, match=f"(?s){code}.*{said}"):
        read(path, Data)


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_training_that_diverges_is_told() -> None:
    from gateformer.quant.train.fitting import fit

    dense = keras().layers.Dense(2, activation="softmax")
    model = keras().Sequential([keras().Input((1,)), dense])
    x, y = np.ones((8, 1), np.float32), np.zeros(8, np.int8)

    def judge(outputs: np.ndarray) -> tuple[float, str]:
        return float(outputs.mean()), ""

    data = iter([(np.full_like(x, np.inf), y)])
    with pytest.raises(ConfigError, match=r"E009 .* 'training.float_rate'.* Lower training.float_"):
        fit(model, data, 4, 1, 2, 0.1, "float_rate", x, judge, lambda line: None)


@pytest.mark.parametrize("module", ["qkeras", "digits"])
@pytest.mark.parametrize("stage", ["float", "quantized"])
def test_each_stage_has_its_epochs_and_its_rate(
    module: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = import_module(f"gateformer.quant.train.{module}")
    given: list[Any] = []
    monkeypatch.setattr(trainer.fitting, "fit", lambda *words: given.extend(words))
    plan = Training(0, 4, 3, 0.3, 5, 0.5, 8.0)
    sample = SimpleNamespace(train=range(9), valid=SimpleNamespace(x=None))
    trainer.fit(None, sample, plan, stage, print)
    _, _, batch, epochs, steps, rate, key, *_ = given
    assert (batch, steps) == (4, 2)
    assert (epochs, rate, key) == {
        "float": (3, 0.3, "float_rate"),
        "quantized": (5, 0.5, "quantized_rate"),
    }[stage]


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="E003"):
        read(tmp_path / "recipe.toml", Data)


# Areas


def test_area_counts_ordered_pairs_and_half_of_the_ties() -> None:
    rng = np.random.default_rng(0)
    score = rng.integers(0, 9, 60).astype(np.float64)
    positive = rng.random(60) < 0.4
    difference = score[positive][:, None] - score[~positive][None, :]
    wanted = ((difference > 0) + (difference == 0) / 2).mean()
    assert area(score, positive) == pytest.approx(wanted)


def test_separation_of_perfect_and_of_constant_outputs() -> None:
    y = np.array([0, 1, 2, 2, 1, 0], np.int8)
    perfect = separation(np.eye(3, dtype=np.float32)[y], y)
    chance = separation(np.full((6, 3), 1 / 3, np.float32), y)
    assert (perfect.b_light, perfect.b_charm, perfect.macro) == (1.0, 1.0, 1.0)
    assert (chance.b_light, chance.b_charm, chance.macro) == (0.5, 0.5, 0.5)


# Training


def toy(n: int, seed: int) -> Jets:
    """Jets whose class shifts the first feature."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n).astype(np.int8)
    x = np.clip(rng.normal(size=(n, 15, 6)), -3.9, 3.9).astype(np.float32)
    x[:, :, 0] += y[:, None]
    return Jets(x, y, np.full(n, 50.0, np.float32))


def test_inputs_are_rounded_to_the_networks_type() -> None:
    sample = toy(50, 0)
    rounded = quantize_inputs(sample, BITS).x * 32
    assert_array_equal(rounded, np.rint(rounded))
    assert rounded.min() >= -128
    assert rounded.max() <= 127
    assert np.abs(rounded / 32 - sample.x).max() <= 2  # by saturation
    assert_array_equal(quantize_inputs(quantize_inputs(sample, BITS), BITS).x * 32, rounded)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Sample]:
    for name in ("tensorflow", "tf_keras", "qkeras"):
        pytest.importorskip(name, reason="training needs the qkeras extra")
    # Weights of this seed reach 0.99 with scores within 5, whichever instructions a machine has.
    recipe = Recipe(Data(0, 512, 256, 256, 16), BITS, Training(5, 32, 3, 1e-2, 2, 3e-3, 5.0))
    sample = Sample(toy(512, 1), toy(256, 2), toy(256, 3))
    lines: list[str] = []
    model, report = train(recipe, sample, lines.append)
    assert len(lines) == 5
    assert report.quantized.macro > 0.6
    assert all(-8 < low < high < 8 for low, high in report.scores)
    path = tmp_path_factory.mktemp("trained") / "model.h5"
    save_model(model, path)
    return path, model, sample


@pytest.mark.tensorflow
def test_saved_network_predicts_the_same(trained: tuple[Path, Any, Sample]) -> None:
    path, model, sample = trained
    assert [p.name for p in path.parent.iterdir()] == ["model.h5"]
    wanted = model.predict(sample.test.x, verbose=0)
    assert_array_equal(load_model(path).predict(sample.test.x, verbose=0), wanted)
    rounded = quantize_inputs(sample.test, BITS)
    assert_array_equal(model.predict(rounded.x, verbose=0), wanted)


@pytest.mark.tensorflow
def test_saved_network_is_json_and_arrays(trained: tuple[Path, Any, Sample]) -> None:
    import h5py

    with h5py.File(trained[0]) as file:
        config = json.loads(file.attrs["model_config"])
        group = file["model_weights/block2_attention/block2_attention"]
        shapes = {
            f"{part}/{name}": group[part][name].shape for part in group for name in group[part]
        }
    classes = {layer["class_name"] for layer in config["config"]["layers"]}
    assert classes == {
        *("InputLayer", "QActivation", "QMultiHeadAttention", "Add", "QDense", "Flatten"),
        "Activation",
    }
    assert shapes == {
        **{f"{part}/kernel:0": (6, 2, 32) for part in ("query", "key", "value")},
        **{f"{part}/bias:0": (2, 32) for part in ("query", "key", "value")},
        "attention_output/kernel:0": (2, 32, 6),
        "attention_output/bias:0": (6,),
    }


@pytest.mark.tensorflow
def test_attention_is_softmax_of_scaled_products_of_quantized_projections(
    trained: tuple[Path, Any, Sample],
) -> None:
    _, model, sample = trained
    layer = model.get_layer("block1_attention")
    grid = 2.0 ** (1 + 1 - BITS.weight_bits)
    bound = 2.0 - grid
    wq, bq, wk, bk, wv, bv, wo, bo = (
        np.clip(np.rint(w / grid) * grid, -bound, bound) for w in layer.get_weights()
    )
    x = quantize_inputs(sample.test, BITS).x[:20].astype(np.float64)
    q, k, v = (
        np.einsum("btf,fhd->bhtd", x, w) + b[:, None] for w, b in ((wq, bq), (wk, bk), (wv, bv))
    )
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(32)
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    wanted = np.einsum("bhtd,hdf->btf", weights @ v, wo) + bo
    x32 = x.astype(np.float32)
    assert_allclose(layer.scores(x32).numpy(), scores, atol=1e-5)
    assert_allclose(layer(x32, value=x32).numpy(), wanted, atol=1e-5)


# The shipped files

SCORE = """
import sys
from pathlib import Path
from typing import Any
from gateformer.quant.datasets import jets
from gateformer.quant.train.metrics import separation
from gateformer.quant.train.fitting import load_model

project = Path(sys.argv[1])
sample = jets.load(project / "jets.npz", "test")[:6000]
output = load_model(project / "model.h5").predict(sample.x, 2000, verbose=0)
print(separation(output, sample.y).b_light)
"""

KERAS_3_FIRST = """
import tensorflow
from gateformer.quant.train.attention import keras
keras()
"""


def fresh(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process whose TensorFlow nobody has set up."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.tensorflow
def test_the_shipped_network_tells_the_shipped_jets_apart() -> None:
    done = fresh(SCORE, str(PROJECT))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.955


@pytest.mark.tensorflow
def test_keras_3_in_use_is_refused_with_the_remedy() -> None:
    done = fresh(KERAS_3_FIRST)
    assert done.returncode != 0
    assert "E504" in done.stderr
    assert "TF_USE_LEGACY_KERAS=1" in done.stderr


def test_shipped_jets_are_at_the_networks_input_type() -> None:
    quantization = read(RECIPE, Data).quantization
    for part, least in (("test", 10_000), ("calib", 1_000)):
        sample = jets.load(PROJECT / "jets.npz", part)
        assert len(sample) >= least
        assert_array_equal(quantize_inputs(sample, quantization).x, sample.x)
        assert sample.mask.sum(axis=1).min() >= 2
        assert (np.diff(sample.mask.astype(int), axis=1) <= 0).all()
