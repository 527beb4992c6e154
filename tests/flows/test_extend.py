"""docs/extend.md works as it stands: its code is taken from the page, run, and built into RTL."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from equiv.networks import Maker, bench, network, vectors
from flows.tiny import write_model

from gateformer.hw.dataflow.lanes import LOWERINGS
from gateformer.hw.dataflow.plan import plan
from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import Backend, HlsSettings
from gateformer.hw.hls.statements import STATEMENTS
from gateformer.hw.settings import Settings
from gateformer.quant.errors import GateformerError, ScheduleError
from gateformer.quant.execute import run
from gateformer.quant.expand import Elementwise
from gateformer.quant.expand.functions import FUNCTIONS
from gateformer.quant.frontends import load as load_model
from gateformer.quant.frontends.keras.site import READERS
from gateformer.quant.ops.base import REGISTRY
from gateformer.quant.serialize import from_json, to_json
from gateformer.sim.hls.run import check

PAGE = Path(__file__).parents[2] / "docs/extend.md"
LISTINGS = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture
def listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's files; what they register is forgotten afterwards."""
    for name, text in LISTINGS:
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    kept = [
        (registry, dict(registry))
        for registry in (FUNCTIONS, REGISTRY, LOWERINGS, READERS, STATEMENTS)
    ]
    yield tmp_path
    for registry, before in kept:
        registry.clear()
        registry.update(before)
    for name, _ in LISTINGS:
        sys.modules.pop(name, None)


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_the_page_has_its_listings() -> None:
    assert [name for name, _ in LISTINGS] == [
        "softclip",
        "gate",
        "absolute",
        "absolute_rtl",
        "absolute_hls",
        "gate_reader",
    ]


@pytest.mark.icarus
def test_a_function(listing: Path) -> None:
    load("softclip")

    def net(m: Maker) -> None:
        x = m.builder.input("x", (3, 2))
        m.builder.output(m.one(Elementwise("soft_clip", (("limit", 2.0),)), x, name="clip"))

    graph = network(net, "fixed<8,4>")
    x = vectors(graph, 6)["x"]
    y = run(graph, {"x": x})["clip"]
    np.testing.assert_allclose(y / 16, 2.0 * np.tanh(x / 32), atol=1 / 32)
    bench(graph, listing / "rtl", Settings(token_parallelism=2))


@pytest.mark.icarus
def test_a_composite(listing: Path) -> None:
    gate = load("gate").Gate

    def net(m: Maker) -> None:
        h = m.linear(m.builder.input("x", (4, 3)), 6, "wide")
        m.builder.output(m.linear(m.one(gate(), h, name="gated"), 2, "logits"))

    graph = network(net, "fixed<10,4>")
    assert "gated/gate" in graph.values
    bench(graph, listing / "rtl", Settings(token_parallelism=3, reuse_factor=2))


@pytest.mark.icarus
def test_a_primitive(listing: Path) -> None:
    absolute = load("absolute").Absolute

    def net(m: Maker) -> None:
        h = m.linear(m.builder.input("x", (4, 3)), 5, "hidden")
        a = m.one(absolute(), h, name="size")
        m.builder.output(m.linear(a, 2, "logits"))

    graph = network(net, "fixed<9,4>")
    with pytest.raises(ScheduleError, match=r"E310 .*'size' \(Absolute\).*docs/extend\.md"):
        plan(graph, Settings())
    load("absolute_rtl")
    again = from_json(to_json(graph))
    frames = vectors(graph, 6)
    np.testing.assert_array_equal(run(again, frames)["logits"], run(graph, frames)["logits"])
    assert (run(graph, frames, keep=True)["size"] >= 0).all()
    bench(again, listing / "rtl", Settings(token_parallelism=3, reuse_factor=2))


@pytest.mark.hls
@pytest.mark.parametrize("backend", ["vitis", "quartus"])
def test_a_primitive_in_hls(listing: Path, backend: Backend) -> None:
    absolute = load("absolute").Absolute

    def net(m: Maker) -> None:
        h = m.linear(m.builder.input("x", (4, 3)), 5, "hidden")
        m.builder.output(m.one(absolute(), h, name="magnitude"))

    graph = network(net, "fixed<9,4>")
    with pytest.raises(ScheduleError, match=r"E304 .*'magnitude' \(Absolute\).*docs/extend\.md"):
        generate(graph, HlsSettings(backend=backend))
    load("absolute_hls")
    frames = vectors(graph, 50)
    project = generate(graph, HlsSettings(backend=backend))
    assert "if (hidden[i] < 0)" in project.files["firmware/layers/magnitude.h"]
    found = check(project, graph, frames, run(graph, frames), listing / "hls")
    assert (found.vectors, found.mismatches) == (50, 0), found.first


def test_a_reader(listing: Path) -> None:
    path = write_model(listing / "tiny.h5", last="Gate")
    with pytest.raises(GateformerError, match=r"E102 .*'last' \(Gate\).*extend\.md"):
        load_model(path)
    load("gate_reader")
    graph = load_model(path)
    assert graph.values["last"].shape == (4, 1)
