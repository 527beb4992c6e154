"""What a Keras file becomes, without tensorflow: names, weights, masks, quantizers."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from gateformer.quant.errors import GateformerError
from gateformer.quant.execute import run_reals
from gateformer.quant.expand import Attention, Elementwise, Linear, Pool, Quantize, Softmax
from gateformer.quant.frontends import load
from gateformer.quant.frontends.keras.blueprint import to_snake_case
from gateformer.quant.frontends.keras.mask_views import view
from gateformer.quant.frontends.keras.qkeras import weight_quantizer
from gateformer.quant.frontends.plain_json import Config, nesting
from gateformer.quant.graph import Graph
from gateformer.quant.types import Fixed, Overflow, Rounding

ROOT = Path(__file__).parents[2]
SEED = ROOT.parent / "shared" / "models" / "btag_qkeras.h5"
SHIPPED = ROOT / "fpga_projects" / "btag" / "model.h5"

Layer = dict[str, Any]


def entry(kind: str, name: str, *reads: str, call: object = None, **config: object) -> Layer:
    inbound = [[[r, 0, 0, call or {}] for r in reads]] if reads else []
    given = {"name": name, **config}
    return {"class_name": kind, "name": name, "config": given, "inbound_nodes": inbound}


def source(name: str, *shape: int) -> Layer:
    return entry("InputLayer", name, batch_input_shape=[None, *shape])


def write(path: Path, layers: list[Layer], **weights: np.ndarray) -> Path:
    """Write a functional model of Keras 2; weights are ``<layer>__<name>``."""
    inputs = [e["name"] for e in layers if e["class_name"] == "InputLayer"]
    config = {
        "name": "m",
        "layers": layers,
        "input_layers": [[name, 0, 0] for name in inputs],
        "output_layers": [[layers[-1]["name"], 0, 0]],
    }
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        file.attrs["keras_version"] = "2.9.0"
        root = file.create_group("model_weights")
        for key, value in weights.items():
            layer, name = key.split("__", 1)
            full = f"{layer}/{name.replace('__', '/')}:0"
            group = root.require_group(layer)
            group.create_dataset(full, data=np.asarray(value, np.float32))
            group.attrs["weight_names"] = np.array(
                [*group.attrs.get("weight_names", []), full.encode()], dtype="S"
            )
    return path


def attention_weights(layer: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights of attention with 2 heads of 3 over 4 features."""
    parts: dict[str, np.ndarray] = {}
    for name in ("query", "key", "value"):
        parts[f"{layer}__{name}__kernel"] = rng.normal(0, 1, (4, 2, 3))
        parts[f"{layer}__{name}__bias"] = rng.normal(0, 1, (2, 3))
    parts[f"{layer}__attention_output__kernel"] = rng.normal(0, 1, (2, 3, 4))
    parts[f"{layer}__attention_output__bias"] = rng.normal(0, 1, 4)
    return parts


def parameters(graph: Graph) -> int:
    total = 0
    for node in graph.nodes:
        for field in getattr(type(node.op), "__dataclass_fields__", {}):
            value = getattr(node.op, field)
            total += value.size if isinstance(value, np.ndarray) else 0
    return total


@pytest.mark.skipif(not SEED.exists(), reason="the seed authors' network is not here")
def test_the_seed_network() -> None:
    graph = load(SEED)
    assert graph.inputs == ("input_16",)
    assert graph.values["input_16"].shape == (15, 6)
    assert graph.values[graph.outputs[0]].shape == (3,)
    assert parameters(graph) == 9135
    attentions = [n for n in graph.nodes if isinstance(n.op, Attention)]
    assert [n.output for n in attentions] == [f"q_multi_head_attention_{n}" for n in (45, 46, 47)]
    assert isinstance(graph.nodes[-1].op, Softmax)
    assert graph.nodes[-1].inputs == ("q_dense_159/linear",)
    step = 2.0**-4
    for node in attentions:
        assert isinstance(node.op, Attention)
        assert node.op.heads == 2 and node.op.scale == 1 / np.sqrt(32)
        for field in ("wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo"):
            assert (getattr(node.op, field) / step % 1 == 0).all()
    x = np.random.default_rng(1).normal(0, 2, (50, 15, 6))
    y = run_reals(graph, {"input_16": x})[graph.outputs[0]]
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y.sum(-1), 1.0)


def test_the_shipped_network() -> None:
    graph = load(SHIPPED)
    assert graph.values[graph.outputs[0]].shape == (3,)
    assert sum(isinstance(n.op, Attention) for n in graph.nodes) == 3


def test_fused_activation_names_both_values(tmp_path: Path) -> None:
    layers = [source("x", 4), entry("QDense", "d", "x", units=2, activation="quantized_relu(6,3)")]
    path = write(tmp_path / "m.h5", layers, d__kernel=np.ones((4, 2)), d__bias=np.ones(2))
    graph = load(path)
    assert [n.output for n in graph.nodes] == ["d/linear", "d"]
    assert {graph.values[n].layer for n in ("d/linear", "d")} == {"d"}
    op = graph.nodes[1].op
    assert op == Quantize(Fixed(False, 6, 3), Rounding.RND_CONV, Overflow.SAT)


def test_a_shared_layer_is_one_layer_with_two_values(tmp_path: Path) -> None:
    twice = entry("Dense", "d", "x", units=4, activation="relu", use_bias=False)
    twice["inbound_nodes"].append([["d", 0, 0, {}]])
    layers = [source("x", 4), twice]
    path = write(tmp_path / "m.h5", layers, d__kernel=np.eye(4))
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["output_layers"] = [["d", 1, 0]]
        file.attrs["model_config"] = json.dumps(config)
    graph = load(path)
    names = [n.output for n in graph.nodes]
    assert names == ["d/linear", "d", "d/call2/linear", "d/call2"]
    assert graph.layers == ("x", "d")


def test_weights_are_quantized_as_qkeras_does(tmp_path: Path) -> None:
    layers = [
        source("x", 1),
        entry(
            "QDense",
            "d",
            "x",
            units=4,
            activation="linear",
            kernel_quantizer="quantized_bits(4,1,1,alpha=1)",
            use_bias=False,
        ),
    ]
    kernel = np.array([[0.125, 0.375, -9.0, 9.0]])
    graph = load(write(tmp_path / "m.h5", layers, d__kernel=kernel))
    op = graph.nodes[0].op
    assert isinstance(op, Linear)
    np.testing.assert_array_equal(op.kernel, [[0.0, 0.5, -1.75, 1.75]])


@pytest.mark.parametrize("form", ["Reshape", "ExpandDims", "SlicingOpLambda"])
def test_a_padding_mask_reaches_attention_and_pooling(tmp_path: Path, form: str) -> None:
    whole = {"start": None, "stop": None, "step": None}
    row = {
        "Reshape": entry("Reshape", "row", "m", target_shape=[1, 5]),
        "ExpandDims": entry("ExpandDims", "row", "m", axis=1),
        "SlicingOpLambda": entry(
            "SlicingOpLambda",
            "row",
            "m",
            call={"slice_spec": [whole, None, whole]},
            function="__operators__.getitem",
        ),
    }[form]
    call = {"value": ["x", 0, 0], "attention_mask": ["row", 0, 0]}
    layers = [
        source("m", 5),
        source("x", 5, 4),
        row,
        entry("MultiHeadAttention", "a", "x", call=call, num_heads=2, key_dim=3),
        entry("GlobalAveragePooling1D", "mean", "a", call={"mask": ["m", 0, 0]}),
    ]
    rng = np.random.default_rng(3)
    graph = load(write(tmp_path / "m.h5", layers, **attention_weights("a", rng)))
    assert graph.masks == {"m": "x"}
    assert graph.values["m"].shape == (5, 1)
    assert isinstance(graph.nodes[-1].op, Pool) and graph.nodes[-1].op.masked
    x = rng.normal(0, 1, (3, 5, 4))
    keep = np.array([1.0, 1, 1, 0, 0])[None, :, None].repeat(3, 0)
    one = run_reals(graph, {"x": x, "m": keep})["mean"]
    np.testing.assert_allclose(
        one, run_reals(graph, {"x": x * keep + 7 * (1 - keep), "m": keep})["mean"]
    )
    assert not np.allclose(one, run_reals(graph, {"x": x, "m": np.ones((3, 5, 1))})["mean"])


def test_a_mask_of_queries_is_refused(tmp_path: Path) -> None:
    call = {"value": ["x", 0, 0], "attention_mask": ["column", 0, 0]}
    layers = [
        source("m", 5),
        source("x", 5, 4),
        entry("Reshape", "column", "m", target_shape=[5, 1]),
        entry("MultiHeadAttention", "a", "x", call=call, num_heads=2, key_dim=3),
    ]
    path = write(tmp_path / "m.h5", layers, **attention_weights("a", np.random.default_rng(3)))
    with pytest.raises(GateformerError, match=r"E114 .*'a'.*no padding mask of its 5 tokens"):
        load(path)


def test_attention_scores_over_all_pairs_are_refused(tmp_path: Path) -> None:
    call = {"value": ["x", 0, 0], "attention_mask": ["m", 0, 0]}
    layers = [
        source("m", 5, 5),
        source("x", 5, 4),
        entry("MultiHeadAttention", "a", "x", call=call, num_heads=2, key_dim=3),
    ]
    path = write(tmp_path / "m.h5", layers, **attention_weights("a", np.random.default_rng(3)))
    with pytest.raises(GateformerError, match=r"E114 .*'m'.*25 tokens"):
        load(path)


@pytest.mark.parametrize(
    ("shape", "kind", "config", "seen"),
    [
        ((5,), "Reshape", {"target_shape": [1, -1]}, (1, 5)),
        ((5,), "Reshape", {"target_shape": [2, 3]}, None),
        ((5,), "ExpandDims", {"axis": 1}, (1, 5)),
        ((5,), "ExpandDims", {"axis": -1}, (5, 1)),
        ((5,), "ExpandDims", {"axis": -2}, (1, 5)),
        ((5,), "ExpandDims", {"axis": 0}, None),
        ((5,), "Cast", {}, (5,)),
        ((5,), "Dense", {}, None),
    ],
)
def test_views_of_masks(
    shape: tuple[int, ...], kind: str, config: dict[str, Any], seen: tuple[int, ...] | None
) -> None:
    class Call:
        args = ()
        kwargs: dict[str, Any] = {}  # noqa: RUF012 - stands for a call without arguments

    assert view(kind, Config(config, "v", kind), Call, shape) == seen


@pytest.mark.parametrize(
    "text",
    [
        "quantized_bits(4, 1, 1, alpha=1)",
        "quantized_bits(bits=4, integer=1, symmetric=True, alpha=1.0)",
        " quantized_bits(4,1,1,True,1) ",
    ],
)
def test_strings_of_quantizers(text: str) -> None:
    quantizer = weight_quantizer(Config({"kernel_quantizer": text}, "d", "QDense"), "kernel")
    assert quantizer is not None
    np.testing.assert_array_equal(quantizer(np.array([0.3, -5.0])), [0.25, -1.75])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("quantized_bits(4,1,alpha='auto')", "E208"),
        ("quantized_bits(4,1,alpha=0.3)", "E208"),
        ("quantized_bits(4,qnoise_factor=0.5)", "E109"),
        ("quantized_bits(1,alpha='auto_po2')", "E109"),
        ("quantized_bits(0)", "E103"),
        ("quantized_po2(12)", "E109"),
        ("quantized_po2(4,log2_rounding='up')", "E109"),
        ("quantized_relu(4,negative_slope=0.3)", "E208"),
        ("stochastic_binary", "E109"),
        ("nonsense(3)", "E109"),
        ("quantized_bits(*[1])", "E103"),
        ("quantized_bits(1,2,3,4,5,6,7,8,9,10,11,12,13)", "E103"),
        ("(" * 300, "E103"),
        ("a" * 1000, "E103"),
    ],
)
def test_quantizers_that_are_refused(text: str, code: str) -> None:
    with pytest.raises(GateformerError) as caught:
        quantizer = weight_quantizer(Config({"kernel_quantizer": text}, "d", "QDense"), "kernel")
        assert quantizer is not None
        quantizer(np.array([[0.3, -5.0]]))
    assert caught.value.code == code


def test_negative_slope_is_built_of_exact_parts(tmp_path: Path) -> None:
    layers = [
        source("x", 9),
        entry("QActivation", "q", "x", activation="quantized_relu(5,2,0,0.25)"),
    ]
    graph = load(write(tmp_path / "m.h5", layers))
    assert {type(n.op).__name__ for n in graph.nodes} == {
        "Quantize",
        "Elementwise",
        "Add",
        "Rescale",
    }
    x = np.array([[-40.0, -4.0, -2.0, -0.5, 0.0, 0.125, 0.375, 3.0, 40.0]])
    y = run_reals(graph, {"x": x})["q"]
    np.testing.assert_array_equal(y, [[-1.0, -1.0, -0.5, 0.0, 0.0, 0.0, 0.5, 3.0, 3.75]])


def test_keras_2_has_its_own_hard_sigmoid(tmp_path: Path) -> None:
    layers = [source("x", 3), entry("Activation", "s", "x", activation="hard_sigmoid")]
    op = load(write(tmp_path / "m.h5", layers)).nodes[0].op
    assert op == Elementwise("hard_sigmoid", (("offset", 0.5), ("slope", 0.2)))


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("QDense", "q_dense"),
        ("MultiHeadAttention", "multi_head_attention"),
        ("GlobalAveragePooling1D", "global_average_pooling1d"),
        ("ReLU", "re_lu"),
    ],
)
def test_groups_are_called_as_keras_calls_them(name: str, snake: str) -> None:
    assert to_snake_case(name) == snake


def test_nesting_ignores_brackets_in_strings() -> None:
    assert nesting('{"a": ["[[[", "\\"[[["]}') == 2


def test_changed_configurations_never_end_in_a_traceback(tmp_path: Path) -> None:
    with h5py.File(SHIPPED) as file:
        config = json.loads(file.attrs["model_config"])
    data = SHIPPED.read_bytes()
    path = tmp_path / "m.h5"
    dice = random.Random(11)
    junk: list[Any] = [None, -1, 0, 2, 1e308, "x", [], {}, True, [1, 2], float("nan"), 10**30]
    junk += [["x", 0, 0], {"class_name": "x"}, "quantized_relu(3)", [[None]]]
    for _ in range(120):
        changed = json.loads(json.dumps(config))
        places = list(_places(changed))
        for _ in range(dice.choice([1, 1, 3])):
            holder, key = dice.choice(places)
            holder[key] = dice.choice(junk)
        path.write_bytes(data)
        with h5py.File(path, "a") as file:
            del file.attrs["model_config"]
            file.attrs["model_config"] = json.dumps(changed)
        try:
            load(path)
        except GateformerError as error:
            assert str(error)


def _places(value: Any) -> Any:
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])
