"""Where values are cast, how they are called, and what a lowering refuses."""

from __future__ import annotations

import numpy as np
import pytest

from gateformer.quant.errors import Problems, TypeRangeError
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import (
    Attention,
    Elementwise,
    LayerNorm,
    Linear,
    Pool,
    Quantize,
    Requantize,
    Softmax,
)
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower, lower_noted
from gateformer.quant.ops.cast import Cast
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.layout import Reshape, Transpose
from gateformer.quant.types import Fixed

DEFAULT = Fixed.parse("fixed<17,7>")
EYE = np.eye(4) * 0.25


def casts(graph: Graph) -> list[str]:
    return [n.output for n in graph.nodes if isinstance(n.op, Cast)]


def test_accumulators_flow_uncast_into_additions_and_layout() -> None:
    builder = Builder("n")
    x = builder.input("x", (3, 4))
    a = builder.add(Linear(EYE, None, (4,)), x, name="a", layer="a")
    b = builder.add(Linear(EYE, None, (4,)), x, name="b", layer="b")
    s = builder.add(Add(), a, b, name="s", layer="s")
    f = builder.add(Reshape((12,)), s, name="f", layer="f")
    builder.output(builder.add(Linear(np.ones((12, 2)), None, (2,)), f, name="y", layer="y"))
    lowered = lower(builder.build(), Types(default=DEFAULT))
    assert casts(lowered) == ["f/narrow", "y"]  # narrowed before it is flattened
    assert lowered.values["a"].fixed.frac == 12
    assert lowered.values["f"].fixed == DEFAULT
    assert lowered.values["f/narrow"].layer == "f"


def test_a_value_that_several_read_is_cast_once() -> None:
    builder = Builder("n")
    x = builder.input("x", (3, 4))
    a = builder.add(Linear(EYE, None, (4,)), x, name="a", layer="a")
    b = builder.add(Linear(EYE, None, (4,)), a, name="b", layer="b")
    builder.output(builder.add(Add(), a, b, name="y", layer="y"))
    lowered = lower(builder.build(), Types(default=DEFAULT))
    assert casts(lowered) == ["a", "y"]
    (node,) = [n for n in lowered.nodes if n.output == "y/exact"]
    assert node.inputs == ("a", "b")


def test_quantizers_settle_their_values() -> None:
    builder = Builder("n")
    x = builder.input("x", (3, 4))
    a = builder.add(Linear(EYE, None, (4,)), x, name="a", layer="a")
    q = builder.add(Quantize(Fixed(True, 8, 4)), a, name="q", layer="a")
    f = builder.add(Reshape((12,)), q, name="f", layer="f")
    b = builder.add(Linear(np.ones((12, 2)), None, (2,)), f, name="b", layer="b")
    builder.output(builder.add(Quantize(Fixed(True, 9, 2)), b, name="y", layer="b"))
    lowered = lower(builder.build(), Types({"x": Fixed(True, 8, 4)}))
    assert casts(lowered) == ["q", "y"]


def test_lossless_types_need_no_cast() -> None:
    builder = Builder("n")
    x = builder.input("x", (3, 4))
    builder.output(builder.add(Linear(EYE, None, (4,)), x, name="y", layer="y"))
    lowered = lower(builder.build(), Types({"x": Fixed(True, 8, 4), "y": Fixed(True, 17, 10)}))
    assert casts(lowered) == []
    assert lowered.values["y"].fixed.width < 17


def test_a_given_type_wins_even_after_layout() -> None:
    builder = Builder("n")
    x = builder.input("x", (3, 4))
    builder.output(builder.add(Reshape((12,)), x, name="y", layer="y"))
    lowered = lower(builder.build(), Types({"y": Fixed(True, 4, 2)}, default=DEFAULT))
    assert lowered.values["y"].fixed == Fixed(True, 4, 2)


def test_a_given_type_casts_an_exact_sum_too() -> None:
    builder = Builder("n")
    x = builder.input("x", (3, 4))
    y = builder.add(Linear(EYE, None, (4,)), x, name="y", layer="y")
    builder.output(builder.add(Add(), y, x, name="z", layer="z"))
    lowered = lower(builder.build(), Types({"y": Fixed(True, 6, 3)}, default=DEFAULT))
    assert lowered.values["y"].fixed == Fixed(True, 6, 3)


def test_a_quantized_input_takes_the_given_type() -> None:
    builder = Builder("n")
    x = builder.input("x", (4,))
    builder.output(builder.add(Quantize(Fixed(True, 8, 4)), x, name="q", layer="q"))
    lowered = lower(builder.build(), Types({"x": Fixed(True, 12, 6)}))
    assert lowered.values["x"].fixed == Fixed(True, 12, 6)
    assert lowered.values["q"].fixed == Fixed(True, 8, 4)


def test_given_types_that_change_nothing_are_named() -> None:
    builder = Builder("n")
    x = builder.input("x", (3, 4))
    y = builder.add(Linear(EYE, None, (4,)), x, name="y", layer="y")
    builder.output(builder.add(Quantize(Fixed(True, 8, 4)), y, name="q", layer="q"))
    given = {"y/kernel": Fixed(True, 5, 3), "y/kernl": Fixed(True, 5, 3), "q": Fixed(True, 6, 2)}
    idle = [str(e) for e in lower_noted(builder.build(), Types(given, default=DEFAULT)).idle]
    assert idle == [
        "E001 type of a value that the model itself quantizes: 'types.q'. "
        "Its quantizer gives fixed<8,4>. Leave it out.",
        "E001 type of a point that the model does not have: 'types.y/kernl'. "
        "'y' has /bias, /kernel. Did you mean 'y/kernel'?",
    ]


def test_an_output_that_is_an_input_keeps_its_name() -> None:
    builder = Builder("n")
    x = builder.input("x", (2,))
    a = builder.add(Quantize(Fixed(True, 8, 4)), x, name="q", layer="q")
    builder.output(a)
    builder.output(x)
    lowered = lower(builder.build(), Types())
    found = run(lowered, {"x": np.array([[3, -4]])})
    assert found["q"].tolist() == found["x"].tolist() == [[3, -4]]


def everything(masked: bool = False) -> Graph:
    rng = np.random.default_rng(0)
    builder = Builder("all")
    x = builder.input("x", (5, 4))
    mask = [builder.input("m", (5, 1), masks="x")] if masked else []
    w = rng.integers(-9, 9, (4, 2, 3)) / 16.0
    attention = Attention(
        2,
        w,
        None,
        w,
        None,
        w,
        None,
        rng.integers(-9, 9, (2, 3, 4)) / 16.0,
        None,
        0.577,
        True,
        masked,
    )
    a = builder.add(attention, x, x, x, *mask, name="att", layer="att")
    s = builder.add(Add(), a, x, name="sum", layer="sum")
    n = builder.add(LayerNorm(np.ones(4), np.ones(4), 1e-3), s, name="norm", layer="norm")
    u = builder.add(Linear(EYE, None, (4,)), n, name="up", layer="up")
    g = builder.add(Elementwise("gelu"), u, name="up_gelu", layer="up")
    p = builder.add(Pool("mean", masked), g, *mask, name="pool", layer="pool")
    d = builder.add(Linear(np.ones((4, 3)), None, (3,)), p, name="head", layer="head")
    builder.output(builder.add(Softmax(), d, name="soft", layer="soft"))
    return builder.build()


@pytest.mark.parametrize("masked", [False, True])
def test_names_and_layers_survive(masked: bool) -> None:
    graph = everything(masked)
    lowered = lower(graph, Types(default=DEFAULT))
    assert lowered.typed
    assert lowered.masks == graph.masks
    assert {"att", "sum", "norm", "up", "up_gelu", "pool", "head", "soft"} <= set(lowered.values)
    for name, value in lowered.values.items():
        assert name == value.layer or name.startswith((value.layer, f"{value.layer}/", "up_gelu"))
    assert {"att/query", "att/score", "att/distance", "att/context"} <= set(lowered.values)
    assert not any(name[-2:] in ("_2", "_3") for name in lowered.values)


def test_an_output_keeps_a_name_that_a_point_inside_another_layer_has() -> None:
    """``q/moved`` is a point of the quantizer with a zero point, and the value read from it."""
    b = Builder("m")
    b.input("x", (3, 2))
    op = Requantize(np.array(0.3), np.array(3), -8, 7)
    q = b.add(op, "x", name="q", layer="q")
    b.output(b.add(Transpose((1, 0)), q, name="q/moved", layer="q"))
    graph = b.build()
    lowered = lower(graph, Types(default=Fixed.parse("fixed<8,8>")))
    x = np.arange(6).reshape(1, 3, 2)
    assert lowered.outputs == ("q/moved",)
    found = lowered.to_real("q/moved", run(lowered, {"x": x})["q/moved"])
    assert (found == run_reals(graph, {"x": x.astype(np.float64)})["q/moved"]).all()


def test_all_missing_types_are_reported_at_once() -> None:
    with pytest.raises(Problems) as caught:
        lower(everything(), Types())
    missing = [str(e) for e in caught.value.errors]
    assert all(text.startswith("E204") for text in missing)
    for name in ("'x'", "'att/score'", "'norm'", "'soft'"):
        assert any(name in text for text in missing), name


def test_a_single_missing_type_is_named() -> None:
    builder = Builder("n")
    x = builder.input("x", (4,))
    builder.output(builder.add(Linear(EYE, None, (4,)), x, name="y", layer="y"))
    with pytest.raises(TypeRangeError, match="no type for 'y'"):
        lower(builder.build(), Types({"x": Fixed(True, 8, 4)}))


def test_lowering_is_deterministic() -> None:
    first, second = (lower(everything(), Types(default=DEFAULT)) for _ in range(2))
    assert [n.output for n in first.nodes] == [n.output for n in second.nodes]
    assert [v.type for v in first.values.values()] == [v.type for v in second.values.values()]


def test_tables_stay_small() -> None:
    lowered = lower(everything(), Types(default=Fixed(True, 24, 12)), Options())
    for node in lowered.nodes:
        table = getattr(node.op, "table", None)
        assert table is None or table.shape[0] <= 1 << 12, node.output


def test_choices_are_noted() -> None:
    notes = lower_noted(everything(), Types(default=DEFAULT)).notes
    assert [(n.layer, n.choice) for n in notes] == [("att", "softmax"), ("soft", "softmax")]
