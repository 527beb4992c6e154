"""MatMul, Gemm and Einsum: constant matrices as Linear, tensor x tensor as MatMul."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from gateformer.quant.frontends.onnx.linear import contracted
from gateformer.quant.frontends.onnx.model import Const, Node, Steps
from gateformer.quant.frontends.onnx.products import product
from gateformer.quant.frontends.onnx.site import Operand, Result, Site, reads
from gateformer.quant.frontends.onnx.spread import affine
from gateformer.quant.frontends.onnx.tensors import Tensor


@reads("MatMul")
def matmul(site: Site) -> Result:
    """The last axis of a against the last but one of b; other axes are heads."""
    a, b = (_shape(site, place) for place in (0, 1))
    if len(a) < 2 or len(b) < 2:
        raise site.node.unsupported("it multiplies a vector", "give both operands two axes")
    rank = max(len(a), len(b))
    heads = range(rank - 2)
    row, column, shared = rank - 2, rank - 1, rank
    labels = (
        [*heads[rank - len(a) :], row, shared],
        [*heads[rank - len(b) :], shared, column],
    )
    return _multiplied(site, labels, [*heads, row, column])


def _shape(site: Site, place: int) -> tuple[int, ...]:
    found = site.operand(place)
    if found is None:
        raise site.node.error(f"its input {place} is missing")
    return found.dims if isinstance(found, Tensor) else found.array.shape


def _multiplied(
    site: Site, labels: tuple[Sequence[int], Sequence[int]], result: Sequence[int]
) -> Tensor:
    """An einsum of two operands; axes of size one of a constant one are broadcast."""
    a, b = site.operand(0), site.operand(1)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return product(site, a, b, *labels, result)
    if isinstance(a, Tensor) and isinstance(b, Const):
        tensor, weights, mine, theirs = a, b, labels[0], labels[1]
    elif isinstance(a, Const) and isinstance(b, Tensor):
        tensor, weights, mine, theirs = b, a, labels[1], labels[0]
    else:
        raise site.node.error("its inputs are missing")
    sizes = dict(zip(mine, tensor.dims, strict=True))
    shape = weights.array.shape
    kept = [n for n, size in zip(theirs, shape, strict=True) if size > 1 or sizes.get(n) == 1]
    slim = _without(weights, [n not in kept for n in theirs])
    absent = [n for n in result if n not in mine and n not in kept]
    made = contracted(site, tensor, mine, slim, kept, [n for n in result if n not in absent])
    for place, n in enumerate(result):
        if n in absent:
            made = made.with_axis(place)
    return made


def _without(weights: Const, drop: Sequence[bool]) -> Const:
    """Constants without some axes, all of size one."""
    axes = tuple(place for place, gone in enumerate(drop) if gone)
    if not axes:
        return weights
    steps = weights.steps
    if steps is not None:
        whole = np.broadcast_to(steps.scale, steps.raw.shape)
        steps = Steps(np.squeeze(steps.raw, axes), np.squeeze(whole, axes))
    return Const(np.squeeze(weights.array, axes), steps)


@reads("Einsum")
def einsum(site: Site) -> Result:
    """Two operands, each label once an operand."""
    node = site.node
    left, result = _equation(node)
    if len(left) != 2 or len(site.operands) != 2:
        raise node.unsupported(f"it has {len(site.operands)} operands", "split it into pairs")
    names = sorted(set("".join(left)))
    for place, part in enumerate(left):
        if len(part) != len(_shape(site, place)):
            raise node.error(f"'{part}' does not fit {_shape(site, place)}", code="E112")
    first, second = ([names.index(c) for c in part] for part in left)
    return _multiplied(site, (first, second), [names.index(c) for c in result])


def _equation(node: Node) -> tuple[list[str], str]:
    text = node.text("equation").replace(" ", "")
    if not re.fullmatch(r"[A-Za-z]+(,[A-Za-z]+)*->[A-Za-z]*", text):
        raise node.unsupported(f"its equation is '{text}'", "write all labels and the result's")
    operands, result = text.split("->")
    parts = operands.split(",")
    if any(len(set(part)) < len(part) for part in (*parts, result)):
        raise node.unsupported(f"'{text}' repeats a label", "take the diagonal before")
    if not set(result) <= set(operands):
        raise node.error(f"'{text}' has a label from nowhere")
    return parts, result


@reads("Gemm")
def gemm(site: Site) -> Result:
    """``alpha a b + beta c``, a and b transposed where asked."""
    node = site.node
    a, weights, c = site.operand(0), site.operand(1), site.const(2)
    if not isinstance(a, Tensor) or not isinstance(weights, Const):
        return _tensor_gemm(site, a, weights)
    if len(a.axes) != 2 or weights.array.ndim != 2:
        raise node.error(
            f"its operands have shapes {a.dims} and {weights.array.shape}", code="E112"
        )
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    mine = [1, 0] if node.integer("transA", 0) else [0, 1]
    theirs = [2, 1] if node.integer("transB", 0) else [1, 2]
    outputs = weights.array.shape[0 if node.integer("transB", 0) else 1]
    if alpha != 1.0:
        steps = weights.steps
        steps = None if steps is None or alpha <= 0 else Steps(steps.raw, steps.scale * alpha)
        weights = Const(weights.reals * alpha, steps)
    if c is None:
        return contracted(site, a, mine, weights, theirs, [0, 2])
    bias = c.reals * beta
    if not np.isfinite(bias).all():
        raise node.error("its bias is NaN or infinite", "train again", "E105")
    if bias.size in (1, outputs) and bias.size == (bias.shape or (1,))[-1]:
        plain = np.broadcast_to(bias.ravel(), outputs).copy()
        return contracted(site, a, mine, weights, theirs, [0, 2], plain)
    return affine(site, contracted(site, a, mine, weights, theirs, [0, 2]), np.ones(()), bias)


def _tensor_gemm(site: Site, a: Operand, b: Operand) -> Tensor:
    """A Gemm without a constant matrix, or with it on the left."""
    node = site.node
    plain = node.number("alpha", 1.0) == 1.0 and node.number("beta", 1.0) == 1.0
    if not plain or any(len(_shape(site, place)) != 2 for place in (0, 1)):
        raise node.unsupported("it multiplies two computed tensors", "write it as MatMul and Add")
    first = [1, 0] if node.integer("transA", 0) else [0, 1]
    second = [2, 1] if node.integer("transB", 0) else [1, 2]
    made = _multiplied(site, (first, second), [0, 2])
    c = site.const(2)
    return made if c is None else affine(site, made, np.ones(()), c.reals)
