"""Networks quantized after training: executor = RTL in every integer; one design = HLS C++ too."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from equiv.networks import bench, vectors
from unit.ptq_networks import data, network

from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.quant.graph import Graph
from gateformer.quant.ptq.pipeline import make
from gateformer.quant.ptq.settings import Recipe
from gateformer.quant.ptq.techniques import parse

FORMS = {
    "equal": (Recipe(6, 6), ()),
    "mixed": (Recipe(4, 5, widths={"up/kernel": 2, "attention/exp": 3, "add1": 8}), ("repq",)),
    "pruned": (Recipe(5, 6, scheme="per-tensor"), ("prune=0.4",)),
    "scaled": (Recipe(6, 6, step="float"), ("repq",)),
    "shifted": (Recipe(6, 6), ("log_sqrt2",)),
    "clipped": (Recipe(6, 6), ("clipped_softmax=1",)),
}


def typed(form: str) -> Graph:
    recipe, techniques = FORMS[form]
    return make(network(), data(), recipe, techniques=parse(techniques)).typed


@pytest.mark.icarus
@pytest.mark.parametrize("form", FORMS)
def test_rtl_is_numpy(form: str, tmp_path: Path) -> None:
    graph = typed(form)
    for p, r in ((1, 2), (4, 1)):
        settings = Settings(token_parallelism=p, reuse_factor=r)
        bench(graph, tmp_path / f"{p}_{r}", settings, count=7)


@pytest.mark.hls
@pytest.mark.slow
@pytest.mark.parametrize("io", ["io_parallel", "io_stream"])
def test_hls_is_numpy(io: Literal["io_parallel", "io_stream"], tmp_path: Path) -> None:
    from gateformer.hw.hls.model import generate
    from gateformer.hw.hls.project import HlsSettings
    from gateformer.sim.hls.run import check

    graph = typed("mixed")
    frames = vectors(graph, 500)
    project = generate(graph, HlsSettings(io_type=io), {})
    found = check(project, graph, frames, run(graph, frames), tmp_path)
    assert found.first is None, f"{found.first}; {found.where}"
    assert found.vectors == 500 and found.mismatches == 0
