"""The shipped encoder trained by Brevitas: its reals, its integers, HLS C++ and RTL say the same.

Brevitas' own outputs are shipped with the network; they are float32, ours float64: where a value
lies on the border of two steps within float32's rounding, one sample in a hundred, they part.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from equiv.networks import icarus

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.hls.project import HlsSettings
from gateformer.hw.rtl.emit import emit
from gateformer.hw.settings import Settings
from gateformer.quant.calibrate import calibrate
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import Requantize
from gateformer.quant.frontends import load
from gateformer.quant.graph import Graph
from gateformer.quant.lower import lower
from gateformer.quant.passes.prepare import prepare
from gateformer.quant.types import FloatArray, IntArray
from gateformer.sim.rtl import testbench as bench

pytestmark = pytest.mark.onnx

PROJECT = Path(__file__).parents[2] / "fpga_projects" / "digits_encoder"
FLOAT32 = 1e-4
"""Of outputs up to 20: what float32's sums explain without a step that falls elsewhere."""
BITS = 16
"""Of a factor, where a result has 8 bits or more."""


@cache
def data() -> dict[str, FloatArray]:
    with np.load(PROJECT / "data.npz", allow_pickle=False) as file:
        return {name: np.asarray(file[name], np.float64) for name in file.files}


@cache
def imported() -> Graph:
    return load(PROJECT / "model.onnx")


@cache
def folded() -> Graph:
    """As the flow folds it: every value in units of its steps."""
    return prepare(imported())[0]


@cache
def lowered() -> Graph:
    """Integers as the flow makes them: calibrated on the network's calibration images."""
    graph = folded()
    return lower(graph, calibrate(graph, {"x": data()["x_calib"]}).types)


def raw(images: FloatArray) -> dict[str, IntArray]:
    return {"x": lowered().from_real("x", images)}


def integers(images: FloatArray) -> FloatArray:
    return lowered().to_real("logits", run(lowered(), raw(images))["logits"])


def test_our_reals_are_brevitas_outputs() -> None:
    expected = data()["y_framework"]
    for graph in (imported(), folded()):
        found = run_reals(graph, {"x": data()["x_test"]})["logits"]
        off = np.abs(found - expected).max(axis=1)
        assert (off > FLOAT32).mean() <= 0.02
        assert (found.argmax(1) == expected.argmax(1)).all()
        assert off.max() < 0.03 * np.abs(expected).max()


def test_the_integers_choose_what_brevitas_chooses() -> None:
    expected = data()["y_framework"]
    found = integers(data()["x_test"])
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.999
    assert (found.argmax(1) == data()["y_test"]).mean() >= 0.95
    error = found - expected
    assert np.sqrt((error**2).mean()) < 0.02 * np.sqrt((expected**2).mean())
    assert np.abs(error).max() < 0.05 * np.abs(expected).max()


def test_the_integers_choose_the_same_on_calibration_images_and_noise() -> None:
    """Noise has no class: its two best outputs may lie nearer to each other than the error."""
    noise = np.random.default_rng(0).uniform(0, 1, (200, 8, 8))
    for images, least in ((data()["x_calib"], 0.999), (noise, 0.97)):
        exact = run_reals(imported(), {"x": images})["logits"]
        assert (integers(images).argmax(1) == exact.argmax(1)).mean() >= least


def test_every_requantized_step_obeys_its_bound() -> None:
    """On real operands: equal, but within ``2^-b |x factor|`` of where rounding turns."""
    graph, made = folded(), lowered()
    held = run(made, raw(data()["x_test"][:50]), keep=True)
    checked = 0
    for node in graph.nodes:
        op, name = node.op, node.inputs[0]
        if not isinstance(op, Requantize) or name not in held:
            continue
        units = made.values[name].fixed.to_real(held[name])
        offset = 0.0 if op.offset is None else op.offset
        moved = units * op.factor + offset + op.zero_point
        step = np.clip(np.rint(moved), op.low, op.high) - op.zero_point
        top = max(abs(op.low), abs(op.high), int(np.abs(op.zero_point).max()))
        near = np.abs(units * op.factor) * 2.0 ** -(BITS - max(0, 7 - top.bit_length()))
        near = near + (0.0 if op.offset is None else 2.0**-12)
        border = np.abs(moved - 0.5 - np.rint(moved - 0.5))
        steps = held[node.output] / 2.0 ** (made.values[node.output].fixed.frac - op.frac)
        assert (steps == step)[border > near].all(), node.output
        assert np.abs(steps - step).max() <= 1, node.output
        assert (steps != step).mean() < 2e-3, node.output
        checked += 1
    assert checked >= 20


@pytest.mark.brevitas
def test_qonnx_computes_brevitas_outputs() -> None:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    images = data()["x_test"].astype(np.float32)
    model = ModelWrapper(str(PROJECT / "model.onnx"))
    model.set_tensor_shape("x", list(images.shape))
    found = execute_onnx(model.transform(InferShapes()), {"x": images})["logits"]
    assert np.abs(found - data()["y_framework"]).max() < FLOAT32


@pytest.mark.slow
@pytest.mark.icarus
def test_rtl_gives_the_same_integers(tmp_path: Path) -> None:
    """Images, the darkest and the brightest one, on the generated testbench."""
    images = np.concatenate([data()["x_test"][:8], np.zeros((1, 8, 8)), np.full((1, 8, 8), 9.0)])
    frames = raw(images)
    planned = plan(lowered(), Settings())
    files = {
        **emit(planned).files,
        **bench.testbench(planned.design, frames, run(lowered(), frames)),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    sources = [name for name in files if name.endswith(".v")]
    told = icarus(tmp_path, f"tb_{planned.design.name}", sources)
    clocks = f"latency {planned.design.latency_cycles}, interval {planned.design.interval_cycles}"
    assert told[-1] == f"PASS: {len(images)} frames, {clocks} clocks", "\n".join(told[-8:])


@pytest.mark.slow
@pytest.mark.hls
def test_hls_gives_the_same_integers(tmp_path: Path) -> None:
    from gateformer.hw.hls.model import generate
    from gateformer.sim.hls.run import check

    frames = raw(data()["x_test"])
    settings = HlsSettings("vitis", "io_stream", reuse_factor=2)
    project = generate(lowered(), settings)
    found = check(project, lowered(), frames, run(lowered(), frames), tmp_path)
    assert found.first is None, f"{found.first} {found.where}"
    assert (found.vectors, found.mismatches) == (len(frames["x"]), 0)
