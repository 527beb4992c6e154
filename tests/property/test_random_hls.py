"""Random small networks through every HLS backend: g++ = executor in every integer.

A failing network is kept in ``runs/failures``: ``hls.json`` (the typed graph) and
``hls.settings.json``; ``replay`` runs it again.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import pytest
from equiv.networks import vectors
from hypothesis import Phase, given, settings
from property.test_random_networks import FAILURES, QUIET, Case, cases

from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import Backend, HlsSettings, IoType
from gateformer.quant.errors import GateformerError
from gateformer.quant.execute import run
from gateformer.quant.graph import Graph
from gateformer.quant.serialize import load, save
from gateformer.sim.hls.build import compile_project

pytestmark = [pytest.mark.hls, pytest.mark.slow]

WAYS = [HlsSettings(backend, io) for backend in get_args(Backend) for io in get_args(IoType)]
"""Every backend with either kind of ports."""


def check(graph: Graph, chosen: HlsSettings) -> None:
    """Compile a network and run it; one that fails is kept."""
    readers = graph.consumers()
    if chosen.io_type == "io_stream" and not all(readers[name] for name in graph.inputs):
        with pytest.raises(GateformerError, match="E312"):
            generate(graph, chosen)
        return
    frames = vectors(graph, 96, 1)
    expected = run(graph, frames)
    try:
        with TemporaryDirectory() as work:
            made = compile_project(generate(graph, chosen), Path(work)).run(frames)
        for name, value in expected.items():
            got = np.asarray(made[name]).reshape(value.shape)
            wrong = np.argwhere(got != value)
            assert not len(wrong), (chosen.backend, chosen.io_type, name, tuple(wrong[0]))
    except Exception as error:
        FAILURES.mkdir(parents=True, exist_ok=True)
        kept = FAILURES / "hls.json"
        save(graph, kept)
        rest = {f.name: getattr(chosen, f.name) for f in fields(chosen)}
        rest["layers"] = dict(chosen.layers)
        kept.with_suffix(".settings.json").write_text(json.dumps(rest), encoding="utf-8")
        error.add_note(f"the network is kept as {kept}")
        raise


def replay(kept: Path) -> None:
    """Check a kept network again."""
    rest = json.loads(kept.with_suffix(".settings.json").read_text(encoding="utf-8"))
    check(load(kept), HlsSettings(**rest))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.backend}-{way.io_type}")
@settings(
    max_examples=12,
    suppress_health_check=QUIET,
    phases=[Phase.explicit, Phase.generate],  # shrinking would compile for hours
    report_multiple_bugs=False,
)
@given(case=cases())
def test_random_networks(way: HlsSettings, case: Case) -> None:
    layers = dict(case.layers)
    chosen = HlsSettings(way.backend, way.io_type, reuse_factor=case.reuse_factor, layers=layers)
    check(case.graph, chosen)
