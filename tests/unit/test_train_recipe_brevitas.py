"""Recipes for Brevitas: the shipped one, all faults at once, and what needs no torch."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gateformer.quant.errors import ConfigError, GateformerError, Problems
from gateformer.quant.execute import run_reals
from gateformer.quant.frontends import load
from gateformer.quant.metrics import accuracy
from gateformer.quant.train.brevitas.reading import read
from gateformer.quant.train.brevitas.recipe import (
    Bits,
    Network,
    Refinement,
    Samples,
    Techniques,
    Training,
)
from gateformer.quant.train.brevitas.tasks import TASKS, rows, samples
from gateformer.quant.train.dispatch import train
from gateformer.quant.train.pruning import share_at

PROJECT = Path(__file__).parents[2] / "fpga_projects" / "digits_encoder"
RECIPE = PROJECT / "recipe.toml"


def refused(path: Path) -> GateformerError:
    with pytest.raises((ConfigError, Problems)) as caught:
        read(path)
    assert isinstance(caught.value, GateformerError)
    return caught.value


def test_the_shipped_recipe_reads() -> None:
    recipe = read(RECIPE)
    bits = recipe.bits
    assert recipe.network.blocks == 2
    assert recipe.norm == "layer"
    assert max(bits.input, bits.weight, bits.activation, bits.attention) <= 8
    assert recipe.techniques.softmax == "plain"


def test_the_shipped_samples_are_the_recipe_s() -> None:
    pytest.importorskip("sklearn")
    recipe = read(RECIPE)
    dealt = samples(recipe.task, recipe.data, Path(), 1)
    with np.load(PROJECT / "data.npz") as data:
        assert_array_equal(data["x_test"], dealt.test.x)
        assert_array_equal(data["y_test"], dealt.test.y)
        assert_array_equal(data["x_calib"], dealt.train.x[: recipe.data.calibration])
        assert accuracy(data["y_framework"], data["y_test"]) >= 0.95


@pytest.mark.brevitas
def test_the_shipped_file_computes_what_brevitas_computed() -> None:
    graph = load(PROJECT / "model.onnx")
    with np.load(PROJECT / "data.npz") as data:
        x, wanted = data["x_test"].astype(np.float64), data["y_framework"]
    (found,) = run_reals(graph, {graph.inputs[0]: x}).values()
    assert_array_equal(found.argmax(1), wanted.argmax(1))
    # float32 sums of torch may put a value on the other side of an edge: not in one of a hundred.
    assert (np.abs(found - wanted).max(1) > 1e-4).mean() < 0.01


@pytest.mark.parametrize(
    ("old", "new", "code", "named"),
    [
        ("blocks = 2", "blocks = 2\nblock = 2", "E001", "recipe.toml:network.block"),
        ("blocks = 2", "", "E002", "network.blocks"),
        ("blocks = 2", "blocks = 2.0", "E002", "network.blocks"),
        ("blocks = 2", "blocks = true", "E002", "network.blocks"),
        ("blocks = 2", "blocks = 0", "E002", "recipe.toml:network"),
        ('norm = "layer"', 'norm = "group"', "E002", "'group' is none of"),
        ('scale = "float"', 'scale = ["float"]', "E002", "bits.scale"),
        ('task = "digits"', 'task = "letters"', "E002", "recipe.toml:task"),
        ("[training]", "[techniques]\npruning = 1\n[training]", "E002", "techniques"),
        ("[training]", "[techniques]\nclipped_softmax = [0]\n[training]", "E002", "2 entries"),
        ("[training]", "[techniques]\nrelu_topk = 0.5\n[training]", "E006", "relu_topk"),
        ("[training]", "[refinement]\ndistill = 2\n[training]", "E002", "refinement"),
        ("[training]", "[refinement]\ndistil = 1\n[training]", "E001", "'distill'"),
        ("[training]", "[refinement]\nfixed_norms = 0.5\n[training]", "E006", "norm = 'batch'"),
        ("[training]", "[other]\n[training]", "E001", "recipe.toml:other"),
        ("[training]", "training = ", "E004", "recipe.toml"),
        ("blocks = 2", "blocks = " + "2" * 5000, "E004", "more digits than are read"),
        ('norm = "layer"', "norm = 0x" + "f" * 5000, "E002", "beyond 64 bits"),
    ],
)
def test_wrong_recipes_are_refused(
    tmp_path: Path, old: str, new: str, code: str, named: str
) -> None:
    text = RECIPE.read_text()
    assert old in text
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new))
    error = refused(path)
    assert error.code == code
    assert named in str(error)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = RECIPE.read_text()
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace("heads = 2", "head = 2").replace("seed = 1 ", "seed = -1 "))
    told = str(refused(path))
    assert "network.heads" in told
    assert "recipe.toml:data" in told


def test_numbers_that_are_none_are_told_with_all_other_faults(tmp_path: Path) -> None:
    text = RECIPE.read_text()
    for old, new in (
        ("float_rate = 4e-3", "float_rate = inf\ndecay = nan"),
        ("quantized_rate = 1e-3", "quantized_rate = 1e999"),
        ("width = 16", "width = 99999999999999999999"),
        ("heads = 2", "head_count = 2"),
        ("[training]", "[techniques]\nclipped_softmax = [-0.1, nan]\nprunning = nan\n[training]"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(Problems) as caught:
        read(path)
    told = [str(error) for error in caught.value.errors]
    assert [one for one in told if "finite" in one or "64 bits" in one] == [
        "E002 invalid configuration value: 'recipe.toml:network.width'. It is beyond 64 bits.",
        "E002 invalid configuration value: 'recipe.toml:techniques.clipped_softmax'. "
        "nan is no finite number.",
        *(
            f"E002 invalid configuration value: 'recipe.toml:training.{key}'. {value} is no "
            "finite number."
            for key, value in (("float_rate", "inf"), ("quantized_rate", "inf"), ("decay", "nan"))
        ),
    ]
    others = {error.layer for error in caught.value.errors if error.code == "E001"}
    assert others == {"recipe.toml:network.head_count", "recipe.toml:techniques.prunning"}


def test_a_number_may_be_written_without_its_point(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.read_text() + "\n[techniques]\nclipped_softmax = [0, 1]\n")
    assert read(path).techniques.clipped_softmax == (0.0, 1.0)


@pytest.mark.parametrize("head", ["", 'framework = "jax"\n', 'framework = "qkeras"\n'])
def test_what_trains_and_on_what_is_said(tmp_path: Path, head: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(head)
    with pytest.raises(ConfigError, match=r"E002 .*recipe.toml:(framework|task)"):
        train(path, tmp_path, tmp_path, 1, print)


@pytest.mark.parametrize("table", [Samples, Network, Bits, Techniques, Training, Refinement])
def test_the_page_has_every_key(table: type[Any]) -> None:
    page = (PROJECT.parents[1] / "docs" / "train.md").read_text(encoding="utf-8")
    missing = [f.name for f in fields(table) if not re.search(rf"`{f.name}( =|`)", page)]
    assert not missing


def test_the_page_has_every_task() -> None:
    page = (PROJECT.parents[1] / "docs" / "train.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| `brevitas` |"))
    assert set(re.findall(r"`(\w+)`", row.split("|")[2])) == set(TASKS)


def test_pruning_ends_at_its_share_and_never_goes_back() -> None:
    course = [share_at(part, 0.8) for part in np.linspace(0.0, 1.0, 41)]
    assert course[0] == course[10] == 0.0
    assert course[30] == course[-1] == 0.8
    assert course == sorted(course)
    # Half of the way: all but an eighth of the weights that have to go.
    assert share_at(0.5, 0.8) == pytest.approx(0.7)


def test_rows_are_the_images() -> None:
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_digits

    from gateformer.quant.datasets import digits

    images = load_digits().images
    assert_array_equal(rows(digits.patches(images)) * 16, images)


def test_digits_are_dealt_out_whole() -> None:
    pytest.importorskip("sklearn")
    wanted = Samples(seed=3, train=1000, valid=300, calibration=100, tokens=8)
    sample = samples("digits", wanted, Path(), 1)
    assert [len(part) for part in (sample.train, sample.valid, sample.test)] == [1000, 300, 497]
    assert sample.train.x.shape[1:] == (8, 8)
    with pytest.raises(ConfigError, match="E022"):
        samples("digits", Samples(3, 1000, 300, 100, tokens=5), Path(), 1)
    with pytest.raises(ConfigError, match="E022"):
        samples("digits", Samples(3, 1700, 300, 100), Path(), 1)
