"""Each kind of ONNX node against onnxruntime; quantizers against QONNX's own definitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateformer.quant.execute import run_reals
from gateformer.quant.expand import (
    Affine,
    Elementwise,
    LayerNorm,
    Linear,
    LogSqrt2,
    Parameter,
    Quantize,
    RMSNorm,
    ScaledQuantize,
    Softmax,
)
from gateformer.quant.frontends import load
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Op
from gateformer.quant.passes.join_attention import join_attention
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding

onnx = pytest.importorskip("onnx", reason="it parses the files")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

pytestmark = pytest.mark.onnx

Proto = Any
RNG = np.random.default_rng(7)
GENERAL = "qonnx.custom_op.general"


class File:
    """A model file of a few nodes on one input.

    Parameters
    ----------
    *dims : int or str
        Of the input.
    opset : int
        Version of the standard domain.
    """

    def __init__(self, *dims: int | str, opset: int = 20) -> None:
        self.dims = dims
        self.opset = opset
        self.nodes: list[Proto] = []
        self.weights: list[Proto] = []

    def const(self, array: object) -> str:
        """A constant; whole numbers are int64, all others float32."""
        held = np.asarray(array)
        held = held.astype(np.float32 if held.dtype.kind == "f" else held.dtype)
        self.weights.append(numpy_helper.from_array(held, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: object) -> str:
        """A node of one result."""
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    def proto(self) -> Proto:
        """The model; its output is the last node's."""
        graph = helper.make_graph(
            self.nodes,
            "m",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(self.dims))],
            [helper.make_tensor_value_info(self.nodes[-1].output[0], TensorProto.FLOAT, None)],
            self.weights,
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(GENERAL, 2)]
        opsets.append(helper.make_opsetid("gateformer", 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def load(self, folder: Path) -> Graph:
        """The imported graph."""
        (folder / "m.onnx").write_bytes(self.proto().SerializeToString())
        return load(folder / "m.onnx")

    def check(self, folder: Path, spread: float = 2.0) -> Graph:
        """Reals are onnxruntime's."""
        import onnxruntime

        graph = self.load(folder)
        shape = [3 if isinstance(d, str) else d for d in self.dims]
        x = RNG.normal(size=shape).astype(np.float32) * spread
        options = onnxruntime.SessionOptions()
        # its optimizer quantizes tensors that the file does not
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(self.proto().SerializeToString(), options)
        (expected,) = session.run(None, {"x": x})
        found = reals(graph, x.astype(np.float64))
        np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=3e-5, rtol=1e-4)
        return graph


def reals(graph: Graph, x: FloatArray) -> FloatArray:
    (y,) = run_reals(graph, {"x": x.reshape(-1, *graph.values["x"].shape)}).values()
    return y


def ops(graph: Graph) -> list[Op]:
    return [node.op for node in graph.nodes]


ALONE: dict[str, dict[str, object]] = {
    "Relu": {},
    "LeakyRelu": {"alpha": 0.3},
    "Elu": {"alpha": 0.7},
    "Selu": {},
    "Celu": {"alpha": 0.5},
    "Gelu": {},
    "Sigmoid": {},
    "Tanh": {},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
    "HardSwish": {},
    "Mish": {},
    "Softplus": {},
    "Softsign": {},
    "ThresholdedRelu": {"alpha": 0.5},
    "Erf": {},
    "Exp": {},
    "Abs": {},
    "Neg": {},
    "Identity": {},
    "Dropout": {},
}


@pytest.mark.parametrize("kind", ALONE)
def test_functions_of_one_element(kind: str, tmp_path: Path) -> None:
    file = File("n", 3, 4)
    file.add("Relu", file.add(kind, "x", **ALONE[kind]))
    file.check(tmp_path)


@pytest.mark.parametrize("opset", [11, 20])
def test_bounds(opset: int, tmp_path: Path) -> None:
    for low, high in ((0.0, 1.0), (-0.5, 0.7)):
        file = File("n", 4, opset=opset)
        file.add("Clip", "x", file.const(low), file.const(high))
        (op,) = ops(file.check(tmp_path))
        assert isinstance(op, Elementwise)
        assert op.function == ("relu" if low == 0 else "clip")
    file = File("n", 4, opset=opset)
    file.add("Min", file.add("Max", "x", file.const(np.array([-0.2]))), file.const(0.9))
    file.check(tmp_path)


def gelu(file: File, x: str, order: str) -> str:
    """GELU as exporters spell it."""
    if order == "tanh":
        cube = file.add("Pow", x, file.const(3.0))
        inner = file.add("Add", x, file.add("Mul", cube, file.const(0.044715)))
        tanh = file.add("Tanh", file.add("Mul", inner, file.const(0.7978845608028654)))
        return file.add(
            "Mul", file.add("Mul", x, file.const(0.5)), file.add("Add", tanh, file.const(1.0))
        )
    if order == "divided":
        erf = file.add("Erf", file.add("Div", x, file.const(1.4142135)))
        half = file.add("Mul", file.add("Add", erf, file.const(1.0)), file.const(0.5))
        return file.add("Mul", half, x)
    erf = file.add("Erf", file.add("Mul", file.const(0.70710677), x))
    product = file.add("Mul", x, file.add("Add", file.const(1.0), erf))
    return file.add("Div", product, file.const(2.0))


@pytest.mark.parametrize("order", ["tanh", "divided", "multiplied"])
def test_gelu_in_arithmetic(order: str, tmp_path: Path) -> None:
    file = File(1, 3, 4)
    file.add("Mul", gelu(file, "x", order), file.const(np.arange(1.0, 5.0)))
    graph = file.check(tmp_path)
    assert ops(graph)[0] == Elementwise("gelu_tanh" if order == "tanh" else "gelu")
    assert [type(op) for op in ops(graph)] == [Elementwise, Affine]


@pytest.mark.parametrize(("name", "alpha"), [("silu", 1.0), ("quick_gelu", 1.702)])
def test_gated_by_itself(name: str, alpha: float, tmp_path: Path) -> None:
    file = File(1, 3, 4)
    gate = "x" if alpha == 1.0 else file.add("Mul", "x", file.const(alpha))
    file.add("Mul", file.add("Sigmoid", gate), "x")
    assert ops(file.check(tmp_path)) == [Elementwise(name)]


def test_a_product_that_is_no_known_function(tmp_path: Path) -> None:
    file = File(1, 3, 4)
    file.add("Mul", file.add("Tanh", "x"), "x")
    assert len(ops(file.check(tmp_path))) == 2


@pytest.mark.parametrize("rms", [False, True])
@pytest.mark.parametrize("square", ["Mul", "Pow"])
@pytest.mark.parametrize("root", ["Div", "Reciprocal", "Pow"])
def test_norms_in_arithmetic(rms: bool, square: str, root: str, tmp_path: Path) -> None:
    file = File("n", 3, 8, opset=17)
    c = "x" if rms else file.add("Sub", "x", file.add("ReduceMean", "x", axes=[-1]))
    second = c if square == "Mul" else file.const(2.0)
    variance = file.add("ReduceMean", file.add(square, c, second), axes=[-1])
    power = file.add("Add", variance, file.const(0.01))
    if root == "Div":
        unit = file.add("Div", c, file.add("Sqrt", power))
    elif root == "Pow":
        unit = file.add("Mul", file.add("Pow", power, file.const(-0.5)), c)
    else:
        unit = file.add("Mul", c, file.add("Reciprocal", file.add("Sqrt", power)))
    gained = file.add("Mul", unit, file.const(np.linspace(0.5, 2, 8)))
    file.add("Add", gained, file.const(np.zeros(8) if rms else np.linspace(-1, 1, 8)))
    (op,) = ops(file.check(tmp_path))
    assert isinstance(op, RMSNorm if rms else LayerNorm)
    assert op.epsilon == pytest.approx(0.01)


def test_softmax_in_arithmetic(tmp_path: Path) -> None:
    file = File("n", 3, 8, opset=17)
    low = file.add("Sub", "x", file.add("ReduceMax", "x", axes=[-1]))
    exp = file.add("Exp", low)
    file.add("Div", exp, file.add("ReduceSum", exp, file.const(np.array([-1]))))
    assert ops(file.check(tmp_path)) == [Softmax()]


def test_old_softmax_covers_all_axes_behind(tmp_path: Path) -> None:
    file = File(2, 3, 4, opset=12)
    file.add("Softmax", "x")
    graph = file.load(tmp_path)
    y = reals(graph, RNG.normal(size=(5, 12))).reshape(5, -1)
    np.testing.assert_allclose(y.sum(1), 1.0)


def test_norms_of_their_own_nodes(tmp_path: Path) -> None:
    file = File("n", 6, 3)
    file.add(
        "BatchNormalization",
        "x",
        *(file.const(RNG.uniform(0.5, 2.0, 6)) for _ in range(4)),
        epsilon=0.01,
    )
    file.check(tmp_path)
    file = File("n", 3, 6)
    file.add("LayerNormalization", "x", file.const(np.linspace(1, 2, 6)), axis=2, epsilon=0.1)
    (op,) = ops(file.check(tmp_path))
    assert isinstance(op, LayerNorm)


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "GlobalMaxPool"])
def test_pools_over_all_behind_the_channels(kind: str, tmp_path: Path) -> None:
    file = File("n", 4, 5)
    file.add(kind, "x")
    file.check(tmp_path)


@pytest.mark.parametrize("turned", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_gemm(turned: tuple[int, int], tmp_path: Path) -> None:
    file = File(4, 6) if turned[0] else File("n", 6)
    rows = 4 if turned[0] else 6
    shape = (5, rows) if turned[1] else (rows, 5)
    kernel, bias = file.const(RNG.normal(size=shape)), file.const(RNG.normal(size=5))
    keys = {"transA": turned[0], "transB": turned[1], "alpha": 0.5, "beta": 2.0}
    if turned[0]:  # a batch of four would be summed over: tokens in its place
        file = File(1, 4, 6)
        file.weights = [numpy_helper.from_array(RNG.normal(size=shape).astype(np.float32), "w0")]
        file.add("Gemm", file.add("Reshape", "x", file.const(np.array([4, 6]))), "w0", **keys)
        graph = file.load(tmp_path)
        assert [type(op) for op in ops(graph)][-1] is Linear
        return
    file.add("Gemm", "x", kernel, bias, **keys)
    (op,) = ops(file.check(tmp_path))
    assert isinstance(op, Linear)


def test_matrices_a_head_are_one(tmp_path: Path) -> None:
    file = File("n", 5, 2, 3)
    turned = file.add("Transpose", "x", perm=[0, 2, 1, 3])
    file.add("MatMul", turned, file.const(RNG.normal(size=(2, 3, 4))))
    graph = file.check(tmp_path)
    (linear,) = (op for op in ops(graph) if isinstance(op, Linear))
    assert linear.kernel.shape == (6, 8)
    assert not linear.kernel[:3, 4:].any()


def test_constants_from_the_left(tmp_path: Path) -> None:
    """A matrix across tokens."""
    file = File("n", 5, 3)
    file.add("MatMul", file.const(RNG.normal(size=(4, 5))), "x")
    file.check(tmp_path)


def test_positions_are_constants_of_tokens(tmp_path: Path) -> None:
    file = File("n", 5, 3)
    file.add("Add", "x", file.const(RNG.normal(size=(1, 5, 3))))
    assert Parameter in {type(op) for op in ops(file.check(tmp_path))}


def test_the_batch_may_be_the_second_axis(tmp_path: Path) -> None:
    for second in ("n", 1):
        file = File(5, second, 3)
        file.add("MatMul", "x", file.const(RNG.normal(size=(3, 2))))
        graph = file.load(tmp_path)
        assert graph.values["x"].shape == (5, 3)
        assert graph.values[graph.outputs[0]].shape == (5, 2)


def quantizer(
    folder: Path, scale: object, zero: float, bits: float, shape: Sequence[int] = (3, 4), **how: Any
) -> Op:
    """The one operation of a Quant."""
    file = File("n", *shape)
    inputs = ("x", *(file.const(np.float32(v)) for v in (scale, zero, bits)))
    keys = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND", "domain": GENERAL, **how}
    file.add("Quant", *inputs, **keys)
    (op,) = ops(file.load(folder))
    return op


def test_powers_of_two_are_types(tmp_path: Path) -> None:
    op = quantizer(tmp_path, 0.25, 0.0, 5.0)
    assert op == Quantize(Fixed(True, 5, 2), Rounding.RND_CONV, Overflow.SAT)
    op = quantizer(tmp_path, 0.25, 0.0, 5.0, narrow=1, rounding_mode="FLOOR")
    assert op == Quantize(Fixed(True, 5, 2), Rounding.TRN, Overflow.SAT_SYM)
    op = quantizer(tmp_path, 2.0, 0.0, 3.0, signed=0)
    assert op == Quantize(Fixed(False, 3, -1), Rounding.RND_CONV, Overflow.SAT)


def test_one_bit_is_a_sign(tmp_path: Path) -> None:
    op = quantizer(tmp_path, 0.25, 0.0, 1.0)
    assert op == Elementwise("step", (("low", -0.25), ("high", 0.25)))


def test_a_scale_a_channel(tmp_path: Path) -> None:
    op = quantizer(tmp_path, [0.1, 0.2, 0.3, 0.4], 0.0, 6.0)
    assert isinstance(op, ScaledQuantize)
    np.testing.assert_allclose(op.scale, np.float32([0.1, 0.2, 0.3, 0.4]))


@pytest.mark.parametrize("seed", range(8))
def test_quant_is_qonnxs(seed: int, tmp_path: Path) -> None:
    """Any signedness, narrowness, zero point; values in float32 reach no other step."""
    quant = pytest.importorskip("qonnx.custom_op.general.quant", reason="its meaning").quant
    rng = np.random.default_rng(seed)
    scale, zero = float(rng.uniform(0.01, 0.5)), float(rng.integers(-3, 9))
    bits, signed, narrow = float(rng.integers(2, 9)), bool(seed & 1), bool(seed & 2)
    name = "FLOOR" if seed & 4 else "ROUND"
    op = quantizer(
        tmp_path, scale, zero, bits, signed=int(signed), narrow=int(narrow), rounding_mode=name
    )
    x = rng.normal(size=(200, 3, 4)).astype(np.float32)
    wide = (np.float64(np.float32(v)) for v in (scale, zero, bits))
    expected = quant(x.astype(np.float64), *wide, signed, narrow, name)
    found = op.reference(x.astype(np.float64), probe=lambda point, reals: None)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("version", [1, 2])
def test_trunc_is_qonnxs(version: int, tmp_path: Path) -> None:
    """Whole steps lose low bits, also where float32 left them a little off."""
    module = pytest.importorskip("qonnx.custom_op.general.trunc", reason="its meaning")
    file = File("n", 3, 4)
    scale = np.float32(0.1)
    if version == 1:
        numbers = [scale, 0.0, 8.0, 5.0]
        keys: dict[str, Any] = {}
    else:
        numbers = [scale, 0.0, 8.0, scale * np.float32(8.0), 5.0]
        keys = {"signed": 1, "narrow": 0}
    inputs = [file.const(np.float32(n)) for n in numbers]
    file.add("Trunc", "x", *inputs, domain=GENERAL, rounding_mode="FLOOR", **keys)
    graph = file.load(tmp_path)
    steps = RNG.integers(-128, 128, (300, 3, 4))
    x = (steps * scale).astype(np.float32).astype(np.float64)
    wide = [np.float64(n) for n in numbers]
    if version == 1:
        expected = module.trunc_v1(x, *wide, "FLOOR")
    else:
        expected = module.trunc_v2(x, *wide[:3], False, True, *wide[3:], "FLOOR")
    np.testing.assert_allclose(reals(graph, x), expected, rtol=1e-6, atol=1e-9)


def test_bipolar_and_log_quantizers(tmp_path: Path) -> None:
    file = File("n", 3, 4)
    file.add("BipolarQuant", "x", file.const(np.float32(0.5)), domain=GENERAL)
    assert ops(file.load(tmp_path)) == [Elementwise("step", (("low", -0.5), ("high", 0.5)))]
    file = File("n", 3, 4)
    file.add("LogQuant", file.add("Softmax", "x"), domain="gateformer", bits=4, base="sqrt2")
    assert ops(file.load(tmp_path)) == [Softmax(), LogSqrt2(4)]


@pytest.mark.parametrize("kind", [2, 3, 4])
def test_the_type_of_steps_without_a_zero_point(kind: int, tmp_path: Path) -> None:
    """``output_dtype`` says it: TensorProto's UINT8, INT8 and UINT16."""
    file = File("n", 3, 4, opset=21)
    scale = file.const(np.array(0.05))
    whole = file.add("QuantizeLinear", "x", scale, output_dtype=kind)
    file.add("DequantizeLinear", whole, scale)
    file.check(tmp_path, spread=9.0)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int16])
@pytest.mark.parametrize("moved", [False, True])
def test_qdq_pairs(kind: type, moved: bool, tmp_path: Path) -> None:
    if kind is np.int16 and moved:
        pytest.skip("onnxruntime moves no 16-bit integers")
    file = File("n", 3, 4, opset=21)
    scale, zero = file.const(np.float32(0.11)), file.const(np.array(3, kind))
    whole = file.add("QuantizeLinear", "x", scale, zero)
    if moved:
        whole = file.add("Transpose", whole, perm=[0, 2, 1])
    real = file.add("DequantizeLinear", whole, scale, zero)
    steps = file.const(RNG.integers(-20, 20, (3 if moved else 4, 2)).astype(np.int8))
    widths = file.const(np.float32([0.1, 0.3]))
    zeros = file.const(np.zeros(2, np.int8))
    weights = file.add("DequantizeLinear", steps, widths, zeros, axis=1)
    file.add("MatMul", real, weights)
    graph = file.check(tmp_path)
    (linear,) = (op for op in ops(graph) if isinstance(op, Linear))
    assert linear.scale is not None
    np.testing.assert_allclose(np.unique(linear.scale), np.float32([0.1, 0.3]))


def test_factors_join_the_scale_and_the_softmax(tmp_path: Path) -> None:
    """Whole steps stay whole behind a factor; scores' factors reach the exponential."""
    file = File("n", 4, 3)
    steps = file.const(RNG.integers(-3, 4, (3, 3)).astype(np.int8))
    kernel = file.add("DequantizeLinear", steps, file.const(np.float32(0.5)))
    q = file.add("Mul", file.add("MatMul", "x", kernel), file.const(0.3))
    k = file.add("Mul", "x", file.const(0.7))
    score = file.add("MatMul", q, file.add("Transpose", k, perm=[0, 2, 1]))
    file.add("Softmax", file.add("Div", score, file.const(2.0)))
    graph = file.check(tmp_path, spread=0.5)
    (linear,) = (op for op in ops(graph) if isinstance(op, Linear))
    (softmax,) = (op for op in ops(graph) if isinstance(op, Softmax))
    assert linear.scale is not None
    assert (linear.kernel == np.rint(linear.kernel)).all()
    assert softmax.scale == pytest.approx(0.35)


def test_shapes_that_the_file_computes(tmp_path: Path) -> None:
    """Sizes through Shape, Gather, Mul, Concat on their way to a Reshape."""
    file = File("n", 4, 6, opset=17)
    sizes = file.add("Shape", "x")
    first, tokens = (
        file.add(
            "Unsqueeze",
            file.add("Gather", sizes, file.const(np.array(n))),
            file.const(np.array([0])),
        )
        for n in (0, 1)
    )
    heads = file.add("Mul", tokens, file.const(np.array([2])))
    shape = file.add("Concat", first, heads, file.const(np.array([-1])), axis=0)
    file.add("Softmax", file.add("Reshape", "x", shape))
    file.check(tmp_path)


def test_names_stay_distinct(tmp_path: Path) -> None:
    file = File("n", 3, 4)
    y = file.add("Relu", "x", name="/blocks.0/act/Relu")
    y = file.add(
        "Relu", file.add("Neg", y, name="/blocks.0/act_1/Neg"), name="/blocks.0/act/Relu_1"
    )
    file.add("Relu", y, name="x")
    graph = file.load(tmp_path)
    names = [node.output for node in graph.nodes]
    assert len(set(names)) == 4
    assert names[0] == "blocks0/act/relu"
    assert names[2] == "blocks0/act"


@pytest.mark.parametrize("heads", [0, 2])
@pytest.mark.parametrize("how", ["plain", "causal", "masked"])
def test_attention_of_its_own_node(heads: int, how: str, tmp_path: Path) -> None:
    """With heads as an axis, or split by the node."""
    dims = (4, 6) if heads else (2, 4, 3)
    file = File(1, *dims, opset=23)
    parts = [file.add("Mul", "x", file.const(f)) for f in (0.9, 1.1, 1.3)]
    if how == "masked":
        parts.append(file.const(np.tri(4) > 0))
    keys: dict[str, Any] = {"is_causal": int(how == "causal")}
    if heads:
        keys |= {"q_num_heads": heads, "kv_num_heads": heads}
    file.add("Attention", *parts, **keys)
    graph = file.check(tmp_path)
    (softmax,) = (op for op in ops(graph) if isinstance(op, Softmax))
    assert softmax.causal == (how != "plain")
    assert softmax.scale == pytest.approx(0.99 * 3**-0.5)


def test_a_table_by_index(tmp_path: Path) -> None:
    file = File("n", 5)
    table = RNG.normal(size=(7, 3)).astype(np.float32)
    file.add("Relu", file.add("Gather", file.const(table), "x"))
    graph = file.load(tmp_path)
    index = RNG.integers(0, 7, (4, 5))
    np.testing.assert_allclose(reals(graph, index.astype(np.float64)), np.maximum(table[index], 0))


def test_one_head_keeps_its_axis(tmp_path: Path) -> None:
    """Exporters drop it for the softmax; as one attention layer its keys can be folded."""
    file = File(1, 3, 4)
    kernels = [file.const(RNG.normal(size=(4, 4)).astype(np.float32)) for _ in range(4)]
    query, key, value = (file.add("MatMul", "x", kernel) for kernel in kernels[:3])
    turned = file.add("Transpose", key, perm=[0, 2, 1])
    shares = file.add("Softmax", file.add("MatMul", query, turned), axis=-1)
    file.add("MatMul", file.add("MatMul", shares, value), kernels[3])
    graph = file.check(tmp_path)
    (softmax,) = (n for n in graph.nodes if isinstance(n.op, Softmax))
    assert graph.values[softmax.output].shape == (3, 1, 3)
    joined, _ = join_attention(graph)
    assert [type(op).__name__ for op in ops(joined)] == ["Attention"]
