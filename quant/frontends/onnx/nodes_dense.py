"""MatMul, Gemm and Einsum: constant matrices as Linear, tensor x tensor as MatMul."""

from __future__ import annotations

from math import prod

import numpy as np

from gateformer.quant.expand import Linear
from gateformer.quant.frontends.onnx.model import Const, Steps
from gateformer.quant.frontends.onnx.products import product
from gateformer.quant.frontends.onnx.site import Result, Site, reads
from gateformer.quant.frontends.onnx.spread import affine
from gateformer.quant.frontends.onnx.tensors import Tensor
from gateformer.quant.types import FloatArray

LARGEST_KERNEL = 1 << 20
"""Most weights of a kernel that is repeated for each head."""


@reads("MatMul")
def matmul(site: Site) -> Result:
    """The last axis of a against the last but one of b; other axes are heads."""
    a, b = site.operand(0), site.operand(1)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        left, right = (_matrix(t) for t in (a, b))
        if len(a.axes) < 2 or len(b.axes) < 2:
            raise site.node.unsupported("it multiplies a vector", "give both tensors two axes")
        rank = max(len(a.axes), len(b.axes))
        heads = range(rank - 2)
        row, shared, column = rank - 2, rank, rank - 1
        return product(
            site,
            left,
            right,
            [*_tail(heads, len(a.axes) - 2), row, shared],
            [*_tail(heads, len(b.axes) - 2), shared, column],
            [*heads, row, column],
        )
    if isinstance(a, Tensor) and isinstance(b, Const):
        return dense(site, a, len(a.axes) - 1, _plain(site, b), (None,))
    if isinstance(a, Const) and isinstance(b, Tensor):
        kernel = _turned(_plain(site, a))
        axis = max(0, len(b.axes) - 2)
        return dense(site, b, axis, kernel, (None,))
    raise site.node.error("its inputs are missing")


def _tail(heads: range, count: int) -> list[int]:
    return list(heads)[len(heads) - count :]


def _matrix(tensor: Tensor) -> Tensor:
    return tensor


def _plain(site: Site, weights: Const) -> Const:
    """A matrix; leading axes of size one go."""
    shape = weights.array.shape
    if weights.array.ndim < 2 or prod(shape[:-2]) != 1:
        raise site.node.unsupported(
            f"its weights have shape {shape}", "use one matrix for all heads"
        )
    steps = weights.steps
    if steps is not None:
        scale = np.broadcast_to(steps.scale, shape).reshape(shape[-2:])
        steps = Steps(steps.raw.reshape(shape[-2:]), scale)
    return Const(weights.array.reshape(shape[-2:]), steps)


def _turned(weights: Const) -> Const:
    steps = weights.steps
    if steps is not None:
        steps = Steps(steps.raw.T, np.broadcast_to(steps.scale, steps.raw.shape).T)
    return Const(weights.array.T, steps)


@reads("Gemm")
def gemm(site: Site) -> Result:
    """``alpha a b + beta c``, a and b transposed where asked."""
    node = site.node
    a, weights, c = site.tensor(), site.required(1), site.const(2)
    if len(a.axes) != 2 or weights.array.ndim != 2:
        raise node.error(
            f"its operands have shapes {a.dims} and {weights.array.shape}", code="E112"
        )
    kernel = _turned(weights) if node.integer("transB", 0) else weights
    bias = None if c is None else c.reals * node.number("beta", 1.0)
    alpha = node.number("alpha", 1.0)
    if alpha != 1.0:
        steps = kernel.steps
        steps = None if steps is None or alpha <= 0 else Steps(steps.raw, steps.scale * alpha)
        kernel = Const(kernel.reals * alpha, steps)
    turned = a.permuted((1, 0)) if node.integer("transA", 0) else a
    return dense(site, turned, 1, kernel, (bias,))


def dense(
    site: Site, tensor: Tensor, axis: int, kernel: Const, bias: tuple[FloatArray | None]
) -> Tensor:
    """Contract an ONNX axis with a matrix (inputs, outputs); its outputs take the axis's place."""
    node = site.node
    inputs, outputs = kernel.array.shape
    if tensor.dims[axis] != inputs:
        raise node.error(f"its kernel takes {inputs} features of {tensor.dims}", code="E112")
    if not np.isfinite(kernel.reals).all():
        raise node.error("its weights are NaN or infinite", "train again", "E105")
    features = site.atoms(tensor, [axis])
    heads, box = _rows(site, tensor, features, kernel.array.size)
    raw, scale = _steps(kernel)
    if heads > 1:
        raw = np.kron(np.eye(heads), raw).astype(np.float64)
        scale = None if scale is None else np.tile(scale, heads)
    plain, extra = _bias(bias[0], outputs, heads)
    op = Linear(raw, plain, (heads * outputs,), scale)
    value = site.add(op, box.value, point="" if extra is None else "matmul")
    count = len(features)
    kept = box.atoms[: len(box.atoms) - count]
    made = (len(kept),) if outputs > 1 else ()
    axes = tuple(made if place == axis else atoms for place, atoms in enumerate(box.axes))
    result = Tensor(value, kept + ((outputs,) if outputs > 1 else ()), axes, box.batch)
    return result if extra is None else affine(site, result, np.ones(()), extra)


def _rows(site: Site, tensor: Tensor, features: tuple[int, ...], size: int) -> tuple[int, Tensor]:
    """Tokens first and features last; other rows count as heads, or as tokens where too many."""
    groups = site.rows(tensor, features)
    rows = list(groups[:-1])
    heads = prod(tensor.atoms[atom] for group in rows[1:] for atom in group)
    if heads * heads * size > LARGEST_KERNEL:
        merged = [atom for group in rows for atom in group]
        return 1, site.boxed(tensor, [merged, groups[-1]], loose=True)
    inner = [atom for group in groups[1:] for atom in group] if rows else groups[-1]
    return heads, site.boxed(tensor, [*rows[:1], inner], loose=True)


def _steps(kernel: Const) -> tuple[FloatArray, FloatArray | None]:
    """Whole steps and the scale of each output; reals and None where steps are no use."""
    if kernel.steps is None:
        return kernel.reals, None
    raw = kernel.steps.raw
    scale = np.broadcast_to(kernel.steps.scale, raw.shape)
    if (scale != scale[:1]).any() or (np.frexp(scale)[0] == 0.5).all():
        return raw * scale, None
    return raw, np.array(scale[0])


def _bias(
    bias: FloatArray | None, outputs: int, heads: int
) -> tuple[FloatArray | None, FloatArray | None]:
    """A bias of one number an output; any other is added afterwards."""
    if bias is None:
        return None, None
    if bias.ndim and bias.shape[-1] in (1, outputs) and bias.size == bias.shape[-1]:
        return np.tile(np.broadcast_to(bias.ravel(), outputs), heads), None
    return None, bias
