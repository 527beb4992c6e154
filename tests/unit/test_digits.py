"""Handwritten digits: how images become tokens, and what is shipped of them; their training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gateformer.config.read import load as load_design
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.view import Memory
from gateformer.quant.datasets import digits
from gateformer.quant.datasets.digits import Digits
from gateformer.quant.execute import run
from gateformer.quant.graph import Graph
from gateformer.quant.train.recipe import (
    DigitsData,
    Quantization,
    Recipe,
    Techniques,
    Training,
    read,
)

PROJECT = Path(__file__).parents[2] / "fpga_projects" / "digits"


def made_up(n: int, seed: int = 0) -> Digits:
    """Images whose digit is the token that is dark."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, n).astype(np.int8)
    x = (rng.integers(0, 5, (n, 16, 4)) / 16).astype(np.float32)
    x[np.arange(n), y] = 1.0
    return Digits(x, y)


def shipped(part: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(PROJECT / "digits.npz", allow_pickle=False) as file:
        return file[f"x_{part}"].astype(np.float64), file[f"y_{part}"]


# Images


def test_a_token_is_a_patch_of_four_pixels() -> None:
    image = np.arange(64.0).reshape(8, 8)
    tokens = digits.patches(image[None]) * 16
    assert tokens.shape == (1, 16, 4)
    for token in range(16):
        row, column = 2 * (token // 4), 2 * (token % 4)
        assert_array_equal(tokens[0, token], image[row : row + 2, column : column + 2].ravel())


def test_all_images_are_there() -> None:
    pytest.importorskip("sklearn", reason="the images come with scikit-learn")
    found = digits.load()
    assert len(found) == 1797
    assert_array_equal(found.x * 16, np.rint(found.x * 16))
    assert (found.x.min(), found.x.max()) == (0.0, 1.0)
    assert set(found.y.tolist()) == set(range(10))


def test_parts_share_no_image_and_depend_on_the_seed() -> None:
    sample = Digits(np.zeros((30, 16, 4), np.float32), np.arange(30).astype(np.int8))
    parts = digits.split(sample, 3, 10, 5)
    assert [len(part) for part in parts] == [10, 5, 15]
    assert sorted(np.concatenate([part.y for part in parts])) == list(range(30))
    again, other = digits.split(sample, 3, 10)[0], digits.split(sample, 4, 10)[0]
    assert_array_equal(parts[0].y, again.y)
    assert parts[0].y.tolist() != other.y.tolist()
    with pytest.raises(ValueError, match="cannot take 31"):
        digits.split(sample, 3, 31)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((2, 16, 4), np.float32), np.zeros(3, np.int8)),
        (np.zeros((2, 64), np.float32), np.zeros(2, np.int8)),
        (np.zeros((2, 16, 4)), np.zeros(2, np.int8)),
        (np.zeros((2, 16, 4), np.float32), np.zeros(2, np.int64)),
    ],
)
def test_other_arrays_are_refused(x: Any, y: Any) -> None:
    with pytest.raises(ValueError, match="digits need"):
        Digits(x, y)


def test_saved_parts_are_exact(tmp_path: Path) -> None:
    sample = made_up(7)
    digits.save(tmp_path / "digits.npz", test=sample)
    assert [path.name for path in tmp_path.iterdir()] == ["digits.npz"]
    with np.load(tmp_path / "digits.npz") as file:
        assert_array_equal(file["x_test"].astype(np.float32), sample.x)
        assert_array_equal(file["y_test"], sample.y)


# What is shipped


def test_shipped_images_are_those_of_the_recipe() -> None:
    pytest.importorskip("sklearn", reason="the images come with scikit-learn")
    plan = read(PROJECT / "recipe.toml", DigitsData).data
    train, _, test = digits.split(digits.load(), plan.seed, plan.train, plan.valid)
    for part, wanted in (("test", test), ("calib", train[: plan.calibration])):
        x, y = shipped(part)
        assert_array_equal(x, wanted.x)
        assert_array_equal(y, wanted.y)


@pytest.fixture(scope="module")
def graph() -> Graph:
    found: Graph = Memory(load_design(PROJECT, [])).get(Lower).graph
    return found


def test_the_hardwares_integers_tell_the_digits(graph: Graph) -> None:
    x, y = shipped("test")
    (name,), (out,) = graph.inputs, graph.outputs
    raw = graph.values[name].fixed.from_real(x)
    assert_array_equal(graph.values[name].fixed.to_real(raw), x)
    shares = run(graph, {name: raw})[out]
    alone = (shares == shares.max(-1, keepdims=True)).sum(-1) == 1
    right = (shares.argmax(-1) == y) & alone
    assert right.mean() > 0.95


# Training


@pytest.mark.parametrize(
    ("change", "named"),
    [({"calibration": 21}, "calibration"), ({"valid": 0}, "start at 1"), ({"seed": -1}, "sizes")],
)
def test_impossible_parts_are_refused(change: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        DigitsData(**({"seed": 0, "train": 20, "valid": 10, "calibration": 5} | change))


@pytest.mark.tensorflow
def test_a_network_trains_and_is_the_same_in_the_file(tmp_path: Path) -> None:
    from gateformer.quant.train.digits import Sample, train
    from gateformer.quant.train.fitting import load_model, save_model

    bits = Quantization(6, 1, 6, 1, 6, 2, 6, 2)
    recipe = Recipe(DigitsData(0, 600, 100, 5), bits, Training(0, 50, 4, 2e-2, 2, 5e-3, 3.0))
    sample = Sample(made_up(600, 1), made_up(100, 2), made_up(200, 3))
    lines: list[str] = []
    model, report = train(recipe, sample, lines.append)
    assert len(lines) == 6
    assert report.real > 0.5
    assert report.quantized > 0.5
    assert -4 < report.scores[0] < report.scores[1] < 4
    save_model(model, tmp_path / "model.h5")
    wanted = model.predict(sample.test.x, verbose=0)
    assert_array_equal(load_model(tmp_path / "model.h5").predict(sample.test.x, verbose=0), wanted)


@pytest.mark.tensorflow
def test_pruned_weights_stay_zero_through_both_fits() -> None:
    from gateformer.quant.train.digits import Sample, train

    bits = Quantization(6, 1, 6, 1, 6, 2, 6, 2)
    plan = Training(0, 50, 4, 2e-2, 2, 5e-3, 3.0)
    recipe = Recipe(DigitsData(0, 600, 100, 5), bits, plan, Techniques(pruning=0.5))
    sample = Sample(made_up(600, 1), made_up(100, 2), made_up(200, 3))
    model, report = train(recipe, sample, lambda _: None)
    assert report.quantized > 0.5
    kernels = [weight.numpy() for weight in model.trainable_weights if "kernel" in weight.name]
    assert len(kernels) == 8
    for kernel in kernels:
        assert (kernel == 0).mean() >= 0.5
        assert kernel.any()


@pytest.mark.tensorflow
def test_the_shipped_network_tells_the_shipped_digits() -> None:
    from gateformer.quant.metrics import accuracy
    from gateformer.quant.train.fitting import load_model

    x, y = shipped("test")
    output = load_model(PROJECT / "model.h5").predict(x.astype(np.float32), verbose=0)
    assert accuracy(output, y) > 0.95
