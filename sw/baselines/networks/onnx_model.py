"""A network as an ONNX model: a handful of fused operators, shapes fixed.

Owns ``model``. Imports the meaning of operations; onnx inside. Frames are a fixed axis, so that a
runtime plans its memory once. Where a graph has quantizers they become pairs of QuantizeLinear and
DequantizeLinear if an integer type of ONNX holds them, else arithmetic. They are not free: the
projects' networks take a third to a half longer with them in ONNX Runtime.
"""

# A kit's words are told once, in `Kit`.
# ruff: noqa: D102
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.networks.functions import steps
from gateformer.baselines.networks.meaning import FAR, Heads, translate
from gateformer.quant.errors import BaselineError
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Shape
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding, dyadic
from gateformer.quant.version import __version__

OPSET = 21
"""First with Gelu and with QuantizeLinear to 16 bits; ONNX Runtime takes it from 1.20 on."""
IR = 10
"""What opset 21 came with."""
Node = tuple[str, tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Edge:
    """A tensor of the model: takes arithmetic with others, and with numbers."""

    kit: OnnxKit
    name: str

    def __add__(self, other: Edge | float) -> Edge:
        return self.kit.node("Add", self, other)

    def __sub__(self, other: Edge | float) -> Edge:
        return self.kit.node("Sub", self, other)

    def __mul__(self, other: Edge | float) -> Edge:
        # Powers of two that cancel are left out where they are one.
        return self if other == 1.0 else self.kit.node("Mul", self, other)

    def __truediv__(self, other: Edge | float) -> Edge:
        return self.kit.node("Div", self, other)


def model(graph: Graph, batch: int, *, integers: bool = False) -> Any:
    """Return an ``onnx.ModelProto`` of a graph on reals.

    Parameters
    ----------
    graph : Graph
        As imported or folded.
    batch : int
        Frames of one step.
    integers : bool
        Whether dense layers' weights are held in eight bits, so that a runtime may multiply in
        them where quantizers stand around.

    Returns
    -------
    onnx.ModelProto
        Inputs ``x0``, ``x1``, ... (batch, *shape) in the graph's order, outputs ``y0``, ...; all
        float32.

    Raises
    ------
    DataError
        E612 for an operation that works on raw integers.
    BaselineError
        E851 for ``integers`` where a dense layer's weights are no such integers.
    """
    import onnx
    from onnx import TensorProto, helper

    kit = OnnxKit(batch, integers)
    inputs = {name: Edge(kit, f"x{place}") for place, name in enumerate(graph.inputs)}
    made = translate(kit, graph, inputs)
    for place, (edge, name) in enumerate(zip(made, graph.outputs, strict=True)):
        # Also makes an output of what is an input or a constant.
        shape = kit.whole((batch, *graph.values[name].shape))
        kit.named("Expand", (edge.name, shape.name), f"y{place}")

    def told(letter: str, names: tuple[str, ...]) -> list[Any]:
        return [
            helper.make_tensor_value_info(
                f"{letter}{place}", TensorProto.FLOAT, (batch, *graph.values[name].shape)
            )
            for place, name in enumerate(names)
        ]

    body = helper.make_graph(
        kit.nodes, "network", told("x", graph.inputs), told("y", graph.outputs), kit.initializers
    )
    whole = helper.make_model(
        body,
        producer_name="gateformer",
        producer_version=__version__,
        ir_version=IR,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(whole, full_check=True)
    return whole


def weight_bytes(whole: Any) -> int:
    """Return the bytes of a model's constants."""
    from onnx import numpy_helper

    return sum(numpy_helper.to_array(one).nbytes for one in whole.graph.initializer)


class OnnxKit:
    """Says a kit's words in ONNX nodes."""

    def __init__(self, batch: int, integers: bool) -> None:
        self.batch, self.integers = batch, integers
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._known: dict[tuple[Any, ...], str] = {}
        self._count = 0

    def named(self, kind: str, inputs: tuple[str, ...], output: str, **attributes: Any) -> None:
        """Append a node."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def node(self, kind: str, *inputs: Edge | float, **attributes: Any) -> Edge:
        """Append a node; returns its output."""
        names = tuple(
            one.name if isinstance(one, Edge) else self._held(np.float32(one)).name
            for one in inputs
        )
        self._count += 1
        made = Edge(self, f"v{self._count}")
        self.named(kind, names, made.name, **attributes)
        return made

    def whole(self, numbers: tuple[int, ...]) -> Edge:
        """Return whole numbers as a tensor: shapes, axes."""
        return self._held(np.array(numbers, np.int64))

    def constant(self, reals: FloatArray) -> Edge:
        return self._reals(reals[None])

    def linear(
        self, x: Edge, kernel: FloatArray, bias: FloatArray | None, given: Shape, made: Shape
    ) -> Edge:
        tokens = given[:1] if len(given) > 1 else ()
        if len(given) > 2:
            x = self.reshape(x, (*tokens, kernel.shape[0]))
        weight = self._weight(kernel)
        if not tokens and bias is not None and not self.integers:
            y = self.node("Gemm", x, weight, self._reals(bias))
        else:
            y = self.node("MatMul", x, weight)
            y = y if bias is None else y + self._reals(bias)
        return y if len(made) == len(tokens) + 1 else self.reshape(y, made)

    def attention(self, heads: Heads, query: Edge, key: Edge, value: Edge, mask: Any) -> Edge:
        axis = self.whole((1,))
        raised = {one.name: self.node("Unsqueeze", one, axis) for one in (query, key, value)}
        # A matrix for each head meets the operand itself: no head is ever moved.
        q = self._projected(raised[query.name], heads.wq, heads.bq)
        turned = self.node("Transpose", raised[key.name], perm=(0, 1, 3, 2))
        if heads.wk is None:
            k = turned
        else:
            k = self.node("MatMul", self._reals(heads.wk.transpose(1, 2, 0)), turned)
        v = self._projected(raised[value.name], heads.wv, heads.bv)
        score = self.node("MatMul", q, k)
        seen = None
        if mask is not None:
            seen = self.node("Unsqueeze", self.node("Transpose", mask, perm=(0, 2, 1)), axis)
            if heads.causal:
                seen = seen * self._reals(np.tri(heads.tokens, heads.keys))
            score = score + (seen - 1.0) * FAR
        elif heads.causal:
            score = score + self._reals((np.tri(heads.tokens, heads.keys) - 1.0) * FAR)
        share = self.softmax(score)
        # Once more, for rows that see no key at all.
        mixed = self.node("MatMul", share if seen is None else share * seen, v)
        if heads.wo is not None:
            mixed = self.node("MatMul", mixed, self._reals(heads.wo))
        y = self.node("ReduceSum", mixed, axis, keepdims=0)
        return y if heads.bo is None else y + self._reals(heads.bo)

    def layer_norm(self, x: Edge, gamma: FloatArray, beta: FloatArray, epsilon: float) -> Edge:
        return self.node(
            "LayerNormalization", x, self._reals(gamma), self._reals(beta), epsilon=epsilon
        )

    def rms_norm(self, x: Edge, gamma: FloatArray, epsilon: float) -> Edge:
        square = self.node("ReduceMean", x * x, self.whole((-1,)))
        return x / self.node("Sqrt", square + epsilon) * self._reals(gamma)

    def softmax(self, x: Edge) -> Edge:
        return self.node("Softmax", x, axis=-1)

    def matmul(self, a: Edge, b: Edge, contract: Literal["features", "tokens"]) -> Edge:
        order = (0, 2, 3, 1) if contract == "features" else (0, 2, 1, 3)
        left = self.node("Transpose", a, perm=(0, 2, 1, 3))
        product = self.node("MatMul", left, self.node("Transpose", b, perm=order))
        return self.node("Transpose", product, perm=(0, 2, 1, 3))

    def rows(self, x: Edge, table: FloatArray, tokens: int) -> Edge:
        entries = table.shape[0]
        padded = np.vstack([table, np.zeros((1, table.shape[1]))])
        index = self.reshape(x, (tokens,))
        # Below zero is as far beyond the table as above it.
        below = self.node("Less", index, 0.0)
        index = self.node("Where", below, float(entries), self.minimum(index, float(entries)))
        return self.node("Gather", self._reals(padded), self.node("Cast", index, to=7))

    def reshape(self, x: Edge, shape: Shape) -> Edge:
        # -1: a constant stands once, however many frames there are.
        return self.node("Reshape", x, self.whole((-1, *shape)))

    def transpose(self, x: Edge, order: tuple[int, ...]) -> Edge:
        return self.node("Transpose", x, perm=(0, *(axis + 1 for axis in order)))

    def slice(self, x: Edge, start: int, stop: int) -> Edge:
        return self.node("Slice", x, *(self.whole((one,)) for one in (start, stop, -1)))

    def concat(self, parts: list[Edge], given: list[Shape]) -> Edge:
        full = [
            self.node("Expand", one, self.whole((self.batch, *shape)))
            for one, shape in zip(parts, given, strict=True)
        ]
        return self.node("Concat", *full, axis=-1)

    def reduce(self, x: Edge, kind: str, axis: Literal["features", "tokens"]) -> Edge:
        where, kept = (-1, 1) if axis == "features" else (1, 0)
        name = "ReduceSum" if kind == "sum" else "ReduceMax"
        return self.node(name, x, self.whole((where,)), keepdims=kept)

    def quantize(self, x: Edge, to: Fixed, rounding: Rounding, overflow: Overflow) -> Edge:
        odd = rounding is not Rounding.RND_CONV or overflow is Overflow.WRAP or to.width > 16
        if odd:
            made: Edge = steps(self, x, to, rounding, overflow)
            return made
        bits = 8 if to.width <= 8 else 16
        kind = np.dtype(f"{'int' if to.signed else 'uint'}{bits}").type
        scale, zero = self._held(np.float32(to.scale)), self._held(kind(0))
        low, high = to.limits(overflow)
        limits = np.iinfo(kind)
        raw = self.node("QuantizeLinear", x, scale, zero)
        if (low, high) != (limits.min, limits.max):
            raw = self.node("Clip", raw, self._held(kind(low)), self._held(kind(high)))
        return self.node("DequantizeLinear", raw, scale, zero)

    def keep(self, x: Edge) -> Edge:
        return x

    def where(self, condition: Edge, yes: Any, no: Any) -> Edge:
        return self.node("Where", condition, yes, no)

    def at_least(self, a: Any, b: Any) -> Edge:
        return self.node("GreaterOrEqual", a, b)

    def minimum(self, a: Any, b: Any) -> Edge:
        return self.node("Min", a, b)

    def maximum(self, a: Any, b: Any) -> Edge:
        return self.node("Relu", a) if b == 0.0 else self.node("Max", a, b)

    def unary(self, name: str, x: Edge) -> Edge:
        if name.startswith("gelu"):
            return self.node("Gelu", x, approximate="tanh" if name == "gelu_tanh" else "none")
        return self.node("Round" if name == "rint" else name.capitalize(), x)

    def _projected(self, x: Edge, w: FloatArray, b: FloatArray | None) -> Edge:
        y = self.node("MatMul", x, self._reals(w.transpose(1, 0, 2)))
        return y if b is None else y + self._reals(b[:, None, :])

    def _weight(self, kernel: FloatArray) -> Edge:
        """Return a matrix, as integers where they are asked for."""
        if not self.integers:
            return self._reals(kernel)
        found = dyadic(kernel, 8)
        if found is None or np.abs(found[0]).max() > np.iinfo(np.int8).max:
            raise BaselineError(
                "E851",
                "runtime failed",
                cause="The model's weights are not quantized to eight bits",
                fix="measure it in fp32",
            )
        raw, frac = found
        scale, zero = self._held(np.float32(2.0**-frac)), self._held(np.int8(0))
        return self.node("DequantizeLinear", self._held(raw.astype(np.int8)), scale, zero)

    def _reals(self, reals: FloatArray) -> Edge:
        return self._held(np.asarray(reals, np.float32))

    def _held(self, array: NDArray[Any] | np.generic) -> Edge:
        """Return a constant; equal ones stand once."""
        from onnx import numpy_helper

        held = np.ascontiguousarray(array).reshape(np.shape(array))
        key = (held.dtype.str, held.shape, held.tobytes())
        if key not in self._known:
            self._known[key] = f"c{len(self._known)}"
            self.initializers.append(numpy_helper.from_array(held, self._known[key]))
        return Edge(self, self._known[key])
