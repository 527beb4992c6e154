"""Six networks: HLS C++ = numpy = RTL in every integer of 10,000 frames, arrays and streams."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from equiv.hls_networks import CASES, FRAMES, case

from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import HlsSettings, IoType
from gateformer.hw.rtl.emit import emit
from gateformer.quant.execute import run
from gateformer.quant.ops.cast import Cast
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.types import Overflow
from gateformer.sim.hls.run import check
from gateformer.sim.rtl.bulk import bulk

pytest.importorskip("hls4ml", reason="it makes the projects")

QUICK = {("layer_norm", "io_parallel"), ("digits", "io_stream")}
"""Those of the twelve that run every time."""

TWELVE = [
    pytest.param(name, io, id=f"{name}-{io}", marks=[] if (name, io) in QUICK else pytest.mark.slow)
    for name in CASES
    for io in ("io_parallel", "io_stream")
]


@cache
def rtl_agrees(name: str, folder: Path) -> bool:
    """Run a network's frames through its compiled RTL, once for both kinds of C++."""
    given = case(name)
    files = emit(given.plan).files
    found = bulk(given.plan.design, files, given.frames, given.expected, work=folder / name)
    assert found.first is None, found.first
    assert not found.problems
    return found.vectors == FRAMES and found.mismatches == 0


@pytest.fixture(scope="module")
def rtl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rtl")


@pytest.mark.verilator
@pytest.mark.parametrize(("name", "io"), TWELVE)
def test_hls_is_numpy_is_rtl(name: str, io: IoType, tmp_path: Path, rtl_folder: Path) -> None:
    given = case(name)
    settings = HlsSettings(io_type=io, reuse_factor=given.reuse_factor, layers=given.layers)
    project = generate(given.graph, settings, given.kinds)
    found = check(project, given.graph, given.frames, given.expected, tmp_path)
    assert found.first is None, f"{found.first}; {found.where}"
    assert found.vectors == FRAMES
    assert found.mismatches == 0
    for value, array in found.outputs.items():
        np.testing.assert_array_equal(array, given.expected[value])
    assert rtl_agrees(name, rtl_folder)


@pytest.mark.parametrize("name", CASES)
def test_frames_reach_the_corners(name: str) -> None:
    """Extremes, one-hot frames, equal scores, casts that saturate, and every entry of exp."""
    given = case(name)
    for value, frames in given.frames.items():
        kind = given.graph.values[value].fixed
        assert len(frames) == FRAMES
        assert (frames.min(), frames.max()) == (kind.min, kind.max)
        hot = (frames.reshape(FRAMES, -1) != 0).sum(-1) == 1
        assert hot.sum() > 300
    last = {value: frames[-600:] for value, frames in given.frames.items()}
    values = run(given.graph, last, keep=True)
    for score in (value for value in values if value.endswith("/score/exact")):
        flat = np.ptp(values[score], axis=-1) == 0
        assert flat.reshape(len(flat), -1).all(axis=-1).sum() > 50
    kinds = {
        node.output: given.graph.values[node.output].fixed
        for node in given.graph.nodes
        if isinstance(node.op, Cast) and node.op.overflow is Overflow.SAT
    }
    both = [v for v, kind in kinds.items() if {kind.min, kind.max} <= set(np.unique(values[v]))]
    assert len(both) > len(kinds) / 2, sorted(kinds.keys() - both)
    for node in given.graph.nodes:
        if isinstance(node.op, Lookup) and node.output.endswith("_attention/exp"):
            assert len(np.unique(values[node.inputs[0]])) > 0.9 * len(node.op.table)
