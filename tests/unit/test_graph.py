from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from gateformer.quant.errors import ModelError, Problems
from gateformer.quant.graph import Builder, Graph, Node, prune
from gateformer.quant.ops.cast import Cast, Rescale
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.types import Fixed

KIND = Fixed(True, 8, 4)


def graph() -> Graph:
    builder = Builder("toy")
    x = builder.input("x", (2, 3), KIND)
    y = builder.add(Add(), x, x, name="y", layer="sum")
    builder.add(Mul(), x, x, name="unused", layer="square")
    builder.output(builder.add(Cast(KIND), y, name="z", layer="sum"))
    return builder.build()


def test_builder_infers_and_names() -> None:
    g = graph()
    assert g.typed
    assert g.layers == ("x", "sum", "square")
    assert g.values["y"].fixed == Fixed(True, 9, 4)
    assert [n.output for n in g.consumers()["x"]] == ["y", "unused"]
    assert g.producers()["z"].inputs == ("y",)


def test_taken_names_get_a_number() -> None:
    builder = Builder("toy")
    x = builder.input("x", (2,), KIND)
    names = [builder.add(Add(), x, x, name="y", layer="y") for _ in range(3)]
    assert names == ["y", "y_2", "y_3"]


def test_two_inputs_of_one_name() -> None:
    builder = Builder("toy")
    builder.input("x", (2,), KIND)
    with pytest.raises(ModelError, match="two values"):
        builder.input("x", (2,), KIND)


def test_prune_drops_what_no_output_needs() -> None:
    assert [n.output for n in prune(graph()).nodes] == ["y", "z"]


def test_untyped_values_have_no_integers() -> None:
    builder = Builder("toy")
    x = builder.input("x", (2,))
    builder.output(builder.add(Add(), x, x, name="y", layer="y"))
    built = builder.build()
    assert not built.typed
    with pytest.raises(ModelError, match="without a type"):
        _ = built.values["y"].fixed


def changed(g: Graph, name: str, **parts: object) -> Graph:
    values = {**g.values, name: replace(g.values[name], **parts)}
    return replace(g, values=MappingProxyType(values))


@pytest.mark.parametrize(
    "parts",
    [
        {"shape": (3, 2)},
        {"type": Fixed(True, 8, 4)},
        {"lo": np.zeros((2, 3), np.int64), "hi": np.zeros((2, 3), np.int64)},
    ],
)
def test_verify_finds_false_claims(parts: dict[str, object]) -> None:
    with pytest.raises(Problems, match="not well formed"):
        changed(graph(), "y", **parts).verify()


def test_verify_finds_wrong_order_and_double_definitions() -> None:
    g = graph()
    with pytest.raises(Problems, match="before it is defined"):
        replace(g, nodes=g.nodes[::-1]).verify()
    with pytest.raises(Problems, match="defined twice"):
        replace(g, nodes=(*g.nodes, Node(Add(), ("x", "x"), "y"))).verify()
    with pytest.raises(Problems, match="never defined"):
        replace(g, outputs=("nowhere",)).verify()


def test_nothing_is_declared_twice() -> None:
    builder = Builder("twice")
    x = builder.input("x", (3, 2), Fixed(True, 4, 0))
    for name in ("keep", "kept"):
        builder.input(name, (3, 1), Fixed(False, 1, 0), masks=x)
    y = builder.add(Rescale(1), x, name="y", layer="y")
    builder.output(y)
    builder.output(y)
    with pytest.raises(Problems) as caught:
        builder.build()
    told = [error.what for error in caught.value.errors]
    assert told == ["output 'y' is declared twice", "mask of 'x' is declared twice"]
