"""Models of HGQ2: its own predictions = numpy = RTL = HLS C++ in every integer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from equiv.networks import bench

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import HlsSettings
from gateformer.hw.rtl.emit import emit
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.quant.expand.context import Types
from gateformer.quant.frontends import load
from gateformer.quant.graph import Graph
from gateformer.quant.lower import lower
from gateformer.quant.types import Fixed, IntArray
from gateformer.sim.hls.run import check
from gateformer.sim.rtl.bulk import bulk

FOLDER = Path(__file__).parents[1] / "golden" / "hgq2"
PIXEL = Fixed(False, 5, 4)


def lowered(name: str, kind: Fixed) -> Graph:
    graph = load(FOLDER / f"{name}.keras")
    return lower(graph, Types(given=dict.fromkeys(graph.inputs, kind)))


def encoder(name: str) -> tuple[Graph, dict[str, IntArray], dict[str, IntArray]]:
    """The test images and HGQ2's logits, as integers."""
    graph = lowered(name, PIXEL)
    with np.load(FOLDER / f"{name}.npz") as golden:
        frames = {"x": graph.from_real("x", golden["x"])}
        logits = {"head": graph.from_real("head", golden["head"])}
        np.testing.assert_array_equal(graph.to_real("head", logits["head"]), golden["head"])
    return graph, frames, logits


@pytest.mark.icarus
@pytest.mark.parametrize("name", ["attention_plain", "causal", "einsums", "saturated"])
def test_attention_and_softmax(name: str, tmp_path: Path) -> None:
    graph = lowered(name, Fixed(True, 11, 6))
    for p in (1, 2, 8):
        bench(graph, tmp_path / str(p), Settings(token_parallelism=p), count=7)


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize("name", ["encoder_each", "encoder_shared"])
def test_encoders_in_rtl(name: str, tmp_path: Path) -> None:
    graph, frames, logits = encoder(name)
    planned = plan(graph, Settings(token_parallelism=1))
    found = bulk(planned.design, emit(planned).files, frames, logits, work=tmp_path)
    assert found.first is None, found.first
    assert (found.vectors, found.mismatches, found.problems) == (360, 0, ())


@pytest.mark.slow
@pytest.mark.icarus
@pytest.mark.parametrize("name", ["encoder_each", "encoder_shared"])
def test_encoders_with_all_tokens_at_once(name: str, tmp_path: Path) -> None:
    planned = bench(lowered(name, PIXEL), tmp_path, Settings(token_parallelism=8), count=6)
    assert planned.design.interval_cycles == 1


@pytest.mark.slow
@pytest.mark.hls
@pytest.mark.parametrize("name", ["encoder_each", "encoder_shared"])
def test_encoders_in_hls(name: str, tmp_path: Path) -> None:
    graph, frames, logits = encoder(name)
    project = generate(graph, HlsSettings("vitis", "io_parallel", reuse_factor=1))
    found = check(project, graph, frames, logits, tmp_path)
    assert found.first is None, f"{found.first} {found.where}"
    assert (found.vectors, found.mismatches) == (360, 0)


def test_numpy_gives_the_logits() -> None:
    for name in ("encoder_each", "encoder_shared"):
        graph, frames, logits = encoder(name)
        np.testing.assert_array_equal(run(graph, frames)["head"], logits["head"])
