"""Exporters' files are the golden: frameworks' outputs, onnxruntime's and qonnx's are ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.settings import Settings
from gateformer.quant.errors import ScheduleError
from gateformer.quant.execute import run_reals
from gateformer.quant.expand import LayerNorm, Linear, ScaledQuantize, Softmax
from gateformer.quant.expand.context import Types
from gateformer.quant.frontends import load
from gateformer.quant.graph import Graph
from gateformer.quant.lower import lower
from gateformer.quant.ops.layout import Transpose
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.types import Fixed

pytestmark = pytest.mark.onnx

FOLDER = Path(__file__).with_name("onnx")
FILES = sorted(path.stem for path in FOLDER.glob("*.onnx"))


def found(graph: Graph, held: np.lib.npyio.NpzFile, name: str) -> float:
    """Share of the samples whose outputs are those held."""
    (y,) = run_reals(graph, {graph.inputs[0]: held["x"].astype(np.float64)}).values()
    error = np.abs(y.reshape(held[name].shape) - held[name]).reshape(len(y), -1).max(1)
    return float((error < 2e-6 * max(1.0, float(np.abs(held[name]).max()))).mean())


def test_the_files_are_there() -> None:
    assert len(FILES) == 12


@pytest.mark.parametrize("name", FILES)
def test_reals_are_the_runtimes(name: str) -> None:
    with np.load(FOLDER / f"{name}.npz") as held:
        graph = load(FOLDER / f"{name}.onnx")
        assert found(graph, held, "runtime") == 1.0
        if not name.startswith("qdq"):  # whose y is the float network's
            assert found(graph, held, "y") == 1.0


@pytest.mark.parametrize("name", [name for name in FILES if "mlp" not in name])
def test_attention_streams(name: str) -> None:
    """No token leaves its place: scores and contexts are products, nothing is transposed."""
    graph = load(FOLDER / f"{name}.onnx")
    ops = [node.op for node in graph.nodes]
    assert [op.contract for op in ops if isinstance(op, MatMul)] == ["features", "tokens"]
    assert sum(isinstance(op, Softmax) for op in ops) == 1 + name.startswith(
        ("torch_e", "torch_p", "torch_s", "qdq")
    )
    assert not any(isinstance(op, Transpose) for op in ops)
    assert ("score" in " ".join(graph.values)) and ("context" in " ".join(graph.values))


def test_a_class_token_is_refused_by_the_name_of_its_join() -> None:
    graph = lower(load(FOLDER / "torch_encoder.onnx"), Types(default=Fixed.parse("fixed<12,5>")))
    with pytest.raises(ScheduleError) as caught:
        plan(graph, Settings())
    assert str(caught.value).startswith(
        "E310 tokens joined inside the network: 'concat' (Concat). It joins a token of constants "
        "(a class token) to 5 others, and a pipeline that takes 5 tokens a frame has no place for "
        "6: 'encoder/layers0/self_attn/matmul' reads them all. Leave it out, pool the tokens"
    )


def test_weights_stay_whole_steps() -> None:
    """Scales a channel beside whole steps; powers of two as plain weights."""
    graph = load(FOLDER / "brevitas_mlp.onnx")
    by_name = {node.output: node.op for node in graph.nodes}
    first, second = by_name["fc1"], by_name["fc2"]
    assert isinstance(first, Linear) and first.scale is not None
    assert (first.kernel == np.rint(first.kernel)).all()
    assert np.abs(first.kernel).max() == 15
    assert len(np.unique(first.scale)) == 12
    assert isinstance(second, Linear)
    start = by_name["start"]
    assert isinstance(start, ScaledQuantize)
    assert (start.low, start.high) == (0, 63)
    assert start.zero_point > 0


def test_a_causal_mask_is_the_softmaxs_own() -> None:
    for name in ("torch_causal", "torch_causal_script"):
        graph = load(FOLDER / f"{name}.onnx")
        (op,) = (node.op for node in graph.nodes if isinstance(node.op, Softmax))
        assert op.causal
        assert op.scale == pytest.approx(2**-0.5)


def test_layers_are_called_after_modules() -> None:
    graph = load(FOLDER / "brevitas_encoder.onnx")
    named = {node.output: type(node.op) for node in graph.nodes}
    for name, kind in (
        ("attention/q_proj", Linear),
        ("attention/out_proj", Linear),
        ("attention/score", MatMul),
        ("attention/context", MatMul),
        ("norm1", LayerNorm),
        ("up", Linear),
        ("head", Linear),
        ("head/input_quant", ScaledQuantize),
    ):
        assert named[name] is kind


@pytest.mark.slow
@pytest.mark.brevitas
def test_fresh_files_import_the_same(tmp_path: Path) -> None:
    """What the exporters write today reads as the frozen files do."""
    command = [sys.executable, str(FOLDER / "make.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(path.stem for path in tmp_path.glob("*.onnx")) == FILES
    for name in FILES:
        with np.load(tmp_path / f"{name}.npz") as held:
            fresh = load(tmp_path / f"{name}.onnx")
            assert found(fresh, held, "runtime") >= 0.9  # float32 may cross a tie
        assert tuple(fresh.values) == tuple(load(FOLDER / f"{name}.onnx").values)
