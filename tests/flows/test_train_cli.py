"""``gateformer train``: from a recipe to a folder that is a design."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from gateformer import cli

PROJECTS = Path(__file__).parents[2] / "fpga_projects"
SHORT = {
    "width = 16": "width = 4",
    "key_dim = 8": "key_dim = 2",
    "ffn = 32": "ffn = 4",
    "blocks = 2": "blocks = 1",
    "batch = 32": "batch = 128",
}


def shortened(project: str, folder: Path, changes: dict[str, str]) -> Path:
    """Write a project's recipe with one epoch a fit and other changes."""
    lines = []
    for line in (PROJECTS / project / "recipe.toml").read_text("utf-8").splitlines():
        key = line.split(" = ")[0]
        lines.append(f"{key} = 1" if key.endswith("_epochs") else line)
    text = "\n".join(lines)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.brevitas
def test_a_recipe_becomes_a_design_and_twice_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    recipe = shortened("digits_encoder", tmp_path, SHORT)
    folders = (tmp_path / "one", tmp_path / "two")
    for folder in folders:
        assert cli.main(["train", str(recipe), "--out", str(folder), "--json"]) == 0
    told = [
        json.loads(line) for line in capsys.readouterr().out.replace("}\n{", "}\0{").split("\0")
    ]
    names = {"model.onnx", "data.npz", "training.json", "design.toml"}
    one, two = ({path.name for path in folder.iterdir()} for folder in folders)
    assert one == two == names
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    with np.load(folders[0] / "data.npz") as data:
        assert data["x_test"].shape == (500, 8, 8)
        assert data["x_calib"].shape == (300, 8, 8)
        reached = (data["y_framework"].argmax(1) == data["y_test"]).mean()
    assert told[0]["quantized"] == pytest.approx(reached)
    design = tomllib.loads((folders[0] / "design.toml").read_text("utf-8"))
    assert design["model"] == "model.onnx"
    assert design["data"]["classes"] == list("0123456789")


@pytest.mark.brevitas
def test_a_training_that_diverges_writes_no_design_and_goes_on_at_a_lower_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    out = tmp_path / "out"
    rate = "quantized_rate = 1e-3"
    wild = shortened("digits_encoder", tmp_path, {**SHORT, rate: "quantized_rate = 1e30"})
    assert cli.main(["train", str(wild), "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert "E009 training that diverges: 'training.quantized_rate'" in told
    assert "No epoch was done before. Lower training.quantized_rate" in told
    assert [path.name for path in out.rglob("*")] == ["checkpoints", "float.npz"]
    tamed = shortened("digits_encoder", tmp_path, SHORT)
    assert cli.main(["train", str(tamed), "--out", str(out)]) == 0
    told = capsys.readouterr().err
    assert told.count("epoch 1/1") == 1  # with quantizers: the fit in floating point was kept
    assert (out / "model.onnx").is_file()
    assert not (out / "checkpoints").exists()


@pytest.mark.brevitas
def test_a_design_that_is_there_stays(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    recipe = shortened("digits_encoder", tmp_path, SHORT)
    (tmp_path / "design.toml").write_text("# mine\n")
    assert cli.main(["train", str(recipe)]) == 0
    assert (tmp_path / "design.toml").read_text() == "# mine\n"
    assert (tmp_path / "model.onnx").is_file()


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_recipe_for_qkeras_becomes_a_model(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    recipe = shortened("digits", tmp_path, {})
    out = tmp_path / "out"
    assert cli.main(["train", str(recipe), "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"model.h5", "digits.npz"}


def test_a_wrong_recipe_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = shortened("digits_encoder", tmp_path, {"blocks = 2": "block = 2", "seed": "sead"})
    assert cli.main(["train", str(recipe)]) == 2
    told = capsys.readouterr().err
    for key in ("network.block'", "network.blocks'", "data.sead'", "training.sead'"):
        assert key in told
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.toml"}
    assert cli.main(["train", str(tmp_path)]) == 2
    assert "network.block'" in capsys.readouterr().err
    assert cli.main(["train", str(tmp_path / "none.toml")]) == 2
    assert "E003" in capsys.readouterr().err
