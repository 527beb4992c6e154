"""``gateformer quantize``: a design in, a design out; its run computes what was told."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from flows.tiny import OFF, Call
from unit.ptq_networks import data, network

from gateformer.cli import main
from gateformer.config.read import load
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.view import Memory
from gateformer.quant.ptq.bits import average_bits
from gateformer.quant.ptq.evaluate import outputs
from gateformer.quant.serialize import save


@pytest.fixture
def design(call: Call, tmp_path: Path) -> Path:
    """A float network, its data and labels."""
    graph, (train, test) = network(), (data(80, 1), data(60, 2))
    save(graph, tmp_path / "float.json")
    np.savez(
        tmp_path / "data.npz",
        x_calib=train["x"],
        y_calib=outputs(graph, train).argmax(1),
        x_test=test["x"],
        y_test=outputs(graph, test).argmax(1),
    )
    text = 'model = "float.json"\n[data]\nfile = "data.npz"\n[schedule]\nreuse_factor = 2\n'
    (tmp_path / "design.toml").write_text(text)
    return tmp_path


@pytest.mark.parametrize("step", ["power-of-two", "float"])
def test_the_new_designs_run_computes_what_was_told(call: Call, design: Path, step: str) -> None:
    code, told, _ = call(
        "quantize", "design.toml", "--weights", 5, "--activations", 6, "--technique", "repq",
        "--step", step, "--out", "made/q",
    )  # fmt: skip
    assert code == 0
    folder = design / "made" / "q"
    files = {"model.json", "design.toml", "quantize.json", "sources.json"}
    assert {path.name for path in folder.iterdir()} == files
    tree = tomllib.loads((folder / "design.toml").read_text())
    assert tree["data"]["file"] == "../../data.npz" and tree["schedule"] == {"reuse_factor": 2}
    assert str(design) not in "".join(path.read_text() for path in folder.iterdir())
    typed = Memory(load(folder)).get(Lower).graph
    bits = average_bits(typed)
    assert (bits.weights, bits.activations) == (
        told["bits"]["weights"],
        told["bits"]["activations"],
    )
    right = outputs(typed, data(60, 2)).argmax(1) == np.load(design / "data.npz")["y_test"]
    assert told["accuracy"]["accuracy_integer"] == right.mean() > 0.8
    assert told["accuracy"]["accuracy_float"] == 1.0
    again = call("quantize", "design.toml", "--weights", 8, "--out", "made/q")
    assert again[0] == 0 and again[1]["bits"]["weights"] == 8.0
    kept = json.loads((folder / "quantize.json").read_text())
    assert kept == {key: again[1][key] for key in kept}


def test_data_and_default_folder(call: Call, design: Path) -> None:
    code, told, _ = call("quantize", "float.json", "--data", "data.npz")
    assert code == 0 and told["folder"] == "float_quantized"
    assert call("inspect", "float_quantized")[0] == 0
    code, told, _ = call("run", "float_quantized", "--out", "r", *OFF)
    assert code == 0 and told["metrics"]["accuracy.top1_integer"] > 0.9
    page = json.loads((design / "float_quantized" / "quantize.json").read_text())
    assert told["metrics"]["accuracy.top1_integer"] == page["accuracy"]["accuracy_integer"]


def test_ranges_from_the_test_inputs_are_told(
    call: Call, design: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told, _ = call("quantize", "design.toml", "--out", "q")
    assert code == 0 and told["held_out"] and told["calibration"] == ["x_calib"]
    with np.load(design / "data.npz") as whole:
        np.savez(design / "few.npz", x_test=whole["x_test"], y_test=whole["y_test"])
    code, told, _ = call("quantize", "float.json", "--data", "few.npz", "--out", "p")
    assert code == 0 and not told["held_out"] and told["calibration"] == ["x_test"]
    for words, said in ((("design.toml",), False), (("float.json", "--data", "few.npz"), True)):
        capsys.readouterr()
        assert main(["quantize", *words, "--out", "q" if words[1:] == () else "p"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert ("from the test inputs themselves (x_test)" in shown) == said


def test_places_and_types_of_ones_own(call: Call, design: Path) -> None:
    code, told, _ = call(
        "quantize", "design.toml", "--width", "up/kernel=3", "--width", "attention/exp=4",
        "-o", "types.head=fixed<9,5>", "--out", "q",
    )  # fmt: skip
    assert code == 0
    rows = {row["place"]: row for row in told["rows"]}
    assert rows["up/kernel"]["bits"] == 3 and rows["attention/exp"]["step"] == "ufixed<4,0>"
    assert Memory(load(design / "q")).get(Lower).graph.values["head"].fixed.width == 9


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (("--technique", "truncate=1"), {"truncate": 1}),
        (("-o", "quantize.truncate=1"), {"truncate": 1}),
        (("-o", "quantize.shares=log_sqrt2", "-o", "quantize.shares_bits=5"), {}),
        (("-o", "quantize.shares=clipped", "-o", "quantize.fold_affine=true"), {}),
    ],
)
def test_settings_of_the_design(
    call: Call, design: Path, asked: tuple[str, ...], kept: dict[str, int]
) -> None:
    code, told, _ = call("quantize", "design.toml", *asked, "--out", "q")
    assert code == 0
    settings = tomllib.loads((design / "q" / "design.toml").read_text())["quantize"]
    assert settings == {"width": 10, "fold_heads": False, **kept}
    typed = Memory(load(design / "q")).get(Lower).graph
    right = outputs(typed, data(60, 2)).argmax(1) == np.load(design / "data.npz")["y_test"]
    assert told["accuracy"]["accuracy_integer"] == right.mean()
    bits = average_bits(typed)
    assert (bits.weights, bits.weight_count) == (8.0, told["bits"]["weight_count"])
    shares = json.loads((design / "q" / "model.json").read_text())["nodes"]
    kinds = {json.dumps(node["attributes"].get("shares")) for node in shares}
    assert ("log_sqrt2" in str(kinds)) == ("shares=log_sqrt2" in str(asked))
    assert ("clipped" in str(kinds)) == ("shares=clipped" in str(asked))


@pytest.mark.slow
def test_searched_widths(call: Call, design: Path) -> None:
    code, told, _ = call("quantize", "design.toml", "--bits", 5, "--out", "q")
    assert code == 0 and told["bits"]["weights"] <= 5 and told["sensitivity"]
    code, told, _ = call("quantize", "design.toml", "--loss", 0.05, "--out", "q2")
    assert code == 0 and told["bits"]["weights"] < 8


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--weights", 1), "E022", "weights"),
        (("--percentile", 3), "E022", "percentile"),
        (("--technique", "repque"), "E005", "Did you mean 'repq'"),
        (("--technique", "prune"), "E005", "prune=0.3"),
        (("--technique", "prune=2"), "E022", "below 1"),
        (("--technique", "truncate=1.5"), "E022", "0 to 16"),
        (("--width", "up"), "E005", "PLACE=BITS"),
        (("--width", "upp/kernel=4"), "E001", "Did you mean 'up/kernel'"),
        (("-o", "data.file=none.npz"), "E605", "none.npz"),
        (("-o", "data.labels=y"), None, ""),
        (("--out", "."), "E703", "other files"),
    ],
)
def test_wrong_requests(
    call: Call, design: Path, arguments: tuple[object, ...], code: str | None, said: str
) -> None:
    before = sorted(path.name for path in design.iterdir())
    exit_code, told, _ = call("quantize", "design.toml", *arguments)
    if code is None:
        assert exit_code == 0 and "accuracy_integer" not in told["accuracy"]
        return
    assert exit_code and told["error"]["code"] == code and said in json.dumps(told)
    assert sorted(path.name for path in design.iterdir()) == before


def test_labels_of_one_class_have_no_area_but_an_accuracy(call: Call, design: Path) -> None:
    arrays = dict(np.load(design / "data.npz"))
    which = arrays["y_test"] == arrays["y_test"][0]
    arrays |= {name: arrays[name][which] for name in ("x_test", "y_test")}
    np.savez(design / "data.npz", **arrays)
    code, told, _ = call("quantize", "design.toml", "--out", "q")
    assert code == 0
    assert set(told["accuracy"]) == {"relative_error", "accuracy_float", "accuracy_integer"}


def test_without_data(call: Call, design: Path) -> None:
    code, told, _ = call("quantize", "float.json")
    assert code and told["error"]["code"] == "E604" and "--data" in told["error"]["fix"]
