"""Constant matrices: any contraction of a tensor with constants as one Linear.

Owns ``contracted``. Imports sites, views and Linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from gateformer.quant.expand import Linear
from gateformer.quant.frontends.onnx.model import Const
from gateformer.quant.frontends.onnx.site import Site
from gateformer.quant.frontends.onnx.tensors import Tensor
from gateformer.quant.types import FloatArray

LARGEST_KERNEL = 1 << 22
"""Most weights of one kernel, repetitions for heads included."""

Labels = Sequence[int]


def contracted(
    site: Site,
    tensor: Tensor,
    t_labels: Labels,
    weights: Const,
    w_labels: Labels,
    labels: Labels,
    bias: FloatArray | None = None,
) -> Tensor:
    """A tensor times constants, as an einsum of two operands.

    Parameters
    ----------
    site : Site
        Takes the Linear.
    tensor : Tensor
        What the network computes.
    t_labels, w_labels, labels : sequence of int
        A label an axis, of the tensor, the constants and the result.
    weights : Const
        Labels that both have and the result too are blocks: one matrix each.
    bias : ndarray of float64, (outputs,), optional
        Added where the constants alone have exactly one label of their own.
    """
    node = site.node
    if not np.isfinite(weights.reals).all():
        raise node.error("its weights are NaN or infinite", "train again", "E105")
    sizes = dict(zip(t_labels, tensor.dims, strict=True))
    widths = dict(zip(w_labels, weights.array.shape, strict=True))
    blocks = [n for n in w_labels if n in t_labels and n in labels]
    inner = [n for n in w_labels if n in t_labels and n not in labels]
    outer = [n for n in w_labels if n not in t_labels]
    if any(sizes[n] != widths[n] for n in (*blocks, *inner)):
        raise node.error(f"weights {weights.array.shape} do not fit {tensor.dims}", code="E112")
    if any(n not in labels for n in outer) or any(
        n not in labels for n in t_labels if n not in w_labels
    ):
        raise node.unsupported("it sums over an axis of one operand", "sum it before")
    order = [w_labels.index(n) for n in (*blocks, *inner, *outer)]
    box = [prod(widths[n] for n in group) for group in (blocks, inner, outer)]
    if box[0] ** 2 * box[1] * box[2] > LARGEST_KERNEL:
        raise node.error(f"its kernel has {box[0] ** 2 * box[1] * box[2]} weights", code="E107")
    raw, scale = _steps(weights, order, box)
    features = site.atoms(tensor, [t_labels.index(n) for n in (*blocks, *inner)])
    made = _linear(site, tensor, features, raw, scale, bias)
    gone = {t_labels.index(n) for n in (*blocks, *inner)}
    kept = [atoms for place, atoms in enumerate(made.axes) if place not in gone]
    names = [n for n in t_labels if n not in blocks and n not in inner] + [*blocks, *outer]
    grown = [sizes[n] if n in blocks else widths[n] for n in (*blocks, *outer)]
    result = _unfolded(replace(made, axes=tuple(kept)), grown)
    return result.permuted([names.index(n) for n in labels])


def _steps(
    weights: Const, order: Sequence[int], box: Sequence[int]
) -> tuple[FloatArray, FloatArray | None]:
    """Kernel (inputs, outputs), and the scale of each output where whole steps are worth it."""
    steps = weights.steps
    if steps is None:
        return _blocks(np.transpose(weights.reals, order).reshape(box)), None
    whole = np.broadcast_to(steps.scale, steps.raw.shape)
    raw, scale = (np.transpose(part, order).reshape(box) for part in (steps.raw, whole))
    if (scale != scale[:, :1]).any() or (np.frexp(scale)[0] == 0.5).all():
        return _blocks(raw * scale), None
    return _blocks(raw), scale[:, 0].ravel().copy()


def _blocks(box: FloatArray) -> FloatArray:
    """Matrices (blocks, inputs, outputs) along the diagonal of one."""
    blocks, inputs, outputs = box.shape
    whole = np.zeros((blocks, inputs, blocks, outputs))
    whole[np.arange(blocks), :, np.arange(blocks), :] = box
    return whole.reshape(blocks * inputs, blocks * outputs)


def _linear(
    site: Site,
    tensor: Tensor,
    features: tuple[int, ...],
    kernel: FloatArray,
    scale: FloatArray | None,
    bias: FloatArray | None,
) -> Tensor:
    """Contract atoms; the last atom of the result are the outputs, and belongs to no axis yet.

    Rows behind the tokens become blocks of the kernel, so that tokens still stream, or tokens
    themselves where the kernel would grow too large.
    """
    outputs = kernel.shape[1]
    groups = site.rows(tensor, features)
    rows = groups[:-1]
    heads = prod(tensor.atoms[atom] for group in rows[1:] for atom in group)
    if heads**2 * kernel.size > LARGEST_KERNEL:
        boxed = site.boxed(tensor, [[a for group in rows for a in group], groups[-1]], loose=True)
        heads = 1
    else:
        inner = [atom for group in groups[1:] for atom in group] if rows else groups[-1]
        boxed = site.boxed(tensor, [*rows[:1], inner], loose=True)
    if heads > 1:
        kernel = np.kron(np.eye(heads), kernel).astype(np.float64)
        scale = None if scale is None else np.tile(scale, heads)
        bias = None if bias is None else np.tile(bias, heads)
    value = site.add(Linear(kernel, bias, (heads * outputs,), scale), boxed.value)
    count = len(boxed.atoms) - len(features)
    gone = tuple(
        () if set(axis) & {*range(count, len(boxed.atoms))} else axis for axis in boxed.axes
    )
    return Tensor(value, (*boxed.atoms[:count], outputs), gone, tensor.batch)


def _unfolded(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    """The last atom cut into axes of some sizes, which come last."""
    first = len(tensor.atoms) - 1
    kept = [size for size in sizes if size > 1]
    places = iter(range(first, first + len(kept)))
    axes = tuple((next(places),) if size > 1 else () for size in sizes)
    return replace(tensor, atoms=(*tensor.atoms[:-1], *kept), axes=(*tensor.axes, *axes))
