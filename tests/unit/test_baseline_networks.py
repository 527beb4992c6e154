"""Networks in runtimes: each computes what the model says, in its own words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from equiv.networks import NETWORKS
from unit.network_graphs import (
    PARAMETERS,
    functions,
    made,
    project,
    quantizers,
    samples,
    work,
)

from gateformer.baselines.measure import compared
from gateformer.baselines.networks import onnx_model, torch_model
from gateformer.baselines.networks.c_build import c_session
from gateformer.baselines.networks.candidates import CANDIDATES
from gateformer.baselines.networks.functions import REALS
from gateformer.baselines.networks.meaning import MEANINGS, translate
from gateformer.baselines.networks.sessions import (
    Opening,
    onnx_session,
    openvino_session,
    torch_session,
)
from gateformer.baselines.runtime import Candidate
from gateformer.baselines.timing import all_outputs
from gateformer.quant.errors import BaselineError, DataError
from gateformer.quant.execute import run_reals
from gateformer.quant.expand import FUNCTIONS, Linear
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.base import REGISTRY, Op
from gateformer.quant.ops.lookup import Lookup

CLOSE = 1e-5
"""Of the largest output: what sums in float32 explain without a quantizer."""
ROUNDED = 0.02
"""Likewise, what bfloat16 explains."""
EMULATING: dict[str, Opening] = {
    "torch": torch_session("float32", "quantizers"),
    "onnxruntime": onnx_session("quantizers"),
    "openvino": openvino_session("f32", "quantizers"),
    "plain-c": c_session("quantizers"),
}
"""With quantizers; not all of them are candidates."""
REALS_OF = tuple(one for one in CANDIDATES if one.precision == "fp32")
QUICK = (
    "causal", "embedded", "folded", "gelu", "layer_norm", "log_sqrt2_masked", "masked_causal",
    "scaled_attention", "two_outputs",
)  # fmt: skip
named = pytest.mark.parametrize("candidate", REALS_OF, ids=lambda one: one.key)


class NumpyWords:
    """The elementwise words, by numpy."""

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        return np.where(condition, yes, no)

    def at_least(self, a: Any, b: Any) -> Any:
        return np.asarray(a) >= b

    def minimum(self, a: Any, b: Any) -> Any:
        return np.minimum(a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        return np.maximum(a, b)

    def unary(self, name: str, x: Any) -> Any:
        known = FUNCTIONS.get(name)
        return known(x) if known else getattr(np, name)(x)


def outputs(candidate: Candidate, graph: Graph, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a runtime's outputs and the right ones, for five frames."""
    files = work(graph, folder)
    session = candidate.open(files, 1)
    session.step()
    found = np.asarray(session.outputs())
    session.step()
    assert (session.outputs() == found).all()
    assert session.version
    session.close()
    return found, files.reference(quantizers=candidate.quantizers)


def test_every_operation_on_reals_has_its_words() -> None:
    raw = {"Lookup", "Normalize", "Shift", "ShiftAdd"}
    own = {
        name: kind for name, kind in REGISTRY.items() if kind.__module__.startswith("gateformer")
    }
    for name, kind in own.items():
        if kind.reference is Op.reference:
            assert name in raw
        elif hasattr(kind, "__dataclass_fields__"):
            assert kind in MEANINGS, name


def test_an_operation_on_raw_integers_is_refused() -> None:
    builder = Builder("raw")
    x = builder.input("x", (3, 2))
    table = Lookup(np.arange(4), 0)
    builder.output(builder.add(table, x, name="looked", layer="up"))
    with pytest.raises(DataError, match=r"E612.*up.*Lookup"):
        translate(NumpyWords(), builder.build(), {"x": 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_function_is_the_one_that_the_model_means(name: str) -> None:
    x = np.random.default_rng(3).normal(size=4000) * 3.0
    for parameters in PARAMETERS.get(name, ({},)):
        right = FUNCTIONS[name](x, **parameters)
        found = REALS[name](NumpyWords(), x, **parameters)
        # A float32 threshold of QKeras may lie beside this one's.
        near = np.abs(found - right) <= 1e-6 * np.maximum(1.0, np.abs(right))
        assert near.mean() > 0.999, parameters


def test_candidates_have_names_of_their_own() -> None:
    keys = [one.key for one in CANDIDATES]
    assert len(set(keys)) == len(keys)
    assert [one.key for one in CANDIDATES if one.exact] == ["plain-c:integers"]


@pytest.mark.baselines
@pytest.mark.parametrize("name", QUICK)
@named
def test_a_network_gives_the_model_s_outputs(
    candidate: Candidate, name: str, tmp_path: Path
) -> None:
    if candidate.tier == "compiled":
        pytest.skip("compiles for seconds: among the slow tests")
    found, right = outputs(candidate, made(name), tmp_path)
    assert np.abs(found - right).max() <= CLOSE * np.abs(right).max()


@pytest.mark.baselines
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler warns of torch
@pytest.mark.parametrize("folded", [False, True], ids=["heads", "folded"])
@pytest.mark.parametrize("name", sorted(NETWORKS))
@named
def test_every_network_gives_the_model_s_outputs(
    candidate: Candidate, name: str, folded: bool, tmp_path: Path
) -> None:
    if candidate.tier == "compiled" and not (folded and name in QUICK):
        pytest.skip("compiles for ten seconds: seven networks are enough")
    found, right = outputs(candidate, made(name, folded), tmp_path)
    assert np.abs(found - right).max() <= CLOSE * np.abs(right).max()


@pytest.mark.baselines
@named
def test_every_function_in_every_runtime(candidate: Candidate, tmp_path: Path) -> None:
    if candidate.tier == "compiled":
        pytest.skip("compiles for minutes: functions are held to numpy's above")
    graph = functions(sorted(FUNCTIONS))
    found, right = outputs(candidate, graph, tmp_path)
    widths = found.reshape(5, len(graph.outputs), -1), right.reshape(5, len(graph.outputs), -1)
    for name, one, wanted in zip(
        graph.outputs, np.moveaxis(widths[0], 1, 0), np.moveaxis(widths[1], 1, 0), strict=True
    ):
        off = np.abs(one - wanted) / max(1.0, np.abs(wanted).max())
        assert (off <= CLOSE).mean() > 0.98, name


@pytest.mark.baselines
@pytest.mark.parametrize("runtime", EMULATING)
def test_every_quantizer_in_every_runtime(runtime: str, tmp_path: Path) -> None:
    files = work(quantizers(), tmp_path)
    session = EMULATING[runtime](files, 1)
    session.step()
    assert session.outputs() == pytest.approx(files.reference(), abs=1e-6)
    assert session.options["activation quantizers"] == "the model's own"
    session.close()


@pytest.mark.baselines
@pytest.mark.parametrize("name", ["btag", "digits"])
def test_the_projects_networks_are_within_what_candidates_state(name: str, tmp_path: Path) -> None:
    files = replace(work(project(name), tmp_path, 256), batch=64)
    right = {quantizers: files.reference(quantizers=quantizers) for quantizers in (False, True)}
    for candidate in CANDIDATES:
        if candidate.exact or candidate.tier == "compiled":
            continue
        session = candidate.open(files, 2)
        found = all_outputs(session)
        said = session.options["activation quantizers"]
        session.close()
        compared(candidate, found, right[candidate.quantizers])
        assert (said == "left out") is not candidate.quantizers
        # And not to the other network.
        with pytest.raises(BaselineError, match="E852"):
            compared(candidate, found, right[not candidate.quantizers])


@pytest.mark.baselines
def test_a_torch_module_takes_a_type_and_any_number_of_frames() -> None:
    import torch

    graph = made("masked")
    held = samples(graph, 3)
    network = torch_model.module(graph, "cpu", "bfloat16")
    found = network(*(torch.tensor(held[name], dtype=torch.bfloat16) for name in graph.inputs))
    right = run_reals(graph, held)
    for one, name in zip(found, graph.outputs, strict=True):
        assert one.dtype is torch.bfloat16
        assert (
            np.abs(one.double().numpy() - right[name]).max() <= ROUNDED * np.abs(right[name]).max()
        )
    single = torch_model.module(graph)
    assert torch_model.weight_bytes(single) == 2 * torch_model.weight_bytes(network)
    assert (
        single(*(torch.zeros(7, *held[name].shape[1:]) for name in graph.inputs))[0].shape[0] == 7
    )


@pytest.mark.baselines
def test_int8_is_refused_where_weights_are_none() -> None:
    builder = Builder("reals")
    x = builder.input("x", (3, 2))
    kernel = np.random.default_rng(1).normal(size=(2, 4))
    builder.output(builder.add(Linear(kernel, None, (4,)), x, name="dense", layer="dense"))
    with pytest.raises(BaselineError, match=r"E851.*not quantized to eight bits"):
        onnx_model.model(builder.build(), 1, integers=True)
