"""Softmax: how often the largest share is not where float64 has it, ours and hls4ml's own.

10,000 rows of logits, normal with a deviation of 4, quantized first. A flip is a row whose largest
share is not at its largest logit, or is not alone. A line a softmax is printed (`-s` shows it).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from gateformer.hw.hls.model import generate
from gateformer.hw.hls.project import HlsSettings
from gateformer.quant.execute import run
from gateformer.quant.expand import Softmax
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.types import Fixed, FloatArray, IntArray
from gateformer.sim.hls.run import check

pytest.importorskip("hls4ml", reason="it makes the projects")
pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ compiles the projects")

ROWS = 10_000
KIND = Fixed.parse("fixed<16,6>")
"""Type of the logits: hls4ml's default precision."""
GIVEN = {"score": "fixed<16,6>", "distance": "ufixed<12,3>"}
"""No logit is rounded, and distances to the largest by half a step."""


def logits(classes: int) -> IntArray:
    """Quantized rows, (ROWS, classes)."""
    return np.asarray(KIND.from_real(np.random.default_rng(0).normal(0.0, 4.0, (ROWS, classes))))


def softmax(classes: int, given: dict[str, str], output: str) -> Graph:
    """One softmax layer; ``given`` are the types of its points."""
    builder = Builder("softmax")
    builder.output(builder.add(Softmax(), builder.input("x", (classes,)), name="p", layer="p"))
    types = {f"p/{point}": Fixed.parse(kind) for point, kind in given.items()}
    types |= {"p": Fixed.parse(output)}
    return lower(builder.build(), Types(types, default=KIND), Options())


def flips(raw: IntArray, shares: np.ndarray) -> float:
    """Share of the rows whose largest share is elsewhere than float64's, or not alone."""
    real = np.exp(KIND.to_real(raw - raw.max(-1, keepdims=True)))
    tied = (shares == shares.max(-1, keepdims=True)).sum(-1) > 1
    return float((tied | (shares.argmax(-1) != real.argmax(-1))).mean())


def equal_logits(raw: IntArray) -> float:
    """Share of the rows whose two largest logits are equal."""
    return float(((raw == raw.max(-1, keepdims=True)).sum(-1) > 1).mean())


def theirs(raw: IntArray, work: Path, backend: str = "Vitis", **settings: object) -> FloatArray:
    """Shares by hls4ml's own layer, as its own compile and predict give them."""
    from hls4ml.model.graph import ModelGraph

    classes = raw.shape[-1]
    config = {
        "OutputDir": str(work),
        "ProjectName": "softmax",
        "Backend": backend,
        "IOType": "io_parallel",
        "HLSConfig": {
            "Model": {"Precision": {"default": "fixed<16,6>"}, "ReuseFactor": 1},
            "LayerName": {"p": settings},
        },
    }
    layers = [
        {"class_name": "InputLayer", "name": "x", "input_shape": [classes]},
        {
            "class_name": "Softmax",
            "name": "p",
            "activation": "softmax",
            "n_in": classes,
            "axis": -1,
        },
    ]
    with (
        open(os.devnull, "w") as silent,  # noqa: PTH123 # what hls4ml prints
        contextlib.redirect_stdout(silent),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        model = ModelGraph.from_layer_list(config, layers, ["x"], ["p"])
        model.compile()
        return np.asarray(model.predict(KIND.to_real(raw).astype(np.float32))).reshape(raw.shape)


def tell(name: str, classes: int, share: float) -> None:
    """Print one line of the table."""
    print(f"{name:60s} {classes:3d} classes: {100 * share:6.2f} % flips")


@pytest.mark.parametrize("classes", [5, 10])
def test_ours_flips_where_logits_are_equal_and_nowhere_else(classes: int, tmp_path: Path) -> None:
    """The integers are those of the compiled HLS C++."""
    graph, raw = softmax(classes, GIVEN, "ufixed<16,0>"), logits(classes)
    found = check(
        generate(graph, HlsSettings()), graph, {"x": raw}, run(graph, {"x": raw}), tmp_path
    )
    assert found.vectors == ROWS
    assert found.mismatches == 0, found.first
    share = flips(raw, found.outputs["p"])
    tell("gateformer, no logit rounded", classes, share)
    assert share <= 0.001
    assert share == equal_logits(raw)
    half = softmax(classes, GIVEN | {"distance": "ufixed<11,3>"}, "ufixed<16,0>")
    coarser = flips(raw, run(half, {"x": raw})["p"])
    tell("gateformer, distances in half as many steps", classes, coarser)
    assert share < coarser <= 0.001


@pytest.mark.parametrize("classes", [5, 10])
def test_default_types_flip_seldom_enough(classes: int, tmp_path: Path) -> None:
    """The same bound where nothing but the logits and the shares has a type given."""
    graph, raw = softmax(classes, {}, "ufixed<16,0>"), logits(classes)
    found = check(
        generate(graph, HlsSettings()), graph, {"x": raw}, run(graph, {"x": raw}), tmp_path
    )
    assert (found.vectors, found.mismatches) == (ROWS, 0), found.first
    share = flips(raw, found.outputs["p"])
    tell("gateformer, default types", classes, share)
    assert share <= 0.001


@pytest.mark.slow
@pytest.mark.parametrize("classes", [5, 10])
def test_hls4mls_own_on_the_same_rows(classes: int, tmp_path: Path) -> None:
    raw = logits(classes)
    found = {}
    for name, settings in {
        "stable": {},
        "latency": {"Implementation": "latency"},
        "argmax": {"Implementation": "argmax"},
        "stable, 4,096 entries": {"TableSize": 4096},
    }.items():
        shares = theirs(raw, tmp_path / name.replace(", ", "_"), **settings)
        assert np.isfinite(shares).all()
        found[name] = flips(raw, shares)
        tell(f"hls4ml, {name}", classes, found[name])
    ours = flips(raw, run(softmax(classes, GIVEN, "ufixed<16,0>"), {"x": raw})["p"])
    # One 1 and no shares, of equal logits the first: it cannot flip.
    assert found["argmax"] == 0.0
    # By default a table has 1,024 entries: the upper ten bits of fifteen index it.
    assert ours < found["stable, 4,096 entries"] < found["stable"] < found["latency"]
