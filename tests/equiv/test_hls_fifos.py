"""The FIFO depths that ``generate hls`` declares: no network stops, however its layers hold back.

Each project's own C++ runs with its calls as processes and its streams as deep as declared; layers
pass a beat on at once, or only after they have read more, as pipelines do that stall as a whole.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from equiv.hls_clocks import depths, interval, loops
from equiv.hls_fifos import Bounded, Run, compiled
from equiv.hls_networks import CASES, case
from equiv.networks import NETWORKS, network, vectors

from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import HlsSettings
from gateformer.quant.execute import run
from gateformer.quant.graph import Graph
from gateformer.quant.types import IntArray

pytestmark = pytest.mark.hls

FRAMES = 7
LAGS = (0, 1, 3, 1000, -12, -12, -12)
"""Beats that layers hold their results back for; below 0: each its own, drawn up to 12."""


def built(graph: Graph, folder: Path) -> tuple[Bounded, dict[str, IntArray], dict[str, IntArray]]:
    """A network's project, frames for it, and what they must give."""
    frames = vectors(graph, FRAMES)
    project = generate(graph, HlsSettings("vitis", "io_stream"))
    return compiled(project, folder), frames, run(graph, frames)


def passes(found: Run, expected: dict[str, IntArray]) -> None:
    assert not found.stuck, found.stuck
    for name, value in expected.items():
        assert np.array_equal(found.outputs[name], value.reshape(FRAMES, -1)), name


@pytest.mark.parametrize("name", ["self_attention"])
def test_declared_depths_suffice(name: str, tmp_path: Path) -> None:
    bounded, frames, expected = built(network(NETWORKS[name]), tmp_path)
    for seed, lag in enumerate(LAGS):
        passes(bounded.run(frames, lag=lag, seed=seed), expected)
    found = bounded.run(frames, most=4)  # the layer beside the skip gathers six beats
    assert any("x_copy2_out is full" in line for line in found.stuck), found.stuck


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_stops(name: str, tmp_path: Path) -> None:
    bounded, frames, expected = built(network(NETWORKS[name]), tmp_path)
    for seed, lag in enumerate(LAGS):
        passes(bounded.run(frames, lag=lag, seed=seed), expected)
    if name in ("self_attention", "deep", "folded"):
        assert bounded.run(frames, most=2).stuck


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_shipped_network_stops(name: str, tmp_path: Path) -> None:
    bounded, frames, expected = built(case(name).graph, tmp_path)
    for seed, lag in enumerate(LAGS):
        passes(bounded.run(frames, lag=lag, seed=seed), expected)


def slowed(graph: Graph, latency: int) -> list[tuple[int, int]]:
    """Intervals with FIFOs as deep as declared, and without bound; pipelines rewound or not."""
    project = generate(graph, HlsSettings("vitis", "io_stream"))
    found, deep = loops(project), depths(project)
    free = dict.fromkeys(deep, 1 << 20)
    return [
        (interval(found, deep, latency, rewound), interval(found, free, latency, rewound))
        for rewound in (False, True)
    ]


@pytest.mark.parametrize("name", ["self_attention", "gelu"])
@pytest.mark.parametrize("latency", [4, 30])
def test_no_skip_slows_the_frames(name: str, latency: int) -> None:
    """A loop's pipeline takes up to 32 clocks: FIFOs hold what arrives meanwhile."""
    for bounded, free in slowed(network(NETWORKS[name]), latency):
        assert bounded == free


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_skip_slows_a_shipped_network(name: str) -> None:
    for latency in (1, 4, 15, 30):
        for bounded, free in slowed(case(name).graph, latency):
            assert bounded == free


def test_shallow_skips_would_slow_the_frames() -> None:
    """The model tells: a frame a FIFO is too little around a pair of dense layers."""
    project = generate(network(NETWORKS["gelu"]), HlsSettings("vitis", "io_stream"))
    found = loops(project)
    tokens = max(loop.tokens for loop in found)
    deep = {name: min(depth, tokens) for name, depth in depths(project).items()}
    assert interval(found, deep, 30, True) > 3 * tokens
