"""Graphs survive JSON whole; old files are read; malformed ones are refused with a reason."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateformer.quant import serialize
from gateformer.quant.errors import GateformerError, ModelError
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import (
    Affine,
    Attention,
    Elementwise,
    Embedding,
    LayerNorm,
    Linear,
    Pool,
    Quantize,
    RMSNorm,
    Softmax,
)
from gateformer.quant.expand.context import Types
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Slice
from gateformer.quant.passes.fold_heads import fold_heads
from gateformer.quant.serialize import from_json, load, save, to_json
from gateformer.quant.types import Fixed

GOLDEN = Path(__file__).parent.parent / "golden"


def everything() -> Graph:
    rng = np.random.default_rng(0)

    def w(*shape: int) -> np.ndarray:
        return rng.integers(-9, 10, shape) / 16.0

    attention = Attention(
        1, w(2, 1, 4), w(1, 4), w(2, 1, 4), None, w(2, 1, 4), None, w(1, 4, 2), w(2), 0.5,
        True, True,
    )  # fmt: skip
    builder = Builder("everything")
    x = builder.input("x", (3, 2))
    m = builder.input("m", (3, 1), masks="x")
    i = builder.input("i", (3,))
    e = builder.add(Embedding(w(5, 2)), i, name="e", layer="e")
    s = builder.add(Add(), x, e, name="s", layer="s")
    a = builder.add(attention, s, s, s, m, name="a", layer="a")
    q = builder.add(Quantize(Fixed(True, 9, 5)), a, name="q", layer="a")
    n = builder.add(LayerNorm(np.ones(2), w(2), 1e-3), q, name="n", layer="n")
    r = builder.add(RMSNorm(w(2), 1e-3), n, name="r", layer="r")
    b = builder.add(Affine(w(2), w(2)), r, name="b", layer="b")
    h = builder.add(Linear(w(2, 3), None, (3,)), b, name="h", layer="h")
    g = builder.add(Elementwise("elu", (("alpha", 0.5),)), h, name="g", layer="h")
    c = builder.add(Concat(), g, x, name="c", layer="c")
    d = builder.add(Slice(1, 4), c, name="d", layer="d")
    t = builder.add(Mul(), d, d, name="t", layer="t")
    p = builder.add(Pool("max", True), t, m, name="p", layer="p")
    builder.output(builder.add(Softmax(), p, name="y", layer="y"))
    return builder.build()


def lowered(graph: Graph) -> Graph:
    return lower(graph, Types({"p": Fixed(True, 12, 6)}, default=Fixed.parse("fixed<14,5>")))


def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "x": rng.normal(size=(20, 3, 2)),
        "m": rng.integers(0, 2, (20, 3, 1)).astype(np.float64),
        "i": rng.integers(0, 5, (20, 3)).astype(np.float64),
    }


def text(graph: Graph) -> str:
    return json.dumps(to_json(graph), allow_nan=False)


@pytest.mark.parametrize("stage", ["imported", "folded", "lowered"])
def test_round_trip(stage: str, tmp_path: Path) -> None:
    graph = everything()
    if stage == "folded":
        graph, _ = fold_heads(graph)
    if stage == "lowered":
        graph = lowered(graph)
    save(graph, tmp_path / "g.json")
    again = load(tmp_path / "g.json")
    assert text(again) == text(graph)
    assert [p.name for p in tmp_path.iterdir()] == ["g.json"]
    if stage == "lowered":
        raw = {n: graph.values[n].fixed.from_real(v) for n, v in data().items()}
        assert (run(again, raw)["y"] == run(graph, raw)["y"]).all()
    else:
        assert (run_reals(again, data())["y"] == run_reals(graph, data())["y"]).all()


def test_the_frozen_file_of_version_1_is_read_and_gives_the_same_results() -> None:
    graph = load(GOLDEN / "graph_v1.json")
    expected = json.loads((GOLDEN / "graph_v1_results.json").read_text())
    raw = {name: np.array(values) for name, values in expected["inputs"].items()}
    assert run(graph, raw)["y"].tolist() == expected["y"]


def test_big_integers_and_infinite_parameters_survive() -> None:
    builder = Builder("wide")
    kind = Fixed(True, 70, 3)
    low = np.array([-(2**68)], dtype=object)
    high = np.array([2**68], dtype=object)
    x = builder.input("x", (1,), kind, bounds=(low, high))
    builder.output(builder.add(Add(), x, x, name="y", layer="y"))
    again = from_json(json.loads(text(builder.build())))
    assert again.values["y"].bounds[1][0] == 2**69

    builder = Builder("relu")
    x = builder.input("x", (1,))
    relu = Elementwise("relu", (("max_value", float("inf")),))
    builder.output(builder.add(relu, x, name="y", layer="y"))
    op = from_json(json.loads(text(builder.build()))).nodes[0].op
    assert isinstance(op, Elementwise) and op.parameters == relu.parameters


def node(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(n for n in document["nodes"] if n["output"] == name)


BREAKS: dict[str, Any] = {
    "no version": lambda d: d.pop("spec_version"),
    "version is text": lambda d: d.update(spec_version="1"),
    "no nodes": lambda d: d.pop("nodes"),
    "nodes is a number": lambda d: d.update(nodes=3),
    "node is a list": lambda d: d.update(nodes=[[]]),
    "unknown operation": lambda d: node(d, "s").update(op="Subtract"),
    "an abstract class": lambda d: node(d, "s").update(op="Layout"),
    "operation is a list": lambda d: node(d, "s").update(op=[]),
    "missing attribute": lambda d: node(d, "s")["attributes"].clear(),
    "extra attribute": lambda d: node(d, "s")["attributes"].update(code="x"),
    "number for a truth": lambda d: node(d, "s")["attributes"].update(subtract=1),
    "text for an integer": lambda d: node(d, "a")["attributes"].update(heads="1"),
    "truth for an integer": lambda d: node(d, "a")["attributes"].update(heads=True),
    "text for an array": lambda d: node(d, "a")["attributes"].update(wq="abc"),
    "short array": lambda d: node(d, "a")["attributes"]["wq"]["data"].pop(),
    "absurd shape": lambda d: node(d, "a")["attributes"]["wq"].update(shape=[-2, -4]),
    "unknown dtype": lambda d: node(d, "a")["attributes"]["wq"].update(dtype="object"),
    "NaN weight": lambda d: node(d, "a")["attributes"]["wq"]["data"].__setitem__(0, "nan"),
    "infinite weight": lambda d: node(d, "a")["attributes"]["wq"]["data"].__setitem__(0, "inf"),
    "absurd width": lambda d: node(d, "q")["attributes"].update(type="fixed<9999,3>"),
    "malformed type": lambda d: node(d, "q")["attributes"].update(type="float"),
    "unknown rounding": lambda d: node(d, "q")["attributes"].update(rounding="UP"),
    "unknown pooling": lambda d: node(d, "p")["attributes"].update(kind="median"),
    "unknown function": lambda d: node(d, "g")["attributes"].update(function="__import__"),
    "parameters are no pairs": lambda d: node(d, "g")["attributes"].update(parameters=[["a"]]),
    "undefined input": lambda d: node(d, "s").update(inputs=["x", "nowhere"]),
    "too few inputs": lambda d: node(d, "s").update(inputs=["x"]),
    "defined twice": lambda d: d["nodes"].append(deepcopy(d["nodes"][0])),
    "wrong order": lambda d: d["nodes"].reverse(),
    "undefined output": lambda d: d.update(outputs=["nowhere"]),
    "output is a list": lambda d: d.update(outputs=[["y"]]),
    "empty name": lambda d: d["inputs"][0].update(name=""),
    "input twice": lambda d: d["inputs"].append(d["inputs"][0]),
    "shape of text": lambda d: d["inputs"][0].update(shape=["3"]),
    "misfitting shape": lambda d: d["inputs"][0].update(shape=[4, 2]),
    "claimed type": lambda d: node(d, "s").update(type="fixed<8,3>"),
    "range of another shape": lambda d: d["inputs"][0].update(
        range=[{"dtype": "int64", "shape": [1], "data": [0]}] * 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BREAKS)
def test_malformed_files(how: str) -> None:
    document = to_json(everything())
    BREAKS[how](document)
    with pytest.raises(GateformerError) as caught:
        from_json(json.loads(json.dumps(document)))
    assert str(caught.value).startswith("E")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "3", "[" * 100_000, "\x00", '{"spec_version": 1}']
)
def test_files_that_are_no_graph(content: str, tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    path.write_text(content)
    with pytest.raises(ModelError, match="E115"):
        load(path)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="E115"):
        load(tmp_path / "nowhere.json")
    (tmp_path / "g.json").write_bytes(b"\x89HDF\r\n\xff\xfe")
    with pytest.raises(ModelError, match="E115"):
        load(tmp_path / "g.json")


def test_unknown_versions_and_the_upgrade_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="E111"):
        from_json({**to_json(everything()), "spec_version": 3})
    monkeypatch.setattr(serialize, "SPEC_VERSION", 4)
    renamed = {**to_json(everything()), "spec_version": 2}
    renamed["title"] = renamed.pop("name")
    steps = {2: lambda d: {**d, "middle": True}, 3: lambda d: {**d, "name": d["title"]}}
    monkeypatch.setattr(serialize, "UPGRADES", steps)
    assert from_json(renamed).name == "everything"


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save(everything(), tmp_path / "g.json")
    assert list(tmp_path.iterdir()) == []
