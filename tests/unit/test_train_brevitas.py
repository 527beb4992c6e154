"""Encoders in Brevitas: techniques do what their names say, and files hold what was trained."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gateformer.quant.datasets.labelled import Labelled, Sample
from gateformer.quant.errors import ConfigError, DataError, ModelError
from gateformer.quant.execute import run_reals
from gateformer.quant.frontends import load
from gateformer.quant.train.brevitas import checkpoint
from gateformer.quant.train.brevitas.recipe import (
    Bits,
    Network,
    Recipe,
    Refinement,
    Samples,
    Techniques,
    Training,
)

pytestmark = pytest.mark.brevitas

SHAPE = (4, 6)
CLASSES = ("a", "b", "c")
SIZES: dict[str, Any] = {"blocks": 1, "width": 8, "heads": 2, "key_dim": 4, "ffn": 12}


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """Let the packages warn of each other's parts, which is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def recipe(
    net: dict[str, Any] | None = None,
    bits: dict[str, Any] | None = None,
    techniques: dict[str, Any] | None = None,
    epochs: int = 4,
) -> Recipe:
    return Recipe(
        "digits",
        Samples(seed=1, train=96, valid=32, calibration=8),
        Network(**{**SIZES, **(net or {})}),
        Training(1, 16, epochs, 1e-2, 2, 2e-3),
        Bits(**{"weight": 5, "activation": 6, "attention": 6, **(bits or {})}),
        Techniques(**(techniques or {})),
    )


def sample(seed: int = 0) -> Sample:
    """Three classes that differ in which feature is large."""
    rng = np.random.default_rng(seed)

    def part(n: int) -> Labelled:
        y = rng.integers(0, 3, n)
        x = rng.normal(size=(n, *SHAPE)).astype(np.float32)
        x[np.arange(n), :, y] += 1.5
        return Labelled(x, y)

    return Sample(part(96), part(32), part(64), CLASSES)


def trained(folder: Path, given: Recipe, say: Any = lambda _: None) -> Any:
    from gateformer.quant.train.brevitas.training import train

    return train(given, sample(), folder, "one", say)


def written(network: Any, folder: Path) -> Any:
    """Return the network's file as onnx reads it."""
    import onnx

    from gateformer.quant.train.brevitas.export import export

    export(network, SHAPE, folder / "model.onnx")
    return onnx.load(folder / "model.onnx")


def executed(folder: Path, x: Any) -> Any:
    """Return what qonnx's own executor makes of the file."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(str(folder / "model.onnx"))
    model.set_tensor_shape("x", list(x.shape))
    return execute_onnx(model.transform(InferShapes()), {"x": x})["logits"]


def integers(model: Any) -> dict[str, Any]:
    """Return each layer's integer kernel [outputs, inputs], made of its Quant node."""
    import onnx

    held = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Quant" and "weight_quant" in node.name:
            weight, scale = (held[name] for name in node.input[:2])
            found[node.name.split("/weight_quant")[0]] = np.rint(weight / scale)
    return found


def kinds(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(
    ("net", "bits", "techniques"),
    [
        ({"activation": "gelu"}, {}, {}),
        ({"norm_first": True, "pool": "flatten", "head": (5,)}, {"per_channel": False}, {}),
        ({}, {"scale": "power_of_two"}, {"clipped_softmax": (-0.05, 1.0)}),
        ({"norm": "batch"}, {}, {"gated_attention": True}),
        ({}, {"weight": 6}, {"accumulator_bits": 14}),
        ({}, {}, {"log_sqrt2": 4}),
        ({}, {}, {"prepbn": True}),
        ({"norm": "none"}, {}, {"relu_topk": 0.5}),
    ],
)
def test_a_file_computes_what_brevitas_computes(
    tmp_path: Path, net: dict[str, Any], bits: dict[str, Any], techniques: dict[str, Any]
) -> None:
    from gateformer.quant.train.brevitas.export import outputs
    from gateformer.quant.train.brevitas.network import build
    from gateformer.quant.train.brevitas.norms import set_share
    from gateformer.quant.train.brevitas.packages import seeded
    from gateformer.quant.train.brevitas.training import calibrate

    seeded(1)
    network = build(recipe(net, bits, techniques), SHAPE, 3, quantized=True)
    x = sample().test.x
    set_share(network, 0.0)
    calibrate(network, x)
    wanted = outputs(network, x)
    model = written(network, tmp_path)
    graph = load(tmp_path / "model.onnx")
    (found,) = run_reals(graph, {graph.inputs[0]: x.astype(np.float64)}).values()
    assert_allclose(found, wanted, rtol=0, atol=1e-5)
    if "log_sqrt2" not in techniques:  # qonnx does not know its node
        assert_allclose(executed(tmp_path, x), wanted, rtol=0, atol=1e-5)
    # What the file was made of is as it was.
    assert_array_equal(outputs(network, x), wanted)
    held = {one.name for one in model.graph.initializer}
    assert [value.name for value in model.graph.input if value.name not in held] == ["x"]
    assert ("Clip" in kinds(model)) == ("clipped_softmax" in techniques)
    assert ("Sigmoid" in kinds(model)) == ("gated_attention" in techniques)


def test_each_width_reaches_its_quantizers() -> None:
    from gateformer.quant.train.brevitas.network import build

    given = {"input": 9, "activation": 7, "attention": 5, "score": 10, "share": 4, "sum": 11}
    network = build(recipe(bits={**given, "hidden": 3}), SHAPE, 3, quantized=True)
    widths = {
        name: int(module.act_quant.bit_width())
        for name, module in network.named_modules()
        if name.endswith("cast")
    }
    ends = {"query": 5, "key": 5, "value": 5, "score": 10, "share": 4, "context": 7}
    block = {f"block0.attention.{name}_cast": bits for name, bits in ends.items()}
    block |= {"block0.attention_sum_cast": 11, "block0.ffn_sum_cast": 11}
    block |= {"block0.attention_cast": 7, "block0.ffn_cast": 7, "input_cast": 9}
    assert {name: widths[name] for name in block} == block
    assert widths["block0.ffn.activation.cast"] == 3


def test_shares_on_powers_of_sqrt2_are_a_node_of_their_own(tmp_path: Path) -> None:
    import torch

    from gateformer.quant.train.brevitas.attention import log_quant_class

    p = torch.tensor([1.0, 0.9, 0.5, 0.4, 1e-3, 0.0], requires_grad=True)
    y = log_quant_class().apply(p, 3)
    wanted = [1.0, 1.0, 0.5, 2**-1.5, 0.0, 0.0]  # 0.4 is 2^-1.32: in halves, 2^-1.5
    assert_allclose(y.detach(), wanted, rtol=1e-6)
    y.sum().backward()
    assert_array_equal(p.grad, np.ones(6))
    model = written(trained(tmp_path, recipe(techniques={"log_sqrt2": 3})).network, tmp_path)
    (node,) = (node for node in model.graph.node if node.op_type == "LogQuant")
    assert node.domain == "gateformer"
    assert {a.name: a.i or a.s for a in node.attribute} == {"bits": 3, "base": b"sqrt2"}
    assert {one.domain for one in model.opset_import} == {
        "",
        "gateformer",
        "qonnx.custom_op.general",
    }


def test_sums_stay_within_their_bits(tmp_path: Path) -> None:
    bits = 11
    given = recipe(techniques={"accumulator_bits": bits}, bits={"input": 5, "weight": 6})
    model = written(trained(tmp_path, given).network, tmp_path)
    widths = {"/embedding": 5}
    for name, kernel in integers(model).items():
        width = widths.get(name, 6)
        # A2Q, arXiv 2308.13504: inputs of N bits with a sign are at most 2^(N-1) in size.
        bound = (2 ** (bits - 1) - 1) / 2 ** (width - 1)
        assert np.abs(kernel).sum(1).max() <= bound, name
        assert kernel.any()


def test_pruned_weights_stay_zero(tmp_path: Path) -> None:
    network = trained(tmp_path, recipe(techniques={"pruning": 0.6}, epochs=8)).network
    for name, kernel in integers(written(network, tmp_path)).items():
        assert (kernel == 0).mean() >= 0.6 - 1 / kernel.size, name


def test_prepbn_ends_as_an_affine_function(tmp_path: Path) -> None:
    found = trained(tmp_path, recipe(techniques={"prepbn": True}, epochs=8))
    ops = kinds(written(found.network, tmp_path))
    assert not {"LayerNormalization", "BatchNormalization", "ReduceMean", "Sqrt"} & set(ops[:-8])
    assert_allclose(executed(tmp_path, sample().test.x), found.outputs, rtol=0, atol=1e-4)


def test_relu_topk_keeps_its_share(tmp_path: Path) -> None:
    import torch

    from gateformer.quant.train.brevitas.quantizers import plain

    network = trained(tmp_path, recipe(techniques={"relu_topk": 0.25}, epochs=8)).network
    seen = []
    network.block0.ffn.activation.register_forward_hook(lambda _m, _i, y: seen.append(plain(y)))
    with torch.no_grad():
        network(torch.from_numpy(sample().test.x))
    assert (seen[0] > 0).float().mean() < 0.35
    # The threshold is part of the bias: the file has no subtraction.
    assert "Sub" not in kinds(written(network, tmp_path))


@pytest.mark.parametrize(
    ("techniques", "refinement"),
    [
        ({}, None),
        ({"accumulator_bits": 16, "prepbn": True, "pruning": 0.3, "relu_topk": 0.6}, None),
        ({"prepbn": True}, Refinement(distill=0.5, fixed_norms=0.0)),
    ],
)
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    tmp_path: Path, techniques: dict[str, Any], refinement: Refinement | None
) -> None:
    given = replace(recipe(techniques=techniques), refinement=refinement)
    given = replace(given, training=replace(given.training, quantized_epochs=4))
    whole = trained(tmp_path / "whole", given)
    lines: list[str] = []

    def stop(at: int) -> Any:
        def say(line: str) -> None:
            lines.append(line)
            if len(lines) == at:
                raise KeyboardInterrupt

        return say

    for at in (2, 8):  # inside each of the two fits
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "parts", given, stop(at))
    found = trained(tmp_path / "parts", given, lines.append)
    # Fused steps sum with `dot`, whose order hangs on where numbers lie: last digits may differ.
    tolerance = 0.0 if refinement is None else 1e-5
    assert_allclose(found.outputs, whole.outputs, rtol=tolerance, atol=1e3 * tolerance)
    places = (tmp_path / name / "quantized.npz" for name in ("whole", "parts"))
    ends = [dict(np.load(place, allow_pickle=False)) for place in places]
    assert ends[0].keys() == ends[1].keys()
    for name, numbers in ends[0].items():
        if name != "head":
            assert_allclose(ends[1][name], numbers, rtol=tolerance, atol=tolerance, err_msg=name)
    assert whole.quantized > 0.7
    # The epoch that was broken off is the only one done twice.
    assert len(lines) == 8 + 2


def test_another_run_s_checkpoint_is_not_gone_on_with(tmp_path: Path) -> None:
    state = checkpoint.State(3, 0.5, {}, {}, {})
    checkpoint.save(tmp_path / "c.npz", "mine", state)
    assert checkpoint.restore(tmp_path / "c.npz", "yours") is None
    found = checkpoint.restore(tmp_path / "c.npz", "mine")
    assert found is not None
    assert (found.epoch, found.reached) == (3, 0.5)


def test_a_checkpoint_holds_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    np.savez(path, head=np.array([{"identity": "mine"}], dtype=object))
    with pytest.raises(DataError, match="E601"):
        checkpoint.restore(path, "mine")
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="E601"):
        checkpoint.restore(path, "mine")


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("kind", ["relu", "gelu"])
def test_torch_s_encoder_layer_has_a_counterpart(kind: str, first: bool) -> None:
    import torch

    from gateformer.quant.train.brevitas.encoder_layer import counterpart
    from gateformer.quant.train.brevitas.training import calibrate

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(
        8, 2, 12, activation=kind, batch_first=True, norm_first=first, layer_norm_eps=1e-3
    )
    layer.eval()
    x = torch.randn(32, 5, 8)
    with torch.no_grad():
        wanted = layer(x)
        assert_allclose(counterpart(layer, 5, None).eval()(x), wanted, rtol=0, atol=1e-5)
        made = counterpart(layer, 5, Bits())
        calibrate(made, x.numpy())
        worst = (made(x) - wanted).abs().max() / wanted.abs().max()
    assert 0.0 < worst < 0.1


def test_a_trained_encoder_is_trained_on_with_quantizers(tmp_path: Path) -> None:
    import torch
    from brevitas.nn import QuantLinear

    from gateformer.quant.train.brevitas.encoder_layer import counterpart
    from gateformer.quant.train.brevitas.export import outputs
    from gateformer.quant.train.brevitas.packages import seeded
    from gateformer.quant.train.brevitas.training import calibrate

    seeded(2)
    nn, data = torch.nn, sample()
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)

    class Classifier(nn.Module):  # type: ignore[misc] # torch is untyped here
        def __init__(self, encoder: Any, head: Any) -> None:
            super().__init__()
            self.encoder, self.head = encoder, head

        def forward(self, x: Any) -> Any:
            return self.head(self.encoder(x).mean(1))

    def fit(network: Any, steps: int) -> float:
        network.train()
        adam = torch.optim.Adam(network.parameters(), 5e-3)
        for _ in range(steps):
            loss = nn.functional.cross_entropy(network(x), y)
            adam.zero_grad()
            loss.backward()
            adam.step()
        return float((outputs(network, data.test.x).argmax(1) == data.test.y).mean())

    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, activation="gelu", batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(6), enable_nested_tensor=False)
    real = Classifier(encoder, nn.Linear(6, 3))
    assert fit(real, 60) > 0.8
    made = Classifier(counterpart(encoder, SHAPE[0], Bits(weight=4)), QuantLinear(6, 3, True))
    made.head.load_state_dict(real.head.state_dict(), strict=False)
    calibrate(made, data.train.x)
    assert fit(made, 10) > 0.8
    written(made, tmp_path)
    graph = load(tmp_path / "model.onnx")
    (found,) = run_reals(graph, {graph.inputs[0]: data.test.x.astype(np.float64)}).values()
    assert_allclose(found, outputs(made, data.test.x), rtol=0, atol=1e-5)


def test_layers_without_a_counterpart_are_refused() -> None:
    import torch

    from gateformer.quant.train.brevitas.encoder_layer import counterpart

    nn = torch.nn
    for layer in (
        nn.Linear(4, 4),
        nn.TransformerEncoderLayer(8, 2, 12),
        nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation=torch.tanh),
        nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation=nn.GELU("tanh")),
    ):
        with pytest.raises(ModelError, match="E102"):
            counterpart(layer, 5, Bits())


def test_fused_quantizers_give_brevitas_numbers_and_derivatives() -> None:
    import torch

    from gateformer.quant.train.brevitas.fused import fused
    from gateformer.quant.train.brevitas.packages import seeded
    from gateformer.quant.train.brevitas.quantizers import Quantized, plain

    seeded(1)
    x = torch.randn(64, 4, 6) * 2.0
    towards = torch.randn(64, 4, 6)
    for signed in (True, False):
        cast = Quantized(Bits(activation=4)).cast("activation", signed=signed)
        cast.train()
        scaling = cast.act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl
        scaling.counter = scaling.collect_stats_steps + 1  # learned from here
        found = []
        for quick in (False, True):
            given = x.clone().requires_grad_()
            cast.zero_grad()
            if quick:
                with fused(cast):
                    y = plain(cast(given))
            else:
                y = plain(cast(given))
            (y * towards).sum().backward()
            found.append((y.detach(), given.grad, scaling.value.grad.clone()))
        (y, by_x, by_scale), (other, other_x, other_scale) = found
        assert len(y.unique()) == 16  # all levels, clipped ones among them
        assert_array_equal(y, other)
        assert_allclose(by_x, other_x, rtol=1e-6)
        assert_allclose(by_scale, other_scale, rtol=1e-5, atol=1e-4)
        assert float(by_scale) != 0.0


def test_fixed_norms_keep_means_read_anew(tmp_path: Path) -> None:
    import torch

    from gateformer.quant.train.brevitas.export import outputs
    from gateformer.quant.train.brevitas.training import train

    def run(norms: float, name: str) -> tuple[Any, Any]:
        given = replace(recipe({"norm": "batch"}), refinement=Refinement(fixed_norms=norms))
        made = train(given, sample(), tmp_path / name, "one", lambda _: None)
        norm = made.network.block0.attention_norm
        with torch.no_grad():
            made.network.train()
            made.network(torch.from_numpy(sample().train.x))
        return made, norm.batch.num_batches_tracked

    fixed, batches = run(0.0, "fixed")
    assert int(batches) == 1  # one batch of 96 samples read; none since
    live, more = run(1.0, "live")
    assert int(more) > 1
    assert not np.array_equal(outputs(fixed.network, sample().test.x), live.outputs)


def test_distilling_follows_the_network_in_floating_point(tmp_path: Path) -> None:
    from gateformer.quant.train.brevitas.export import outputs
    from gateformer.quant.train.brevitas.network import build
    from gateformer.quant.train.brevitas.training import fitted, refine

    # Labels that say nothing: only the other network's outputs can be learned.
    data = sample()
    real = fitted(recipe(), data, tmp_path / "float.npz", "one", lambda _: None)
    wanted = outputs(real, data.train.x)
    rng = np.random.default_rng(5)
    noise = Labelled(data.train.x, rng.permutation(data.train.y))
    deaf = Sample(noise, data.valid, data.test, CLASSES)

    def distance(weight: float) -> float:
        given = replace(recipe(), refinement=Refinement(distill=weight))
        given = replace(given, training=replace(given.training, quantized_epochs=12))
        network = build(given, SHAPE, 3, quantized=True)
        name = tmp_path / f"{weight}.npz"
        refine(network, real, given, deaf, name, "one", lambda _: None)
        return float(np.square(outputs(network, data.train.x) - wanted).mean())

    assert distance(1.0) < 0.5 * distance(0.0)


def test_recipes_without_refinement_keep_their_identity() -> None:
    from gateformer.quant.train.brevitas.making import identity

    old, new = recipe(), replace(recipe(), refinement=Refinement(distill=0.5))
    # As a version without the table computed it.
    assert identity(old, sample()).startswith("250cccb96bf78380")
    assert identity(new, sample()) != identity(old, sample())


@pytest.mark.parametrize("stage", [0, 1])
def test_a_fit_that_diverges_names_its_epoch_and_keeps_the_one_before(
    tmp_path: Path, stage: int
) -> None:
    from gateformer.quant.train.brevitas.fitting import Plan, fit
    from gateformer.quant.train.brevitas.network import build
    from gateformer.quant.train.brevitas.packages import seeded

    def network() -> Any:
        seeded(1)
        return build(recipe(), SHAPE, 3, quantized=stage == 1)

    plan = Plan(stage, 1, 16, 4, 1e-3, 0.0, 0.0, False)
    path, said = tmp_path / "fit.npz", list[str]()

    def interrupt(line: str) -> None:
        said.append(line)
        if len(said) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # in its second epoch: the first is kept
        fit(network(), plan, sample(), path, "one", interrupt)
    before = path.read_bytes()
    wild = replace(plan, rate=1e30)
    with pytest.raises(ConfigError) as caught:
        fit(network(), wild, sample(), path, "one", said.append)
    kind, key = (("in floating point", "float"), ("with quantizers", "quantized"))[stage]
    text = str(caught.value)
    assert text.startswith(f"E009 training that diverges: 'training.{key}_rate'. The fit {kind} ")
    assert "gave a loss of nan in step 2 of 6, epoch 2 of 4, at a rate of 1e+30. " in text
    assert text.endswith(
        f"The checkpoint keeps epoch 1. Lower training.{key}_rate, and run the command again."
    )
    assert caught.value.exit_code == 2
    assert path.read_bytes() == before
    assert not [one for one in said if "nan" in one]
    del said[:]
    fit(network(), plan, sample(), path, "one", said.append)
    assert [line.split(":")[0] for line in said] == ["epoch 2/4", "epoch 3/4", "epoch 4/4"]


def test_the_last_step_of_an_epoch_may_diverge(tmp_path: Path) -> None:
    from gateformer.quant.train.brevitas.fitting import Plan, fit
    from gateformer.quant.train.brevitas.network import build

    plan = Plan(0, 1, 96, 4, 1e30, 0.0, 0.0, False)  # one step an epoch
    with pytest.raises(ConfigError, match=r"E009 .* no numbers after epoch 1 of 4.* No epoch was "):
        fit(build(recipe(), SHAPE, 3, quantized=False), plan, sample(), tmp_path / "fit.npz", "one")
    assert not [*tmp_path.iterdir()]


def test_a_checkpoint_without_a_best_epoch_is_begun_anew(tmp_path: Path) -> None:
    from gateformer.quant.train.brevitas.fitting import Plan, fit
    from gateformer.quant.train.brevitas.network import build

    plan = Plan(0, 1, 16, 2, 1e-3, 0.0, 0.0, False)
    network = build(recipe(), SHAPE, 3, quantized=False)
    state = checkpoint.State(2, -np.inf, {}, network.state_dict(), {})
    checkpoint.save(tmp_path / "fit.npz", "one", state)
    said: list[str] = []
    fit(network, plan, sample(), tmp_path / "fit.npz", "one", said.append)
    assert len(said) == 2
