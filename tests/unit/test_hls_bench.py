"""A project's own test bench on its own frames: what it computes is what its files expect."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from equiv.hls_graphs import Drawing
from equiv.networks import NETWORKS, network, vectors

from gateformer.hw.hls.bench import EXPECTED, FRAMES, GIVEN, with_frames
from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import Backend, HlsSettings, IoType, Project
from gateformer.quant.execute import run
from gateformer.quant.graph import Graph
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.reduce import Reduce
from gateformer.sim.hls.build import write_tree

pytestmark = pytest.mark.hls

IHC = """
#define ihc_hls_enqueue(result, component, ...) (*(result) = component(__VA_ARGS__))
#define ihc_hls_enqueue_noret(component, ...) (*(component))(__VA_ARGS__)
#define ihc_hls_component_run_all(component)
"""
"""Intel's calls of a component, each at once."""

TYPES = {"vitis": "ap_types", "vivado": "ap_types", "quartus": "ac_types"}
LOGS = {"ap_types": "csim_results.log", "ac_types": "results.log"}


def benched(graph: Graph, backend: Backend, io_type: IoType) -> Project:
    frames = vectors(graph, FRAMES + 10)
    return with_frames(generate(graph, HlsSettings(backend, io_type)), frames, run(graph, frames))


def computed(project: Project, work: Path) -> list[float]:
    """What the test bench logs when g++ has compiled it as it stands."""
    write_tree(project.files, work)
    (work / "ihc.h").write_text(IHC)
    types = TYPES[project.settings.backend]
    sources = [f"{project.top}_test.cpp", f"firmware/{project.top}.cpp"]
    options = ["-std=c++11", "-w", "-include", "ihc.h", "-Ifirmware", f"-Ifirmware/{types}"]
    for command in (["g++", *options, *sources, "-o", "bench"], ["./bench"]):
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:2000]
    return [float(number) for number in (work / "tb_data" / LOGS[types]).read_text().split()]


def expected(project: Project) -> list[float]:
    return [float(number) for number in project.files[EXPECTED].split()]


def several() -> Graph:
    """Two inputs, one of them a mask; a frame and a vector come out."""
    to = Drawing("several")
    x, keep = to.input("x", "fixed<9,5>", 4, 3), to.input("keep", "ufixed<1,1>", 4, 1)
    kept = to.add(Mul(), x, keep, name="kept")
    return to.graph(kept, to.add(Reduce("sum", "tokens"), kept, name="total"))


def masked() -> Graph:
    """Two inputs, one output."""
    to = Drawing("masked")
    x, keep = to.input("x", "fixed<9,5>", 4, 3), to.input("keep", "ufixed<2,2>", 4, 1)
    return to.graph(to.add(Mul(), x, keep, name="kept"))


def fine() -> Graph:
    """Numbers that a float would round."""
    to = Drawing("fine")
    x, y = to.input("x", "fixed<40,4>", 3), to.input("y", "fixed<52,1>", 3)
    return to.graph(to.add(Add(), x, x, name="a"), to.add(Add(), y, y, name="b"))


@pytest.mark.parametrize(
    ("backend", "io_type", "make"),
    [
        ("vitis", "io_parallel", several),
        ("vitis", "io_stream", several),
        ("vivado", "io_parallel", fine),
        ("quartus", "io_parallel", masked),
        ("quartus", "io_stream", masked),
    ],
)
def test_the_bench_computes_what_it_expects(
    backend: Backend, io_type: IoType, make: Callable[[], Graph], tmp_path: Path
) -> None:
    project = benched(make(), backend, io_type)
    numbers = expected(project)
    assert len(set(numbers)) > FRAMES
    assert computed(project, tmp_path) == numbers


def test_frames_are_exact_decimals() -> None:
    graph = network(NETWORKS["masked"])
    frames = vectors(graph, FRAMES + 10)
    project = with_frames(generate(graph, HlsSettings()), frames, run(graph, frames))
    lines = project.files[GIVEN].splitlines()
    assert len(lines) == len(project.files[EXPECTED].splitlines()) == FRAMES
    for number, line in enumerate(lines):
        raw = [
            Fraction(int(value), 1) / 2**port.type.frac
            for port in project.inputs
            for value in np.ravel(frames[port.name][number])
        ]
        assert [Fraction(text) for text in line.split()] == raw
