"""Malformed and hostile ONNX files: clear errors with codes, all at once, and no traceback."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateformer.quant.errors import GateformerError, ModelError, Problems, ToolError
from gateformer.quant.frontends import load, onnx_file

onnx = pytest.importorskip("onnx", reason="it parses the files")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT = TensorProto.FLOAT
Proto = Any


def constant(array: object, name: str = "w") -> Proto:
    return numpy_helper.from_array(np.asarray(array, np.float32), name)


def whole(numbers: Sequence[int], name: str) -> Proto:
    return numpy_helper.from_array(np.asarray(numbers, np.int64), name)


def model(
    nodes: Sequence[Proto],
    weights: Sequence[Proto] = (),
    dims: Sequence[int | str] = ("n", 3, 4),
    output: str = "y",
    version: int = 18,
) -> Proto:
    """A file of one input x and one output."""
    graph = helper.make_graph(
        list(nodes),
        "m",
        [helper.make_tensor_value_info("x", FLOAT, list(dims))],
        [helper.make_tensor_value_info(output, FLOAT, None)],
        list(weights),
    )
    domains = {"": version, "qonnx.custom_op.general": 1, "local": 1}
    opsets = [helper.make_opsetid(domain, number) for domain, number in domains.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def node(kind: str, *inputs: str, output: str = "y", **attributes: object) -> Proto:
    name = str(attributes.pop("name", ""))
    return helper.make_node(kind, list(inputs), [output], name=name, **attributes)


def saved(folder: Path, proto: Proto) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def refused(path: Path) -> tuple[GateformerError, ...]:
    """The errors of a file, found without much work."""
    start = time.process_time()
    with pytest.raises(GateformerError) as caught:
        load(path)
    assert time.process_time() - start < 10
    error = caught.value
    return error.errors if isinstance(error, Problems) else (error,)


DENSE = node("MatMul", "x", "w")
QUANT = {"domain": "qonnx.custom_op.general", "signed": 1, "narrow": 0, "rounding_mode": "ROUND"}


def quant(*inputs: str, **changed: object) -> Proto:
    return node("Quant", *inputs, **{**QUANT, **changed})


def outside(location: str, folder: Path, **more: str) -> Proto:
    """A dense layer whose weights lie elsewhere."""
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4, 2], data_location=1)
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return model([DENSE], [tensor])


def branch() -> Proto:
    inner = helper.make_graph(
        [node("Identity", "x", output="z")],
        "then",
        [],
        [helper.make_tensor_value_info("z", FLOAT, None)],
    )
    return node("If", "c", then_branch=inner, else_branch=inner, name="choice")


def calls() -> Proto:
    proto = model([node("Secret", "x", domain="local", name="call")])
    body = helper.make_function(
        "local", "Secret", ["a"], ["b"], [node("Relu", "a", output="b")], proto.opset_import
    )
    proto.functions.append(body)
    return proto


def swollen(kind: str, *inputs: str, **attributes: object) -> Proto:
    """A constant of 10^15 numbers on its way to a sum."""
    huge = whole([100_000, 100_000, 100_000], "shape")
    nodes = [node(kind, *inputs, output="big", **attributes), node("Add", "x", "big")]
    return model(nodes, [huge, constant([1.0], "one")])


BAD = TensorProto(name="w", data_type=FLOAT, dims=[1 << 40, 1 << 30])
SHORT = TensorProto(name="w", data_type=FLOAT, dims=[4, 2], raw_data=b"1234")
WORDS = TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], string_data=[b"a"])
NEGATIVE = TensorProto(name="w", data_type=FLOAT, dims=[-4, 2])
ONES = constant(np.ones((4, 2)))

CASES: dict[str, tuple[Callable[[], Proto], str, str]] = {
    "a cycle": (
        lambda: model(
            [node("Add", "x", "b", output="a"), node("Relu", "a", output="b")], (), output="b"
        ),
        "E103",
        "a cycle leads through",
    ),
    "from nowhere": (lambda: model([node("Relu", "z")]), "E103", "reads 'z', which nothing"),
    "made twice": (
        lambda: model([node("Relu", "x"), node("Tanh", "x")]),
        "E103",
        "'y' is defined twice",
    ),
    "no output": (lambda: model([node("Relu", "x", output="z")]), "E103", "never defined"),
    "huge weights": (lambda: model([DENSE], [BAD]), "E107", "weights too large"),
    "negative sizes": (lambda: model([DENSE], [NEGATIVE]), "E107", "weights too large"),
    "short weights": (lambda: model([DENSE], [SHORT]), "E104", "4 bytes do not fill"),
    "words for weights": (lambda: model([DENSE], [WORDS]), "E104", "no plain number"),
    "NaN": (lambda: model([DENSE], [constant(np.full((4, 2), np.nan))]), "E105", "NaN"),
    "infinite offset": (
        lambda: model([node("Add", "x", "w")], [constant([np.inf])]),
        "E105",
        "NaN or infinite",
    ),
    "control flow": (lambda: model([branch()], [constant([1.0], "c")]), "E102", "graph of its own"),
    "a function": (calls, "E102", "function that the file defines"),
    "unknown node": (lambda: model([node("LSTM", "x")]), "E102", "recurrent"),
    "unknown domain": (lambda: model([node("Quant", "x", domain="local")]), "E102", "domain"),
    "huge fill": (lambda: swollen("ConstantOfShape", "shape"), "E107", "constant of shape"),
    "huge repeat": (lambda: swollen("Expand", "one", "shape"), "E107", "constant of shape"),
    "huge tiles": (
        lambda: model(
            [node("Tile", "one", "n", output="big"), node("Add", "x", "big")],
            [constant([1.0], "one"), whole([1 << 50], "n")],
        ),
        "E107",
        "constant of shape",
    ),
    "free tokens": (
        lambda: model([node("Relu", "x")], dims=("n", "t", 4)),
        "E112",
        "only the batch",
    ),
    "huge input": (lambda: model([node("Relu", "x")], dims=(1, 1 << 40, 4)), "E112", "fixed shape"),
    "misfit": (lambda: model([DENSE], [constant(np.ones((5, 2)))]), "E112", "do not fit"),
    "mixed samples": (
        lambda: model([node("Softmax", "x", axis=0)], dims=(2, 3, 4)),
        "E114",
        "mixes the samples",
    ),
    "bare mask": (
        lambda: model(
            [node("Add", "x", "w", output="m"), node("Relu", "m")],
            [constant(np.where(np.tri(3, 4) > 0, 0, -np.inf))],
        ),
        "E114",
        "masked scores",
    ),
    "odd mask": (
        lambda: model(
            [node("Add", "x", "w", output="m"), node("Softmax", "m")],
            [constant([0, -np.inf, 0, 0])],
        ),
        "E114",
        "causal",
    ),
    "negative scale": (
        lambda: model(
            [quant("x", "s", "z", "b")],
            [constant(-1.0, "s"), constant(0.0, "z"), constant(4.0, "b")],
        ),
        "E109",
        "positive",
    ),
    "odd rounding": (
        lambda: model(
            [quant("x", "s", "z", "b", rounding_mode="CEIL")],
            [constant(1.0, "s"), constant(0.0, "z"), constant(4.0, "b")],
        ),
        "E109",
        "CEIL",
    ),
    "half a bit": (
        lambda: model(
            [quant("x", "s", "z", "b")],
            [constant(1.0, "s"), constant(0.0, "z"), constant(4.5, "b")],
        ),
        "E109",
        "bit width",
    ),
    "integers loose": (
        lambda: model(
            [node("QuantizeLinear", "x", "s", output="q"), node("Relu", "q")],
            [constant(1.0, "s")],
        ),
        "E102",
        "reads integers",
    ),
    "integers out": (
        lambda: model([node("QuantizeLinear", "x", "s")], [constant(1.0, "s")]),
        "E102",
        "leave the model",
    ),
    "moved integers out": (
        lambda: model(
            [node("QuantizeLinear", "x", "s", output="q"), node("Transpose", "q", perm=[0, 2, 1])],
            [constant(1.0, "s")],
        ),
        "E102",
        "leave the model",
    ),
    "old": (lambda: model([node("Relu", "x")], version=6), "E101", "opset 6"),
    "odd attribute": (lambda: model([node("Softmax", "x", axis="last")]), "E103", "not an integer"),
    "odd axis": (lambda: model([node("Softmax", "x", axis=7)]), "E112", "axis 7"),
    "odd perm": (lambda: model([node("Transpose", "x", perm=[0, 0, 1])]), "E103", "perm"),
    "odd reshape": (
        lambda: model([node("Reshape", "x", "s")], [whole([5, 5], "s")]),
        "E112",
        "cannot become",
    ),
    "odd slice": (
        lambda: model(
            [node("Slice", "x", "a", "b", "c")],
            [whole([0], "a"), whole([0], "b"), whole([1], "c")],
        ),
        "E102",
        "drops",
    ),
    "constant output": (
        lambda: model([node("Relu", "x", output="z"), node("Neg", "w")], [ONES]),
        "E114",
        "no node computes",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_clear_error(case: str, tmp_path: Path) -> None:
    make, code, words = CASES[case]
    (error,) = refused(saved(tmp_path, make()))
    assert error.code == code
    assert words in str(error)


@pytest.mark.parametrize(
    ("location", "more", "code"),
    [
        ("/etc/hostname", {}, "E108"),
        ("../secret", {}, "E108"),
        ("inner/../../secret", {}, "E108"),
        ("..\\secret", {}, "E108"),
        ("C:/secret", {}, "E108"),
        ("link", {}, "E108"),
        ("linked/secret", {}, "E108"),
        ("", {}, "E104"),
        ("absent", {}, "E104"),
        ("data", {"offset": "20"}, "E104"),
        ("data", {"offset": "-1"}, "E104"),
        ("data", {"offset": "9" * 30}, "E104"),
        ("data", {"length": "9"}, "E104"),
        ("data", {"offset": "one"}, "E104"),
    ],
)
def test_weights_stay_in_the_folder(
    location: str, more: dict[str, str], code: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(32))
    (folder / "data").write_bytes(bytes(32))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path)
    (error,) = refused(saved(folder, outside(location, folder, **more)))
    assert error.code == code


def test_weights_beside_the_file(tmp_path: Path) -> None:
    kernel = np.arange(8, dtype="<f4").reshape(4, 2)
    (tmp_path / "data").write_bytes(b"past" + kernel.tobytes())
    path = saved(tmp_path, outside("data", tmp_path, offset="4", length="32"))
    (step,) = load(path).nodes
    np.testing.assert_array_equal(step.op.kernel, kernel)  # type: ignore[attr-defined]


def test_all_strangers_at_once(tmp_path: Path) -> None:
    proto = model(
        [
            node("LSTM", "x", output="a", name="/encoder/memory/LSTM"),
            node("Conv", "a", output="b", name="patch"),
            node("NonZero", "b", name="/tail/NonZero"),
        ]
    )
    errors = refused(saved(tmp_path, proto))
    assert [(e.code, e.layer, e.kind) for e in errors] == [
        ("E102", "encoder/memory", "LSTM"),
        ("E102", "patch", "Conv"),
        ("E102", "tail", "NonZero"),
    ]


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a\nb", "\x1b[2J", "n" * 500])
def test_unsafe_names(name: str, tmp_path: Path) -> None:
    proto = model([DENSE], [ONES])
    proto.graph.name = name
    (error,) = refused(saved(tmp_path, proto))
    assert (error.code, error.layer) == ("E108", name[:40].encode("unicode_escape").decode())
    proto.graph.name = "fine"
    proto.graph.input[0].name = proto.graph.node[0].input[0] = name
    (error,) = refused(saved(tmp_path, proto))
    assert error.code == "E108"


@pytest.mark.parametrize("length", [0, 1, 7, 40, 100])
def test_truncated(length: int, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model([DENSE], [ONES]).SerializeToString()[:length])
    (error,) = refused(path)
    assert error.code in ("E101", "E103", "E104")


def test_random_damage_is_never_a_traceback(tmp_path: Path) -> None:
    """Bytes changed one by one: a graph or an error of ours."""
    whole_file = model([quant("x", "s", "z", "b", output="q"), node("MatMul", "q", "w")], [
        ONES, constant(0.5, "s"), constant(0.0, "z"), constant(4.0, "b"),
    ]).SerializeToString()  # fmt: skip
    rng = np.random.default_rng(3)
    path = tmp_path / "m.onnx"
    outcomes = {"read": 0, "refused": 0}
    for _ in range(150):
        data = bytearray(whole_file)
        for place in rng.integers(len(data), size=int(rng.integers(1, 4))):
            data[int(place)] = int(rng.integers(256))
        path.write_bytes(data)
        try:
            onnx_file.load(path)
        except GateformerError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
    assert min(outcomes.values()) > 3


def test_a_pickle_by_any_name(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x80\x04K\x01.")
    (error,) = refused(path)
    assert error.code == "E101"
    assert "pickle" in str(error)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateformer.quant.frontends.onnx import proto

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(proto, "import_module", absent)
    with pytest.raises(ToolError, match="E505"):
        load(saved(tmp_path, model([DENSE], [ONES])))


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.onnx"):
        with pytest.raises(ModelError, match="E101"):
            onnx_file.load(path)
