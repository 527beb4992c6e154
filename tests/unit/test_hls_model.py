"""HLS projects as text: structure, depths, pragmas, names, weights, faults."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from equiv.hls_graphs import GRAPHS, Drawing, numbers
from equiv.networks import NETWORKS, network

from gateformer.hw.hls import model
from gateformer.hw.hls.extension import class_of
from gateformer.hw.hls.model import generate
from gateformer.hw.hls.names import RESERVED, Names
from gateformer.hw.hls.project import HlsSettings, Project
from gateformer.quant.errors import (
    ConfigError,
    Problems,
    ScheduleError,
    ToolError,
    TypeRangeError,
)
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Inferred, Primitive, Shape, Value
from gateformer.quant.ops.cast import Constant
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.types import Fixed, IntArray

pytestmark = pytest.mark.hls

STREAM = HlsSettings(io_type="io_stream")


def made(name: str, settings: HlsSettings = STREAM) -> Project:
    graph = GRAPHS[name]() if name in GRAPHS else network(NETWORKS[name])
    return generate(graph, settings)


def top(project: Project) -> str:
    return project.files[f"firmware/{project.top}.cpp"]


def depths(project: Project) -> dict[str, int]:
    found = re.findall(r"STREAM variable=(\w+) depth=(\d+)", top(project))
    return {name: int(depth) for name, depth in found}


@pytest.mark.parametrize("backend", ["vitis", "vivado"])
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_same_input_same_bytes(backend: Any, io_type: Any) -> None:
    settings = HlsSettings(backend, io_type)
    one, other = made("masked", settings), made("masked", settings)
    assert one.files == other.files
    text = "\n".join(one.files.values())
    assert "/tmp" not in text
    assert "gateformer-hls-" not in text
    assert "OutputDir: .\n" in one.files["hls4ml_config.yml"]


@pytest.mark.parametrize("name", ["masked", "embedded", "short_inputs"])
def test_every_header_is_there(name: str) -> None:
    files = made(name).files
    for path, text in files.items():
        if "ap_types" in path:
            continue
        for wanted in re.findall(r'#include "([^"]+)"', text):
            here = str(PurePosixPath(path).parent)
            bases = (here, "firmware", "firmware/ap_types", ".")
            tried = [_plain(f"{base}/{wanted}") for base in bases]
            assert any(t in files for t in tried) or wanted.startswith("ap_"), (path, wanted)


def _plain(path: str) -> str:
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


@pytest.mark.parametrize("name", [*NETWORKS, *GRAPHS])
def test_streams_have_one_writer_and_one_reader(name: str) -> None:
    """Else DATAFLOW is not legal."""
    project = made(name)
    calls = re.findall(r"^    [\w:]+<\w+>\(([^;]*)\);", top(project), re.MULTILINE)
    used = [wire for call in calls for wire in call.split(", ")]
    ports = {port.variable for port in (*project.inputs, *project.outputs)}
    assert set(used) == {*depths(project), *ports}
    for wire in depths(project):
        assert used.count(wire) == 2
    for port in ports:
        assert used.count(port) == 1


@pytest.mark.parametrize("name", [*NETWORKS, *GRAPHS])
def test_frames_have_one_writer_and_one_reader(name: str) -> None:
    project = made(name)
    for path, text in project.files.items():
        if not path.startswith("firmware/layers/") or "DATAFLOW" not in text:
            continue
        region = text.partition("#pragma HLS DATAFLOW")[2]
        frames = re.findall(r"^    gf::\S+ \d+> (\w+)\[", region, re.MULTILINE)
        calls = re.findall(r"\(\s*([^;()]*?)\s*\);", region)
        used = [name for call in calls for name in re.split(r",\s*", call)]
        assert frames
        assert all(used.count(frame) == 2 for frame in frames), path


def test_skips_hold_what_attention_holds() -> None:
    """A frame, the frame that is gathered, and what arrives in two pipelines of 32 clocks."""
    found = depths(made("self_attention"))
    assert found == {"x_copy1_out": 6, "x_copy2_out": 6 * (1 + 1 + 11), "mix_out": 6}


def test_skips_past_two_blocks() -> None:
    found = depths(made("masked_twice"))
    assert found == {"first_out": 5}
    found = depths(made("deep"))
    skip = [depth for name, depth in found.items() if "copy2" in name]
    attention, pair = 5 * (1 + 1 + 13), 5 * (1 + 20)  # two pipelines of 32 clocks, and three
    assert skip == [attention, pair, attention, pair]


def test_an_output_leaves_when_its_phase_does() -> None:
    """An early output of a layer waits for a late one where both meet."""
    to = Drawing("early")
    x = to.input("x", "fixed<4,2>", 5, 2)
    early = to.add(Reshape((5, 1, 2)), x, name="l/early")
    score = to.add(MatMul("features"), early, early, name="l/score")
    late = to.add(MatMul("tokens"), score, early, name="l")
    graph = to.graph(to.add(Add(), late, early, name="sum"))
    found = depths(generate(graph, STREAM))
    assert found == {"l_early_out": 5 * (1 + 1 + 7), "l_out": 5}


def test_reuse_factors_reach_every_loop() -> None:
    settings = HlsSettings(io_type="io_stream", reuse_factor=4, layers={"logits": 3})
    project = made("dense", settings)
    parameters = project.files["firmware/parameters.h"]
    assert parameters.count("reuse_factor = 4;") == 2
    assert "reuse_factor = 3;" in parameters
    assert "multiplier_limit = (16 + reuse_factor - 1) / reuse_factor;" in parameters
    layer = project.files["firmware/layers/hidden.h"]
    assert "#pragma HLS PIPELINE II=CONFIG_T::reuse_factor" in layer
    assert (
        "#pragma HLS ALLOCATION operation instances=mul limit=CONFIG_T::multiplier_limit" in layer
    )
    parallel = made("dense", HlsSettings(reuse_factor=4, layers={"logits": 6}))
    assert "#pragma HLS PIPELINE II=6" in top(parallel)


def test_every_loop_says_how_it_runs() -> None:
    """Else the compiler rolls one that stands outside a pipeline, with an index at run time."""
    headers = {path: text for path, text in made("masked").files.items() if "firmware/gf/" in path}
    loops = [
        (path, found[0])
        for path, text in headers.items()
        for found in re.finditer(r"for \(.*\) \{\n +(.*)$", text, re.MULTILINE)
        if path != "firmware/gf/gf_weights.h" and not found[1].startswith("#pragma HLS ")
    ]
    assert len(headers) > 10
    assert not loops


def test_shifts_and_masks_take_no_multiplier() -> None:
    """Four of 20 weights are powers of two; of a mask and four scales, one scale is not."""
    assert "multiplier_limit = (16 " in made("dense").files["firmware/parameters.h"]
    to = Drawing("shifted")
    x, keep = to.input("x", "fixed<4,2>", 3, 4), to.input("keep", "ufixed<1,1>", 3, 4)
    masked = to.add(Mul(), x, keep, name="l/masked")
    scale = to.add(Constant(np.array([[2, 4, 6, 0]]), 1), name="l/scale")
    graph = to.graph(to.add(Mul(), masked, scale, name="l"))
    assert "multiplier_limit = (1 " in generate(graph, STREAM).files["firmware/parameters.h"]


@pytest.mark.parametrize("name", ["two_outputs", "broadcast", "entangled", "bypassed"])
def test_no_port_out_is_read(name: str) -> None:
    """Else the top function gets a way in for it, and waits there."""
    project = made(name, HlsSettings())
    calls = re.findall(r"^    [\w:]+<\w+>\(([^;]*)\);", top(project), re.MULTILINE)
    used = [wire for call in calls for wire in call.split(", ")]
    assert [used.count(port.variable) for port in project.outputs] == [1] * len(project.outputs)


@pytest.mark.parametrize("name", ["masked", "moved", "bypassed", "folded"])
def test_frames_of_registers_are_written_and_read_once(name: str) -> None:
    """Each register between processes is a channel."""
    files = made(name).files
    text = "\n".join(text for path, text in files.items() if "/layers/" in path)
    functions = re.findall(r"^void \w+\(([^{]*?)\) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    between = 0
    for parameters, body in functions:
        for frame in re.findall(r"\(&(\w+_frame\d*_(?:in|out))\)", parameters):
            own = frame.rpartition("_")[0]
            way = f"{own}, {frame}" if frame.endswith("_out") else f"{frame}, {own}"
            assert body.count(frame) == 1
            assert f"\n    gf::copy({way});" in body  # outside the loop
            between += 1
    assert between


def test_what_runs_once_a_frame_has_the_clocks_of_a_frame() -> None:
    project = made("two_outputs")
    assert "frame_interval = 5 * reuse_factor;" in project.files["firmware/parameters.h"]
    paced = "#pragma HLS PIPELINE II=CONFIG_T::frame_interval"
    assert paced in project.files["firmware/layers/logits.h"]
    assert paced not in project.files["firmware/layers/hidden.h"]
    for project in (made("dense"), made("two_outputs", HlsSettings())):
        assert "frame_interval" not in project.files["firmware/parameters.h"]


def test_a_token_is_one_function_of_arrays() -> None:
    text = made("two_outputs", HlsSettings()).files["firmware/layers/hidden.h"]
    body = text.partition("hidden_token(")[2].partition("\n}")[0]
    assert "#pragma HLS INLINE off\n    #pragma HLS PIPELINE II=CONFIG_T::reuse_factor" in body
    assert "ALLOCATION operation instances=mul limit=CONFIG_T::multiplier_limit" in body
    assert "hidden_token<CONFIG_T>(" in text


def test_sums_over_tokens_run_with_the_tokens() -> None:
    stream = made("pooled").files["firmware/layers/mean.h"]
    assert "gf::sum_next(t == 0, x, sum_so_far);" in stream
    parallel = made("pooled", HlsSettings()).files["firmware/layers/mean.h"]
    assert "gf::sum_tokens(x_frame, 0, sum);" in parallel


def test_frames_that_skip_a_level_are_handed_on() -> None:
    text = made("bypassed").files["firmware/layers/l.h"]
    assert "gf::carry(h_frame2, h_frame2_2);" in text
    text = made("carried").files["firmware/layers/l.h"]
    assert "gf::carry_at_once(h_frame2, h_frame2_2);" in text


def test_layers_that_wait_for_each_other_are_split() -> None:
    calls = re.findall(r"^    (\w+)<\w+_config>", top(made("entangled")), re.MULTILINE)
    assert calls[:4] == ["a", "b", "a_2", "b_2"]


def test_ports_are_the_arguments() -> None:
    project = made("masked")
    head = re.search(r"void masked\((.*?)\)", top(project), re.DOTALL)
    assert head
    assert re.findall(r"&(\w+)", head[1]) == ["x", "keep", "pooled_out"]
    (x, keep), (pooled,) = project.inputs, project.outputs
    assert (x.tokens, x.features, keep.type) == (6, 4, Fixed(False, 1, 0))
    assert (pooled.name, pooled.tokens, pooled.features, pooled.size) == ("pooled", 1, 4, 4)


def decimals(text: str) -> list[float]:
    """Numbers of a C++ initializer."""
    listed = text.partition("{")[2].partition("}")[0]
    return [float(number) for number in listed.split(",")]


def test_weights_are_exact() -> None:
    to = Drawing("exact")
    x = to.input("x", "fixed<4,2>", 3)
    weight, bias = numbers(2, 3, top=1 << 30), numbers(2, top=1 << 40)
    op = Dense(weight, 31, bias, 45, (2,))
    project = generate(to.graph(to.add(op, x, name="y")), STREAM)
    files = project.files
    found = decimals(files["firmware/weights/y_weight.h"])
    assert np.array_equal(np.array(found), np.ldexp(weight.T.ravel().astype(float), -31))
    found = decimals(files["firmware/weights/y_bias.h"])
    assert np.array_equal(np.array(found), np.ldexp(bias.astype(float), -45))


def test_tables_are_raw_integers() -> None:
    files = made("embedded").files
    text = files["firmware/tables/embedding_table.h"]
    assert "static const gf::rom<6> embedding_table[16][3] = {" in text
    assert all(len(line) <= 100 for line in made("affine").files["firmware/tables/shares_table.h"])


def test_classes_say_what_layers_were() -> None:
    assert class_of("FoldedAttention", ()) == "GfAttention"
    nodes = network(NETWORKS["causal"]).nodes
    assert class_of(None, nodes) == "GfAttention"
    assert class_of(None, network(NETWORKS["gelu"]).nodes[-2:]) == "GfElementwise"
    text = made("folded").files["firmware/layers/mix.h"]
    assert "from model 'folded': mix\n" in text
    graph = network(NETWORKS["folded"])
    text = generate(graph, STREAM, {"mix": "FoldedAttention"}).files["firmware/layers/mix.h"]
    assert "from model 'folded': mix (FoldedAttention)\n" in text


def test_names_stay_apart() -> None:
    names = Names("btag")
    assert names.new("float") == "float_2"
    assert names.new("btag") == "btag_2"
    assert names.new("a/b") == "a_b"
    assert names.new("A_B") == "A_B_2"
    assert names.new("mix") == "mix"
    assert names.new("mix_out") == "mix_out_2"  # the stream that mix writes
    assert names.new("mix_frame") == "mix_frame_n2"  # mix_frame_2 could be a frame of mix
    assert names.new("late_t") == "late_t"
    assert names.new("late") == "late_2"
    assert names.new("mix_outer") == "mix_outer"
    assert "class" in RESERVED
    assert names.new("ap_fixed") == "ap_fixed_2"
    assert names.new("AP_RND") == "AP_RND_2"
    assert names.new("stdin") == "stdin_2"
    assert names.new("__func__") == "func__"
    assert names.new("_") == "n"
    assert names.new("3d") == "n3d"


@pytest.mark.parametrize("name", ["defines", "parameters", "nnet_types", "gf_types", "gf_cast"])
def test_no_header_hides_another(name: str) -> None:
    to = Drawing(name)
    x = to.input("x", "fixed<4,2>", 2)
    to.add(Dense(np.array([[1, 2]]), 0, np.array([0]), 0, (1,)), x, name=name)
    project = generate(to.graph(name), STREAM)
    guards = [
        found[0]
        for path, text in project.files.items()
        if path.startswith("firmware/") and (found := re.findall(r"#ifndef (\w+_H_?)$", text, re.M))
    ]
    assert len(guards) == len(set(guards))
    assert project.top == f"{name}_2"


def test_a_name_of_c_plus_plus() -> None:
    project = made("broadcast")
    assert project.top == "double_2"
    assert [port.variable for port in project.inputs] == ["x", "float_2", "z", "w"]


@dataclass(frozen=True, slots=True)
class Strange(Primitive):
    """A primitive that no backend knows."""

    def shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def infer(self, *inputs: Value) -> Inferred:
        return Inferred(inputs[0].fixed, *inputs[0].bounds)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        return inputs[0]


def strange() -> Graph:
    to = Drawing("strange")
    x = to.input("x", "fixed<4,2>", 3)
    y = to.add(Strange(), x, name="y")
    return to.graph(to.add(Strange(), y, name="z"))


def test_unknown_primitives_are_told_at_once() -> None:
    with pytest.raises(Problems) as found:
        generate(strange(), STREAM)
    assert [error.layer for error in found.value.errors if isinstance(error, ScheduleError)] == [
        "y",
        "z",
    ]
    assert "Strange" in str(found.value)


def test_outputs_without_hardware_are_refused() -> None:
    to = Drawing("idle")
    x = to.input("x", "fixed<4,2>", 3)
    c = to.add(Constant(numbers(3), 0), name="c")
    with pytest.raises(Problems) as found:
        generate(to.graph(x, c, to.add(Add(), x, c, name="y")), STREAM)
    assert [error.code for error in found.value.errors] == ["E311", "E311"]


def test_weights_beyond_a_double_are_refused() -> None:
    to = Drawing("heavy")
    x = to.input("x", "fixed<4,2>", 2)
    op = Dense(np.array([[1, 1 << 60]]), 0, np.array([0]), 0, (1,))
    with pytest.raises(TypeRangeError, match="E202"):
        generate(to.graph(to.add(op, x, name="y")), STREAM)


def test_without_hls4ml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="E505 hls4ml is not installed"):
        made("dense")


def test_an_hls4ml_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hls4ml.backends", None)
    with pytest.raises(ToolError, match=r"E504 hls4ml cannot be used.*hls4ml\.backends"):
        made("dense")


@pytest.mark.parametrize("settings", [STREAM, HlsSettings("quartus")])
def test_inputs_that_hls4ml_does_not_take(settings: HlsSettings) -> None:
    for width, fits in ((100, True), (101, False)):
        to = Drawing("wide")
        x = to.input("x", f"fixed<{width},2>", 2)
        graph = to.graph(to.add(Add(), x, x, name="y"))
        if fits:
            generate(graph, settings)
        else:
            with pytest.raises(TypeRangeError, match="E202 an input too wide for HLS: 'x'"):
                generate(graph, settings)


def test_settings_are_checked_at_once() -> None:
    with pytest.raises(Problems) as found:
        HlsSettings(reuse_factor=0, layers={"a": 70000}, clock_ns=0.0)
    assert len(found.value.errors) == 3
    with pytest.raises(ConfigError):
        HlsSettings(clock_ns=float("nan"))
    for part in ("x; exec rm", "$(rm)", "[exit]", "xc7z020\n", "-q", "x" * 65):
        with pytest.raises(ConfigError, match="E022 part = "):
            HlsSettings(part=part)
    with pytest.raises(Problems) as words:
        HlsSettings("Vitis", "io_serial")  # type: ignore[arg-type]
    assert len(words.value.errors) == 2
