"""HGQ2's own predictions, made by hgq2/make.py in its own environment, are the golden."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand.context import Types
from gateformer.quant.frontends import load
from gateformer.quant.graph import Graph
from gateformer.quant.lower import lower
from gateformer.quant.types import Fixed, FloatArray

FOLDER = Path(__file__).with_name("hgq2")
MODELS = sorted(path.stem for path in FOLDER.glob("*.keras"))
ENCODERS = {"encoder_each", "encoder_shared"}
FLOAT32 = 24
"""Bits of float32's significand: narrower sums are exact in HGQ2."""


@cache
def imported(name: str) -> tuple[Graph, dict[str, NDArray[np.float32]]]:
    """A model, and its predictions by value."""
    with np.load(FOLDER / f"{name}.npz") as found:
        return load(FOLDER / f"{name}.keras"), dict(found)


def types_of(name: str, graph: Graph) -> Types:
    """Types that hold the data exactly."""
    kind = Fixed(False, 5, 4) if name in ENCODERS else Fixed(True, 11, 6)
    return Types(given=dict.fromkeys(graph.inputs, kind))


def reals(name: str) -> tuple[Graph, dict[str, FloatArray], dict[str, NDArray[np.float32]]]:
    graph, golden = imported(name)
    return graph, {key: golden[key].astype(np.float64) for key in graph.inputs}, golden


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_equals_hgq2(name: str) -> None:
    graph, data, golden = reals(name)
    found = run_reals(graph, data, keep=True)
    layers = [key for key in golden if key not in graph.inputs]
    assert set(graph.outputs) <= set(layers)
    for key in layers:
        np.testing.assert_array_equal(found[key][: len(golden[key])], golden[key], err_msg=key)


@pytest.mark.parametrize("name", MODELS)
def test_integers_equal_hgq2(name: str) -> None:
    graph, data, golden = reals(name)
    lowered = lower(graph, types_of(name, graph))
    raw = {key: lowered.from_real(key, x) for key, x in data.items()}
    for key in graph.inputs:
        np.testing.assert_array_equal(lowered.to_real(key, raw[key]), data[key])
    found = run(lowered, raw)
    for key in lowered.outputs:
        np.testing.assert_array_equal(lowered.to_real(key, found[key]), golden[key], err_msg=key)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_no_sum_leaves_float32(name: str) -> None:
    """So that equality is no accident of the order in which HGQ2's library adds."""
    graph, _, _ = reals(name)
    lowered = lower(graph, types_of(name, graph))
    widest = max(lowered.values.values(), key=lambda value: value.fixed.width)
    assert widest.fixed.width <= FLOAT32, widest.name


@pytest.mark.parametrize("name", ["merges", "normalized", "attention_plain", "einsums", "causal"])
def test_the_host_quantizes_as_the_first_layers_do(name: str) -> None:
    """Data off every grid and beyond every range: the input's type follows from its quantizers."""
    graph, _, _ = reals(name)
    lowered = lower(graph, Types())
    assert set(lowered.floors) == set(graph.inputs)
    rng = np.random.default_rng(1)
    data = {
        key: (rng.normal(size=(200, *graph.values[key].shape)) * 9.0).astype(np.float32)
        for key in graph.inputs
    }
    exact = run_reals(graph, {key: x.astype(np.float64) for key, x in data.items()})
    found = run(lowered, {key: lowered.from_real(key, x) for key, x in data.items()})
    for key in lowered.outputs:
        np.testing.assert_array_equal(lowered.to_real(key, found[key]), exact[key])


def test_the_encoders_were_trained() -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="it holds the digits")
    labels = datasets.load_digits().target[-360:]
    for name in ENCODERS:
        assert (imported(name)[1]["head"].argmax(-1) == labels).mean() > 0.9
