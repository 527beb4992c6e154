"""Random ONNX networks of supported nodes, and their outputs in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from gateformer.quant.types import FloatArray

Shape = tuple[int, ...]

UNARY = ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Elu", "LeakyRelu", "HardSigmoid")


class Chain:
    """A network that grows node by node; every tensor's shape has the batch where it is known.

    Parameters
    ----------
    rng : numpy.random.Generator
        What decides.
    batch : int
        Samples.
    dynamic : bool
        The input's batch has no size in the file.
    """

    def __init__(self, rng: np.random.Generator, batch: int, dynamic: bool) -> None:
        self.rng = rng
        self.batch = batch
        self.dynamic = dynamic
        tokens, features = (int(n) for n in rng.choice([2, 3, 4, 6], 2))
        self.shapes: dict[str, Shape] = {"x": (batch, tokens, features)}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.tensor = "x"

    @property
    def shape(self) -> Shape:
        """Of the newest tensor."""
        return self.shapes[self.tensor]

    def constant(self, array: FloatArray | list[int]) -> str:
        """Name of a new constant; float32 unless it is a list of integers."""
        kind = np.int64 if isinstance(array, list) else np.float32
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, kind), name))
        return name

    def add(self, kind: str, inputs: list[str], shape: Shape, **attributes: object) -> str:
        """Append a node of one result."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        self.shapes[name] = shape
        self.tensor = name
        return name

    def grow(self) -> None:
        """Append something that fits."""
        steps: list[Callable[[], None]] = [
            self.dense,
            self.unary,
            self.constants,
            self.transpose,
            self.split_axis,
            self.merge_axes,
            self.softmax,
            self.layer_norm,
            self.part,
            self.beside,
            self.residual,
            self.reduce,
            self.product,
            self.einsum,
            self.insert,
            self.pick,
        ]
        steps[int(self.rng.integers(len(steps)))]()

    def axes(self) -> list[int]:
        """Axes but the samples'."""
        return list(range(1, len(self.shape)))

    def dense(self) -> None:
        """The last axis by a matrix."""
        size = int(self.rng.integers(1, 6))
        weights = self.constant(self.rng.normal(size=(self.shape[-1], size)))
        if len(self.shape) > 1:
            self.add("MatMul", [self.tensor, weights], (*self.shape[:-1], size))

    def unary(self) -> None:
        """An activation."""
        self.add(str(self.rng.choice(UNARY)), [self.tensor], self.shape)

    def constants(self) -> None:
        """A sum or product with constants that vary along some axes."""
        varying = [int(self.rng.integers(2)) * n for n in self.shape[1:]]
        shape = tuple(n or 1 for n in varying)
        if self.rng.integers(2):
            shape = (1, *shape)
        array = self.constant(self.rng.normal(size=shape) + 2.0)
        kind = str(self.rng.choice(["Add", "Mul", "Sub", "Div"]))
        self.add(kind, [self.tensor, array], self.shape)

    def transpose(self) -> None:
        """Axes in another order, samples kept."""
        order = [0, *(int(n) for n in self.rng.permutation(self.axes()))]
        shape = tuple(self.shape[axis] for axis in order)
        self.add("Transpose", [self.tensor], shape, perm=order)

    def reshape(self, shape: Shape) -> None:
        """Another shape; the samples' axis is kept by a 0."""
        self.add("Reshape", [self.tensor, self.constant([0, *shape[1:]])], shape)

    def split_axis(self) -> None:
        """An axis cut in two."""
        axis = int(self.rng.choice(self.axes())) if self.axes() else 0
        size = self.shape[axis]
        for part in (2, 3):
            if axis and size % part == 0 and size > part and len(self.shape) < 5:
                self.reshape((*self.shape[:axis], part, size // part, *self.shape[axis + 1 :]))
                return

    def merge_axes(self) -> None:
        """Two axes made one."""
        if len(self.shape) > 2:
            axis = int(self.rng.integers(1, len(self.shape) - 1))
            size = self.shape[axis] * self.shape[axis + 1]
            self.reshape((*self.shape[:axis], size, *self.shape[axis + 2 :]))

    def softmax(self) -> None:
        """Along any axis."""
        if self.axes():
            axis = int(self.rng.choice(self.axes()))
            self.add("Softmax", [self.tensor], self.shape, axis=axis)

    def layer_norm(self) -> None:
        """Over the last axis."""
        size = self.shape[-1]
        if len(self.shape) > 1 and size > 1:
            both = [self.constant(self.rng.normal(size=size)) for _ in range(2)]
            inputs = [self.tensor, *both]
            self.add("LayerNormalization", inputs, self.shape, epsilon=0.1)

    def part(self) -> None:
        """A range of an axis."""
        axis = int(self.rng.choice(self.axes())) if self.axes() else 0
        size = self.shape[axis]
        if not axis or size < 2:
            return
        start = int(self.rng.integers(size - 1))
        stop = int(self.rng.integers(start + 1, size + 1))
        step = int(self.rng.choice([1, 1, 2]))
        inputs = [self.tensor, *(self.constant([n]) for n in (start, stop, axis, step))]
        count = len(range(start, stop, step))
        self.add("Slice", inputs, (*self.shape[:axis], count, *self.shape[axis + 1 :]))

    def pick(self) -> None:
        """One element of an axis."""
        axis = int(self.rng.choice(self.axes())) if len(self.shape) > 2 else 0
        if axis:
            index = helper.make_tensor(f"i{len(self.weights)}", TensorProto.INT64, [], [-1])
            self.weights.append(index)
            shape = (*self.shape[:axis], *self.shape[axis + 1 :])
            self.add("Gather", [self.tensor, index.name], shape, axis=axis)

    def beside(self) -> None:
        """Joined with itself and a constant along an axis."""
        if not self.axes() or prod(self.shape) > 400:
            return
        axis = int(self.rng.choice(self.axes()))
        shape = (*self.shape[:axis], 2 * self.shape[axis], *self.shape[axis + 1 :])
        self.add("Concat", [self.tensor, self.tensor], shape, axis=axis)

    def residual(self) -> None:
        """A sum or product with an earlier tensor of the same shape."""
        same = [name for name, shape in self.shapes.items() if shape == self.shape]
        other = str(self.rng.choice(same))
        self.add(str(self.rng.choice(["Add", "Sub", "Mul"])), [self.tensor, other], self.shape)

    def reduce(self) -> None:
        """A mean, sum or maximum over an axis."""
        if len(self.shape) < 3:
            return
        axis, keep = int(self.rng.choice(self.axes())), int(self.rng.integers(2))
        kind = str(self.rng.choice(["ReduceMean", "ReduceSum", "ReduceMax"]))
        left = (1,) if keep else ()
        shape = (*self.shape[:axis], *left, *self.shape[axis + 1 :])
        self.add(kind, [self.tensor, self.constant([axis])], shape, keepdims=keep)

    def insert(self) -> None:
        """An axis of size one."""
        if len(self.shape) < 5:
            axis = int(self.rng.integers(1, len(self.shape) + 1))
            shape = (*self.shape[:axis], 1, *self.shape[axis:])
            self.add("Unsqueeze", [self.tensor, self.constant([axis])], shape)

    def product(self) -> None:
        """The tensor against its own transpose, as attention scores are."""
        if len(self.shape) < 3 or prod(self.shape) > 300:
            return
        rank = len(self.shape)
        source, shape = self.tensor, self.shape
        order = [*range(rank - 2), rank - 1, rank - 2]
        turned = self.add("Transpose", [source], tuple(shape[a] for a in order), perm=order)
        result = (*shape[:-1], shape[-2])
        if self.rng.integers(2):
            self.add("MatMul", [source, turned], result)
        else:
            self.add("MatMul", [turned, source], (*shape[:-2], shape[-1], shape[-1]))

    def einsum(self) -> None:
        """One matrix a head, or features of two axes by one box."""
        if len(self.shape) != 4 or prod(self.shape) > 300:
            return
        n, t, h, k = self.shape
        del n, t
        if self.rng.integers(2):
            box = self.constant(self.rng.normal(size=(h, k, 3)))
            self.add("Einsum", [self.tensor, box], (*self.shape[:3], 3), equation="nthk,hkd->nthd")
        else:
            box = self.constant(self.rng.normal(size=(h, k, 3)))
            shape = (*self.shape[:2], 3)
            self.add("Einsum", [self.tensor, box], shape, equation="nthk,hkd->ntd")

    def model(self) -> onnx.ModelProto:
        """The file's content."""
        batch = "n" if self.dynamic else self.batch
        x, y = self.shapes["x"], self.shape
        graph = helper.make_graph(
            self.nodes,
            "chain",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *x[1:]])],
            [helper.make_tensor_value_info(self.tensor, TensorProto.FLOAT, [batch, *y[1:]])],
            self.weights,
        )
        opset = [helper.make_opsetid("", 18)]
        return helper.make_model(graph, opset_imports=opset, ir_version=9)


def outputs(model: onnx.ModelProto, x: FloatArray) -> FloatArray:
    """Of onnxruntime, as float64."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (y,) = session.run(None, {"x": x.astype(np.float32)})
    return np.asarray(y, np.float64)
