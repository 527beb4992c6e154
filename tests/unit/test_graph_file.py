"""``model.json``: what gateformer wrote is a model; what strangers wrote runs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.ptq_networks import data, network

from gateformer.quant.errors import GateformerError, ModelError
from gateformer.quant.execute import run_reals
from gateformer.quant.expand.context import Types
from gateformer.quant.frontends import load
from gateformer.quant.frontends.plain_json import MAX_JSON_BYTES
from gateformer.quant.lower import lower
from gateformer.quant.ptq.pipeline import make
from gateformer.quant.ptq.settings import Recipe
from gateformer.quant.serialize import save, to_json
from gateformer.quant.types import Fixed


@pytest.mark.parametrize("step", ["power-of-two", "float"])
def test_a_quantized_network_comes_back(step: Any, tmp_path: Path) -> None:
    graph = make(network(), data(), Recipe(5, 6, step=step)).graph
    save(graph, tmp_path / "odd.name")
    again = load(tmp_path / "odd.name")
    assert to_json(again) == to_json(graph)
    assert (run_reals(again, data())["head"] == run_reals(graph, data())["head"]).all()


def test_a_lowered_graph_is_no_model(tmp_path: Path) -> None:
    save(lower(network(), Types(default=Fixed.parse("fixed<16,6>"))), tmp_path / "g.json")
    with pytest.raises(ModelError, match="E101 a lowered graph"):
        load(tmp_path / "g.json")


def _node(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(n for n in document["nodes"] if n["output"] == name)


def _misfit(name: str, field: str, size: int) -> Callable[[dict[str, Any]], object]:
    array = {"dtype": "float64", "shape": [size], "data": [1.0] * size}
    return lambda d: _node(d, name)["attributes"].update({field: array})


def _renamed(document: dict[str, Any], old: str, new: str) -> None:
    text = json.dumps(document).replace(json.dumps(old), json.dumps(new))
    document.update(json.loads(text))


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "an architecture": (lambda d: d.pop("spec_version"), "E101"),
    "a later version": (lambda d: d.update(spec_version=99), "E111"),
    "no outputs": (lambda d: d.update(outputs=[]), "E115"),
    "no inputs": (lambda d: d.update(inputs=[]), "E115"),
    "code for an operation": (lambda d: _node(d, "up").update(op="__import__('os')"), "E115"),
    "a bias of another size": (_misfit("embed", "bias", 5), "E115"),
    "an attention bias of another size": (_misfit("attention", "bo", 5), "E115"),
    "an attention matrix without axes": (_misfit("attention", "wq", 1), "E11"),
    "heads below one": (lambda d: _node(d, "attention")["attributes"].update(heads=-1), "E115"),
    "a negative scale": (lambda d: _node(d, "attention")["attributes"].update(scale=-1.0), "E115"),
    "a negative epsilon": (lambda d: _node(d, "norm1")["attributes"].update(epsilon=-1.0), "E115"),
    "an endless version": (lambda d: d.update(spec_version=10**400), "E111"),
    "an operand too many": (lambda d: _node(d, "norm1").update(inputs=["embed", "embed"]), "E110"),
    "no operand": (lambda d: _node(d, "norm1").update(inputs=[]), "E110"),
    "a name out of its folder": (lambda d: d.update(name="../../x"), "E108"),
    "a rooted name": (lambda d: d.update(name="/etc/x"), "E108"),
    "a name of two lines": (lambda d: d.update(name="a\nb"), "E108"),
    "an endless layer": (lambda d: _node(d, "up").update(layer="n" * 9999), "E108"),
    "a layer out of its folder": (lambda d: _node(d, "up").update(layer="a/../../b"), "E108"),
    "a value that moves the cursor": (lambda d: _renamed(d, "up", "\x1b[2Jup"), "E108"),
    "a huge input": (lambda d: d["inputs"][0].update(shape=[1 << 50, 3]), "E11"),
    "an empty input": (lambda d: d["inputs"][0].update(shape=[0, 3]), "E11"),
    "a negative input": (lambda d: d["inputs"][0].update(shape=[-4, 3]), "E11"),
}


@pytest.mark.parametrize("how", HOSTILE)
@pytest.mark.filterwarnings("error")
def test_hostile_files(how: str, tmp_path: Path) -> None:
    change, code = HOSTILE[how]
    document = to_json(network())
    change(document)
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(GateformerError) as raised:
        load(tmp_path / "m.json")
    assert raised.value.code.startswith(code), raised.value
    assert len(str(raised.value)) < 400


def test_many_tokens_make_too_many_scores(tmp_path: Path) -> None:
    from gateformer.quant.expand import Attention
    from gateformer.quant.graph import Builder

    ones = np.ones((2, 1, 2))
    op = Attention(1, ones, None, ones, None, ones, None, np.ones((1, 2, 2)), None, 1.0)
    builder = Builder("long")
    x = builder.input("x", (1 << 20, 2))
    builder.output(builder.add(op, x, x, x, name="a", layer="a"))
    save(builder.build(), tmp_path / "m.json")
    with pytest.raises(ModelError, match="E112"):
        load(tmp_path / "m.json")


def test_files_that_are_no_graphs(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    for text, code in (
        ("{", "E101"),
        ("{" * 5000, "E107"),
        ('{"spec_version": "2"}', "E115"),
        ('{"spec_version": 2}', "E115"),
    ):
        path.write_text(text)
        with pytest.raises(GateformerError) as raised:
            load(path)
        assert raised.value.code == code, text
    with path.open("wb") as file:
        file.write(b"{")
        file.truncate(MAX_JSON_BYTES + 2)
    with pytest.raises(ModelError, match="E107"):
        load(path)
