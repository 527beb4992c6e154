"""Names: what Verilog cannot carry is refused, all of it at once."""

from __future__ import annotations

import pytest
from equiv.networks import NETWORKS, Maker, network

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.naming import check_names, identifier
from gateformer.hw.settings import Settings
from gateformer.quant.errors import Problems, ScheduleError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("block1/score", "block1_score"),
        ("a b-c.d", "a_b_c_d"),
        ("2nd", "_2nd"),
        ("x$", "x_"),
        ("input", "input_"),
        ("out", "out_"),
        ("logic", "logic_"),
        ("clk", "clk_"),
        ("Output", "Output"),
    ],
)
def test_identifiers(name: str, expected: str) -> None:
    assert identifier(name) == expected


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        (["größe"], "Verilog names are ASCII"),
        (["module", "module_"], "'module_' and 'module' are both 'module_' in Verilog"),
        (["a", "a_valid"], "'a_valid' is what Verilog calls a part of 'a'"),
        (["a_d3", "a"], "'a_d3' is what Verilog calls a part of 'a'"),
        (["a", "out_a"], "'out_a' is what Verilog calls the port of 'a'"),
        (["x", "in_x"], "'in_x' is what Verilog calls the port of 'x'"),
        (["a/b", "a_b"], "'a_b' and 'a/b' are both 'a_b' in Verilog"),
    ],
)
def test_names_that_verilog_cannot_carry(names: list[str], cause: str) -> None:
    with pytest.raises((ScheduleError, Problems)) as caught:
        check_names(((name, f"layer {name}") for name in names), ["x"])
    errors = getattr(caught.value, "errors", [caught.value])
    assert [(e.code, e.cause) for e in errors] == [("E320", cause)]
    assert errors[0].layer.removeprefix("layer ") in names


def test_only_inputs_have_input_ports() -> None:
    check_names([("a", "a"), ("in_a", "b"), ("out_proj", "c")], ["x"])


def test_all_are_told_at_once() -> None:
    with pytest.raises(Problems) as caught:
        check_names([("ö", "a"), ("é", "b"), ("wire", "c"), ("fine_d2", "d"), ("fine", "e")])
    assert [error.layer for error in caught.value.errors] == ["a", "b", "d"]


def test_a_plan_refuses_them() -> None:
    def net(m: Maker) -> None:
        m.builder.output(m.linear(m.builder.input("reg", (2, 2)), 2, "größe"))

    with pytest.raises((ScheduleError, Problems), match="E320"):
        plan(network(net), Settings())


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_are_called_after_layers(name: str) -> None:
    graph = network(NETWORKS[name])
    stages = plan(graph, Settings()).stages
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names)
    for stage in stages:
        assert stage.layer in graph.layers
        assert any(stage.name.startswith(identifier(layer)) for layer in graph.layers)
