"""What Intel HLS and oneAPI projects hold, and that their integers are the executor's."""

from __future__ import annotations

import itertools
import re
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from equiv.hls_graphs import GRAPHS
from equiv.hls_networks import FRAMES, case
from equiv.networks import NETWORKS, Maker, network, vectors

from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import Backend, HlsSettings, IoType, Project
from gateformer.quant.execute import run
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.cast import Cast
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.types import Fixed, Overflow, Rounding
from gateformer.sim.hls.build import compile_project, write_tree
from gateformer.sim.hls.run import check

pytestmark = pytest.mark.hls

INTEL: tuple[Backend, ...] = ("quartus", "oneapi")
IO: tuple[IoType, ...] = ("io_parallel", "io_stream")


def made(backend: Backend, io_type: IoType, name: str = "masked", **chosen: int) -> Project:
    return generate(network(NETWORKS[name]), HlsSettings(backend, io_type, **chosen))


def agree(graph: Graph, project: Project, work: Path) -> None:
    frames = vectors(graph, 60)
    expected = run(graph, frames)
    got = compile_project(project, work).run(frames)
    for name, value in expected.items():
        assert np.array_equal(np.asarray(got[name]).reshape(value.shape), value), name


@pytest.mark.parametrize("backend", INTEL)
@pytest.mark.parametrize("io_type", IO)
def test_the_same_bytes_twice(backend: Backend, io_type: IoType) -> None:
    assert made(backend, io_type).files == made(backend, io_type).files


def test_streams_have_depths() -> None:
    project = made("quartus", "io_stream", "self_attention")
    body, defines = (
        project.files["firmware/self_attention.cpp"],
        project.files["firmware/defines.h"],
    )
    assert re.findall(r"^stream<\w+, \d+> \w+;$", body, re.MULTILINE) == [
        "stream<x_t, 6> x;",
        "stream<x_t, 6> x_copy1_out;",
        "stream<x_t, 78> x_copy2_out;",
        "stream<mix_t, 6> mix_out;",
        "stream<result_t, 6> sum_out;",
    ]
    assert "using stream = ihc::stream<T, ihc::buffer<Depth>>;" in defines
    assert "using stream = nnet::stream<T>;" in defines


@pytest.mark.parametrize("io_type", IO)
def test_several_outputs_have_a_testbench(io_type: IoType, tmp_path: Path) -> None:
    """The Makefile names the file; hls4ml writes it for one output alone."""
    project = made("quartus", io_type, "two_outputs")
    write_tree(project.files, tmp_path)
    include = ["-Ifirmware", "-Ifirmware/ac_types"]
    sources = ["two_outputs_test.cpp", "firmware/two_outputs.cpp"]
    command = ["g++", "-std=c++11", "-w", "-D_GLIBCXX_ASSERTIONS", *include, *sources, "-o", "test"]
    for step in (command, ["./test"]):
        done = subprocess.run(step, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:2000]


def test_kernels_take_constants() -> None:
    """Those of a class have to be constexpr; others are plain integers."""
    files = made("oneapi", "io_stream", "self_attention").files
    weight = files["src/firmware/weights/mix_query_weight.h"]
    head, _, rest = weight.partition("#ifdef GF_SYNTHESIS\n")[2].partition("#else\n")
    assert "static constexpr mix_query_weight_t::value_type mix_query_weight[" in head
    assert rest.startswith("static const double mix_query_weight_values[")
    plain = "#if defined(GF_SYNTHESIS) && !defined(__SYCL_DEVICE_ONLY__)"
    assert plain in files["src/firmware/gf/gf_types.h"]


def test_pipes_have_depths() -> None:
    body = made("oneapi", "io_stream", "self_attention").files["src/firmware/self_attention.cpp"]
    assert "pipe<XCopy2OutPipeID, x_t, 78>" in body
    assert "task_sequence<mix_task<mix_config, XCopy1OutPipe, MixOutPipe>> mix_run;" in body
    assert "mix_run.async();" in body


@pytest.mark.parametrize(
    ("backend", "line"),
    [
        ("quartus", "#pragma ii CONFIG_T::reuse_factor"),
        ("oneapi", "[[intel::initiation_interval(CONFIG_T::reuse_factor)]]"),
    ],
)
def test_the_interval_stands_before_the_loop(backend: Backend, line: str) -> None:
    project = made(backend, "io_stream", "self_attention", reuse_factor=3)
    root = "src/firmware" if backend == "oneapi" else "firmware"
    assert f"{line}\n    for (unsigned t = 0; t < 6; t++)" in project.files[f"{root}/layers/mix.h"]
    assert "reuse_factor = 3;" in project.files[f"{root}/parameters.h"]


@pytest.mark.parametrize("backend", INTEL)
def test_one_bit_is_held_in_two(backend: Backend) -> None:
    project = made(backend, "io_parallel")
    root = "src/firmware" if backend == "oneapi" else "firmware"
    defines = project.files[f"{root}/defines.h"]
    assert "ac_fixed<2,2,false>" in defines
    assert "ac_fixed<1," not in defines


def test_names_stay_apart(tmp_path: Path) -> None:
    """From what the C library, hls4ml's macros and its pipes are called."""

    def random(m: Maker) -> None:
        x, y = m.builder.input("time", (3, 2)), m.builder.input("x1", (3, 2))
        h = m.one(Add(), m.linear(x, 2, "MAX"), y, name="x_1")
        m.builder.output(m.linear(h, 2, "x_1_task"))

    graph = network(random)
    for backend in INTEL:
        project = generate(graph, HlsSettings(backend, "io_stream"))
        assert project.top == "random_2"
        agree(graph, project, tmp_path)


def one_bit() -> Graph:
    """Every way into one bit, and out of it."""
    b = Builder("bits")
    x = b.input("x", (3, 4), Fixed(True, 6, 2))
    table = Lookup(np.array([5, -3]), 2)
    modes = itertools.product((False, True), Rounding, Overflow)
    for number, (signed, rounding, overflow) in enumerate(modes):
        kind = Fixed(signed, 1, number % 4 - 1)
        bit = b.add(Cast(kind, rounding, overflow), x, name=f"bit{number}", layer=f"bit{number}")
        out = b.add(table, bit, name=f"out{number}", layer=f"out{number}")
        b.output(b.add(Mul(), out, bit, name=f"product{number}", layer=f"out{number}"))
    b.output(bit)
    return b.build()


@pytest.mark.parametrize(
    ("backend", "io_type"), [("quartus", "io_stream"), ("oneapi", "io_parallel")]
)
def test_integers_of_one_bit_agree(backend: Backend, io_type: IoType, tmp_path: Path) -> None:
    graph = one_bit()
    agree(graph, generate(graph, HlsSettings(backend, io_type)), tmp_path)


ALL = {**GRAPHS, **{name: partial(network, make) for name, make in NETWORKS.items()}}
"""Statements in odd forms, and small networks of every kind."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("backend", INTEL)
@pytest.mark.parametrize("io_type", IO)
def test_every_graph_agrees(name: str, backend: Backend, io_type: IoType, tmp_path: Path) -> None:
    graph = ALL[name]()
    agree(graph, generate(graph, HlsSettings(backend, io_type)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["btag", "digits"])
@pytest.mark.parametrize("backend", INTEL)
@pytest.mark.parametrize("io_type", IO)
def test_shipped_networks_agree(
    name: str, backend: Backend, io_type: IoType, tmp_path: Path
) -> None:
    given = case(name)
    project = generate(given.graph, HlsSettings(backend, io_type), given.kinds)
    found = check(project, given.graph, given.frames, given.expected, tmp_path)
    assert found.first is None, found.first
    assert (found.vectors, found.mismatches) == (FRAMES, 0)
