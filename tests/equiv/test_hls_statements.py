"""HLS C++ = numpy in every integer: small networks of every kind, and statements in odd forms."""

from __future__ import annotations

from pathlib import Path

import pytest
from equiv.hls_graphs import GRAPHS
from equiv.networks import NETWORKS, network, vectors

from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import Backend, HlsSettings, IoType
from gateformer.quant.execute import run
from gateformer.quant.graph import Graph
from gateformer.sim.hls.run import check

pytestmark = pytest.mark.hls

IO: tuple[IoType, ...] = ("io_parallel", "io_stream")


def equal(graph: Graph, work: Path, io_type: IoType, backend: Backend = "vitis") -> None:
    settings = HlsSettings(backend, io_type, reuse_factor=2 if io_type == "io_stream" else 1)
    frames = vectors(graph, 600)
    found = check(generate(graph, settings), graph, frames, run(graph, frames), work)
    assert found.first is None, f"{found.first} {found.where}"
    assert (found.vectors, found.mismatches) == (600, 0)


def test_layout_between_streams(tmp_path: Path) -> None:
    equal(GRAPHS["moved"](), tmp_path, "io_stream")


@pytest.mark.slow
@pytest.mark.parametrize("io_type", IO)
@pytest.mark.parametrize("name", GRAPHS)
def test_odd_forms(tmp_path: Path, name: str, io_type: IoType) -> None:
    equal(GRAPHS[name](), tmp_path, io_type)


@pytest.mark.slow
@pytest.mark.parametrize("io_type", IO)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(tmp_path: Path, name: str, io_type: IoType) -> None:
    equal(network(NETWORKS[name]), tmp_path, io_type)


@pytest.mark.slow
def test_vivado_hls(tmp_path: Path) -> None:
    equal(network(NETWORKS["masked"]), tmp_path, "io_stream", "vivado")
