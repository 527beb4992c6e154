"""Normalizations and softmax that a file spells out in arithmetic.

Owns ``named_norms``. Imports the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateformer.quant.frontends.onnx.curves import PATTERN
from gateformer.quant.frontends.onnx.model import Const, Node


@dataclass(frozen=True, slots=True)
class _Graph:
    makers: Mapping[str, Node]
    constants: Mapping[str, Const]

    def made(self, name: str, *kinds: str) -> Node | None:
        """The node that makes a tensor, where it is of one of some standard kinds."""
        node = self.makers.get(name)
        return node if node is not None and not node.domain and node.kind in kinds else None

    def scalar(self, name: str) -> float | None:
        """A constant of one number."""
        known = self.constants.get(name)
        if known is None or known.array.size != 1 or known.array.dtype.kind not in "fiu":
            return None
        return float(known.array.reshape(-1)[0])

    def with_scalar(self, node: Node) -> tuple[str, float] | None:
        """Tensor and number of a node of one each, in this order unless it commutes."""
        if len(node.inputs) != 2:
            return None
        a, b = node.inputs
        number = self.scalar(b)
        if number is not None:
            return a, number
        number = self.scalar(a)
        return (b, number) if number is not None and node.kind in ("Add", "Mul") else None

    def mean(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        """Tensor and axes of a mean that keeps its axes."""
        return self.reduction(name, "ReduceMean")

    def reduction(self, name: str, kind: str) -> tuple[str, tuple[int, ...]] | None:
        """Tensor and axes of a reduction that keeps its axes."""
        node = self.made(name, kind)
        if node is None or not node.integer("keepdims", 1):
            return None
        axes = node.integers("axes")
        if len(node.inputs) > 1 and node.inputs[1] in self.constants:
            axes = tuple(int(n) for n in self.constants[node.inputs[1]].array.ravel())
        return (node.inputs[0], axes) if axes else None

    def square(self, name: str) -> str | None:
        """Tensor of a square."""
        node = self.made(name, "Mul", "Pow")
        if node is None:
            return None
        if node.kind == "Mul":
            return node.inputs[0] if node.inputs[0] == node.inputs[1] else None
        return node.inputs[0] if self.scalar(node.inputs[1]) == 2.0 else None

    def root(self, name: str) -> tuple[str, bool] | None:
        """Tensor under a square root, and whether its reciprocal is meant."""
        node = self.made(name, "Sqrt", "Pow", "Reciprocal", "Div")
        if node is None:
            return None
        if node.kind == "Sqrt":
            return node.inputs[0], False
        if node.kind == "Pow":
            power = self.scalar(node.inputs[1])
            return (node.inputs[0], power < 0) if power in (0.5, -0.5) else None
        if node.kind == "Div" and self.scalar(node.inputs[0]) != 1.0:
            return None
        inner = self.made(node.inputs[-1], "Sqrt")
        return (inner.inputs[0], True) if inner is not None else None

    def centred(self, name: str, axes: tuple[int, ...]) -> str | None:
        """Tensor x of ``x - mean(x)``."""
        node = self.made(name, "Sub")
        if node is None:
            return None
        mean = self.mean(node.inputs[1])
        return node.inputs[0] if mean == (node.inputs[0], axes) else None


def named_norms(nodes: list[Node], constants: Mapping[str, Const]) -> list[Node]:
    """Nodes with the last one of each spelt-out normalization or softmax replaced by its name."""
    graph = _Graph({name: node for node in nodes for name in node.outputs}, constants)
    return [_norm(graph, node) or _softmax(graph, node) or node for node in nodes]


def _norm(graph: _Graph, node: Node) -> Node | None:
    """``c / sqrt(mean(c c) + epsilon)``: c is x (RMS) or ``x - mean(x)``."""
    if node.domain or node.kind not in ("Div", "Mul") or len(node.inputs) != 2:
        return None
    pairs = [node.inputs] if node.kind == "Div" else [node.inputs, node.inputs[::-1]]
    for top, bottom in pairs:
        root = graph.root(bottom)
        if root is None or root[1] != (node.kind == "Mul"):
            continue
        added = graph.made(root[0], "Add")
        pair = graph.with_scalar(added) if added is not None else (root[0], 0.0)
        mean = graph.mean(pair[0]) if pair is not None else None
        squared = graph.square(mean[0]) if mean is not None else None
        if pair is None or mean is None or squared is None:
            continue
        axes = mean[1]
        source, other = graph.centred(top, axes), graph.centred(squared, axes)
        if (source is None or source != other) and squared != top:
            continue
        attributes = {"axes": axes, "epsilon": pair[1], "rms": int(source is None)}
        return Node(node.name, "Norm", PATTERN, 1, (source or top,), node.outputs, attributes)
    return None


def _softmax(graph: _Graph, node: Node) -> Node | None:
    """``exp(x - max(x)) / sum(exp(x - max(x)))``, with or without the maximum."""
    if node.domain or node.kind != "Div":
        return None
    exp = graph.made(node.inputs[0], "Exp")
    total = graph.reduction(node.inputs[1], "ReduceSum")
    if exp is None or total is None or total[0] != node.inputs[0] or len(total[1]) != 1:
        return None
    source, axes = exp.inputs[0], total[1]
    above = graph.made(source, "Sub")
    if above is not None and graph.reduction(above.inputs[1], "ReduceMax") == (
        above.inputs[0],
        axes,
    ):
        source = above.inputs[0]
    return Node(node.name, "Softmax", "", 13, (source,), node.outputs, {"axis": axes[0]})
