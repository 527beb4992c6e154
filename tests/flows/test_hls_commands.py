"""HLS from the command line and from Python: sources, proof, and what is said when it fails."""

from __future__ import annotations

import errno
import importlib.util
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from flows.tiny import FEW, OFF, TYPES, Call, write_model

import gateformer
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.view import Memory
from gateformer.hw.hls import model
from gateformer.hw.hls.project import HlsSettings, Project
from gateformer.quant.execute import run
from gateformer.quant.graph import Graph

pytestmark = pytest.mark.hls
ROOT = Path(__file__).parents[2]

HLS = ("-ohls.enabled=true", "-ohls.vectors=300")

Generate = Callable[..., Project]


@pytest.fixture
def altered(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Have every project generated with a text of one file replaced."""

    def alter(name: str, pattern: str, by: str) -> None:
        real: Generate = model.generate

        def generate(
            graph: Graph, settings: HlsSettings, kinds: dict[str, str] | None = None
        ) -> Project:
            made = real(graph, settings, kinds or {})
            (path,) = (path for path in made.files if re.fullmatch(name, path))
            text, count = re.subn(pattern, by, made.files[path], count=1)
            assert count == 1
            return replace(made, files=MappingProxyType({**made.files, path: text}))

        monkeypatch.setattr(model, "generate", generate)

    return alter


def test_run_with_the_proof(call: Call, tmp_path: Path) -> None:
    on = [key for key in OFF if "report" not in key]
    code, answer, said = call("run", "net.h5", TYPES, *FEW, *on, *HLS, "-ohls.io_type=io_stream")
    assert code == 0, said
    metrics = answer["metrics"]
    assert metrics["simulate.hls.vectors"] == 300
    assert metrics["simulate.hls.mismatches"] == 0
    assert metrics["simulate.hls.compile_seconds"] > 0
    assert (metrics["hls.backend"], metrics["hls.io_type"]) == ("vitis", "io_stream")
    page = (ROOT / "docs/metrics.md").read_text("utf-8")
    assert all(f"| `{key}` |" in page for key in metrics if "hls." in key and "skipped" not in key)
    folder = tmp_path / answer["folder"]
    assert (folder / "13-hls/project/firmware/net.cpp").is_file()
    assert not (folder / "scratch").exists()
    report = (folder / "report.html").read_text("utf-8")
    assert "The HLS C++ gives the same integers, 300 frames of them." in report
    assert "0 mismatches" in report
    _, again, _ = call("run", "net.h5", TYPES, *FEW, *on, *HLS, "-ohls.io_type=io_stream")
    assert {s["step"]: s["status"] for s in again["steps"]}["hls"] == "reused"


def test_it_is_off_unless_asked_for(call: Call) -> None:
    _, answer, _ = call("run", "net.h5", TYPES, *FEW, *OFF)
    assert answer["metrics"]["hls.skipped"] == "hls.enabled is false"


@pytest.mark.parametrize(
    ("backend", "io_type"),
    [("vitis", "io_parallel"), ("oneapi", "io_stream"), ("oneapi", "io_parallel")],
)
def test_a_mismatch_names_the_first_layer(
    call: Call,
    altered: Callable[[str, str, str], None],
    tmp_path: Path,
    backend: str,
    io_type: str,
) -> None:
    altered(r"(src/)?firmware/weights/up_\w*bias\.h", r"\{\s*-?(?=\d)", r"\g<0>1")
    chosen = (f"-ohls.backend={backend}", f"-ohls.io_type={io_type}")
    on = [key for key in OFF if "report" not in key]
    code, answer, _ = call("run", "net.h5", TYPES, *FEW, *on, *HLS, *chosen)
    assert code == 6
    error = answer["error"]
    assert error["code"] == "E401"
    assert re.match(r"\d+ of 300 frames; the first: 'down' frame \d+ element", error["cause"])
    assert re.match(r"The first layer that differs is 'up': 'up' frame \d+ element", error["fix"])
    assert answer["metrics"]["simulate.hls.mismatches"] > 0
    folder = tmp_path / answer["folder"]
    assert "The step hls failed" in (folder / "report.html").read_text("utf-8")
    assert list((folder / "13-hls/project").rglob("firmware/net.cpp"))


def test_a_compile_error_is_one_line(
    call: Call, altered: Callable[[str, str, str], None], tmp_path: Path
) -> None:
    altered(r"firmware/net\.cpp", r"\n}\s*$", "\n    wrong;\n}\n")
    code, answer, said = call("run", "net.h5", TYPES, *FEW, *OFF, *HLS)
    assert code == 7
    assert answer["error"]["code"] == "E502"
    assert re.match(r"firmware/net\.cpp:\d+:\d+: error: .wrong.", answer["error"]["cause"])
    assert said.count("\n") < 30
    logs = Path(answer["error"]["fix"].removeprefix("See the logs in "))
    assert list(logs.glob("compile_*.log"))
    assert not list((tmp_path / "cache/gateformer/hls").iterdir())


@pytest.mark.parametrize("lacks", ["hls4ml", "g++"])
def test_without_a_tool(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacks: str
) -> None:
    if lacks == "g++":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        real = importlib.util.find_spec
        monkeypatch.setattr(
            "gateformer.hw.hls.model.find_spec",
            lambda name: None if name == "hls4ml" else real(name),
        )
    code, answer, _ = call("run", "net.h5", TYPES, *FEW, *OFF, *HLS)
    assert code == 7
    assert answer["error"]["code"] == ("E501" if lacks == "g++" else "E505")
    assert ("apt install" if lacks == "g++" else "pip install") in answer["error"]["fix"]
    assert not (tmp_path / "runs").exists(), "nothing is run before it is said"
    code, answer, _ = call("run", "net.h5", TYPES, *FEW, *OFF, "-ohls.enabled=auto")
    assert code == 0
    assert lacks in answer["metrics"]["hls.skipped"]
    if lacks == "hls4ml":
        code, answer, _ = call("generate", "hls", "net.h5", TYPES)
        assert (code, answer["error"]["code"]) == (7, "E505")
        assert not list(tmp_path.glob("net_hls*"))


@pytest.mark.parametrize("backend", ["vitis", "vivado", "quartus"])
def test_the_sources(call: Call, backend: str, tmp_path: Path) -> None:
    wanted = ("--backend", backend, "--io-type", "io_stream", "--out", "hls")
    code, answer, said = call("generate", "hls", "net.h5", TYPES, *wanted)
    assert code == 0, said
    assert (answer["backend"], answer["io_type"], answer["top"]) == (backend, "io_stream", "net")
    folder = tmp_path / "hls"
    first = contents(folder)
    assert {"firmware/net.cpp", "hls4ml_config.yml", "config.resolved.toml"} <= set(first)
    assert {"tb_data/tb_input_features.dat", "tb_data/tb_output_predictions.dat"} <= set(first)
    assert not any(str(tmp_path) in text for name, text in first.items() if "config" not in name)
    assert call("generate", "hls", "net.h5", TYPES, *wanted)[0] == 0
    assert contents(folder) == first
    code, *_ = call("generate", "hls", "hls/config.resolved.toml", "--out", "again")
    assert code == 0
    assert contents(tmp_path / "again") == first


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in files}


def test_other_files_stay(call: Call, tmp_path: Path) -> None:
    assert call("generate", "hls", "net.h5", TYPES, "--out", "hls")[0] == 0
    mine = tmp_path / "hls/firmware/layers/notes.txt"
    mine.write_text("mine")
    code, answer, _ = call("generate", "hls", "net.h5", TYPES, "--out", "hls")
    assert (code, answer["error"]["code"]) == (9, "E703")
    assert "firmware/layers/notes.txt" in answer["error"]["cause"]
    assert mine.read_text() == "mine"


def test_unknown_choices(call: Call) -> None:
    assert call("generate", "hls", "net.h5", "--backend", "cat")[0] == 2
    code, answer, _ = call("generate", "hls", "net.h5", "-ohls.io_type=cat")
    assert (code, answer["error"]["code"]) == (2, "E002")
    code, answer, _ = call("generate", "hls", "net.h5", TYPES, "-oschedule.layers.upp=2")
    assert (code, answer["error"]["fix"]) == (2, "Did you mean 'up'?")


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_compile_and_predict(tmp_path: Path, io_type: Any) -> None:
    from gateformer.config.read import load

    path = write_model(tmp_path / "net.h5")
    types = TYPES[2:]
    made = gateformer.compile(path, io_type=io_type, overrides=[types], folder=tmp_path / "made")
    assert (made.project.settings.io_type, made.project.top) == (io_type, "net")
    assert made.folder.parent == tmp_path / "made"
    assert repr(made) == f"Model('net', vitis, {io_type})"
    assert len(repr(made.compiled)) < 2000
    assert (made.folder / "firmware/net.cpp").is_file()
    graph = Memory(load(path, [types])).get(Lower).graph
    x = np.random.default_rng(3).normal(0, 6, (50, 4, 2))
    raw = graph.values["x"].fixed.from_real(x)
    truth = run(graph, {"x": raw})["down"]
    assert np.array_equal(made.run(raw), truth)
    assert np.array_equal(made.predict(x), graph.values["down"].fixed.to_real(truth))
    assert np.array_equal(made.predict({"x": x.tolist()}), made.predict(x))
    assert made.predict(x[:0]).shape == (0, 4, 2)

    for bad, code, told in (
        (x[0], "E611", "a single frame is x[None]"),
        (x[:, :3], "E611", "The model takes (n, 4, 2)"),
        ("abc", "E602", "no array of numbers"),
        ([[["a", "b"]] * 4], "E602", "no array of numbers"),
        (x * 1j, "E602", "no array of numbers"),
        (None, "E602", "it holds NoneType"),
        (np.full((1, 4, 2), None), "E602", "it holds NoneType"),
        (np.full((1, 4, 2), 10**400), "E602", "no array of numbers"),
        (np.where(x > 3, np.nan, x), "E620", "NaN"),
        ({}, "E610", "no data for input 'x'"),
        ({"x": x, "y": x}, "E611", "no input is called 'y'"),
    ):
        with pytest.raises(gateformer.GateformerError) as caught:
            made.predict(bad)
        assert caught.value.code == code
        assert told in str(caught.value)
    with pytest.raises(gateformer.GateformerError, match=r"E602.*it holds float"):
        made.run(x.astype(object))
    for bad in (x, raw * 100, raw.astype(bool), raw[:, :1]):
        with pytest.raises(gateformer.GateformerError) as caught:
            made.run(bad)
        assert caught.value.code == "E611"


def test_compile_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(gateformer.GateformerError) as caught:
        gateformer.compile(tmp_path / "none.toml")
    assert caught.value.code == "E003"
    path = write_model(tmp_path / "net.h5")
    with pytest.raises(gateformer.GateformerError) as caught:
        gateformer.compile(path, backend="cat")  # type: ignore[arg-type]
    assert caught.value.code == "E002"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_compile_on_a_full_disk(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, "full")

    monkeypatch.setattr("gateformer.sim.hls.build.write_tree", full)
    path = write_model(tmp_path / "net.h5")
    with pytest.raises(gateformer.GateformerError) as caught:
        gateformer.compile(path, overrides=[TYPES[2:]], folder=tmp_path / "made")
    assert caught.value.code == "E701"
    assert not list((tmp_path / "made").iterdir())


@pytest.mark.parametrize("backend", ["vitis", "quartus"])
def test_weights_are_the_same_where_the_vendor_reads_them(
    altered: Callable[[str, str, str], None], tmp_path: Path, backend: Any
) -> None:
    path = write_model(tmp_path / "net.h5")
    raw = np.random.default_rng(5).integers(-128, 128, (200, 4, 2))
    simulated = gateformer.compile(path, backend=backend, overrides=[TYPES[2:]], folder=tmp_path)
    altered(r"firmware/gf/gf_weights\.h", r"\A", "#define GF_SYNTHESIS\n")
    read = gateformer.compile(path, backend=backend, overrides=[TYPES[2:]], folder=tmp_path)
    assert read.folder != simulated.folder
    assert np.array_equal(read.run(raw), simulated.run(raw))
