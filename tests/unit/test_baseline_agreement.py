"""What passes for a network's outputs, and what never does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unit.network_graphs import PROJECTS, made, quantizers, samples

from gateformer.baselines.agreement import Agreement
from gateformer.baselines.networks.candidates import AGREEMENTS, CANDIDATES
from gateformer.baselines.networks.quantizers import floating
from gateformer.baselines.opening import network_work
from gateformer.baselines.runtime import Candidate
from gateformer.baselines.work import CHECKED, NetworkWork
from gateformer.config.read import load
from gateformer.quant.errors import BaselineError
from gateformer.quant.execute import run_reals
from gateformer.quant.expand.quantize import Quantize

LOOSEST = AGREEMENTS["bf16"]


@pytest.fixture(scope="module", params=["btag", "digits"])
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> NetworkWork:
    config = load(PROJECTS / request.param / "design.toml")
    return network_work(config, tmp_path_factory.mktemp(request.param))


@pytest.fixture(params=[False, True], ids=["float", "quantizers"])
def right(request: pytest.FixtureRequest, project: NetworkWork) -> np.ndarray:
    return project.reference(quantizers=request.param)


def refused(outputs: np.ndarray, right: np.ndarray) -> str:
    with pytest.raises(BaselineError) as caught:
        LOOSEST.held(outputs, right, "a:bf16")
    assert caught.value.code == "E852"
    return str(caught.value)


def test_many_frames_of_a_project_are_compared(project: NetworkWork) -> None:
    frames = len(project.reference())
    assert 256 <= frames <= CHECKED
    assert project.batch == 1


def test_one_answer_for_all_frames_never_passes(right: np.ndarray) -> None:
    width = right.shape[1]
    answers = [np.full(width, 1 / width), right.mean(0), np.median(right, 0), *right[:40]]
    for answer in answers:
        assert "of what varies is off" in refused(np.tile(answer, (len(right), 1)), right)


def test_another_frames_outputs_never_pass(right: np.ndarray) -> None:
    random = np.random.default_rng(1)
    for other in (
        np.roll(right, 1, 0),
        right[::-1],
        *(random.permutation(right) for _ in range(20)),
    ):
        assert "of what varies is off" in refused(other, right)


def test_another_class_s_output_never_passes(right: np.ndarray) -> None:
    refused(np.roll(right, 1, 1), right)
    refused(right[:, ::-1], right)


def test_a_network_that_loses_half_of_its_input_never_passes(project: NetworkWork) -> None:
    graph, frames = project.network(quantizers=False), project.frames()
    (name,) = graph.inputs
    half = np.arange(frames[name].shape[1]) % 2
    made = run_reals(graph, {name: frames[name] * half[:, None]})
    outputs = np.concatenate([one.reshape(len(one), -1) for one in made.values()], 1)
    refused(outputs, project.reference(quantizers=False))


def test_rounding_passes_and_what_is_no_number_does_not(right: np.ndarray) -> None:
    noise = np.random.default_rng(2).normal(size=right.shape)
    assert LOOSEST.held(right + 1e-3 * noise, right, "a:bf16") > 0
    assert AGREEMENTS["fp32"].held(right + 1e-7 * noise, right, "a:fp32") > 0
    with pytest.raises(BaselineError, match="E852"):
        AGREEMENTS["fp32"].held(right + 1e-3 * noise, right, "a:fp32")
    for value in (np.nan, np.inf):
        wrong = right.copy()
        wrong[: len(wrong) // 10] = value
        refused(wrong, right)
        refused(np.full_like(right, value), right)


def test_few_frames_may_fall_over_a_step() -> None:
    right = np.random.default_rng(3).normal(size=(1000, 3))
    agreement = Agreement(typical=1e-5, limit=1e-4, beyond=0.01, same=0.9, unexplained=0.1)
    off = right.copy()
    off[:9] += 0.1
    assert agreement.held(off, right, "a:b") == pytest.approx(0.1)
    off[:11] += 0.1
    with pytest.raises(BaselineError, match=r"1\.1%, not 1\.0%"):
        agreement.held(off, right, "a:b")


def test_a_single_frame_is_held_to_its_largest_output() -> None:
    right = np.array([[1.0, -2.0]])
    agreement = AGREEMENTS["fp32"]
    assert agreement.held(right + 1e-5, right, "a:b") == pytest.approx(1e-5)
    with pytest.raises(BaselineError):
        agreement.held(right + 1e-3, right, "a:b")


def test_float_networks_have_no_quantizers(project: NetworkWork) -> None:
    assert any(isinstance(node.op, Quantize) for node in project.network().nodes)
    graph = project.network(quantizers=False)
    assert not any(isinstance(node.op, Quantize) for node in graph.nodes)
    assert len(graph.outputs) == len(project.network().outputs)
    assert (
        np.abs(project.reference(quantizers=True) - project.reference(quantizers=False)).max() > 0
    )


def test_outputs_that_only_differed_by_their_quantizers_stay_apart() -> None:
    graph = quantizers()
    plain = floating(graph)
    assert len(plain.outputs) == len(set(plain.outputs)) == len(graph.outputs)
    held = samples(graph, 3)
    for one in run_reals(plain, held).values():
        assert (one == held["x"]).all()


def test_a_network_without_quantizers_stays_as_it_is() -> None:
    graph = made("masked")
    held = samples(graph, 4)
    for one, other in zip(
        run_reals(graph, held).values(), run_reals(floating(graph), held).values(), strict=True
    ):
        assert (one == other).all()


def test_precisions_say_what_they_are_held_to() -> None:
    def words(one: Candidate) -> tuple[bool, bool]:
        return one.quantizers, one.exact

    held = {one.precision: words(one) for one in CANDIDATES}
    assert held == {
        "fp32": (False, False),
        "fp32-quantized": (True, False),
        "bf16": (False, False),
        "int8": (True, False),
        "integers": (False, True),
    }
    assert all(one.exact or one.agreement is not None for one in CANDIDATES)


def test_batches_cover_the_frames_and_begin_again(tmp_path: Path) -> None:
    from unit.network_graphs import work

    files = work(made("masked"), tmp_path, 5)
    for batch, whole in ((1, 5), (2, 6), (5, 5), (8, 8)):
        one = NetworkWork(files.name, files.graph, files.inputs, batch)
        reference = one.reference()
        assert len(reference) == whole
        assert (reference[5:] == reference[: whole - 5]).all()
        assert all(len(given) == batch for given in one.samples().values())
