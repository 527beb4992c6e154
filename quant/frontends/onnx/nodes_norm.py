"""LayerNormalization, RMSNormalization, BatchNormalization and Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from gateformer.quant.expand import LayerNorm, RMSNorm, Softmax
from gateformer.quant.frontends.onnx.curves import PATTERN
from gateformer.quant.frontends.onnx.site import Result, Site, reads
from gateformer.quant.frontends.onnx.spread import affine
from gateformer.quant.frontends.onnx.tensors import Tensor
from gateformer.quant.types import FloatArray


def last(site: Site, tensor: Tensor, axes: Sequence[int]) -> tuple[Tensor, int]:
    """The tensor with some ONNX axes as its last, and their size."""
    atoms = site.atoms(tensor, axes)
    boxed = site.boxed(tensor, site.rows(tensor, atoms))
    return boxed, prod(tensor.atoms[atom] for atom in atoms)


def _gain(site: Site, place: int, size: int, default: float) -> FloatArray:
    found = site.const(place)
    if found is None:
        return np.full(size, default)
    if found.array.size not in (1, size) or not np.isfinite(found.reals).all():
        raise site.node.error(f"its scale or offset does not fit {size} features", code="E104")
    return np.broadcast_to(found.reals.ravel(), size).copy()


@reads("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def layer_norm(site: Site) -> Result:
    """Over the axes from ``axis`` on."""
    node, tensor = site.node, site.tensor()
    first = site.axis(tensor, node.integer("axis", -1))
    boxed, size = last(site, tensor, range(first, len(tensor.axes)))
    epsilon = node.number("epsilon", 1e-5)
    gamma = _gain(site, 1, size, 1.0)
    if node.kind == "LayerNormalization":
        return site.apply(LayerNorm(gamma, _gain(site, 2, size, 0.0), epsilon), boxed)
    return site.apply(RMSNorm(gamma, epsilon), boxed)


@reads("BatchNormalization")
def batch_norm(site: Site) -> Result:
    """One scale and offset a channel, which ONNX has on axis 1."""
    node, tensor = site.node, site.tensor()
    if node.integer("training_mode", 0):
        raise node.unsupported("it is in training mode", "export with model.eval()")
    gamma, beta, mean, variance = (site.required(place).reals for place in range(1, 5))
    spread = variance + node.number("epsilon", 1e-5)
    if (spread <= 0).any() or len({p.shape for p in (gamma, beta, mean, variance)}) != 1:
        raise node.error("its variance is not positive", "train again", "E105")
    scale = gamma / np.sqrt(spread)
    shape = (-1,) + (1,) * (len(tensor.axes) - 2)
    return affine(site, tensor, scale.reshape(shape), (beta - mean * scale).reshape(shape))


@reads("Softmax")
def softmax(site: Site) -> Result:
    """Over one axis; before opset 13 over all from ``axis`` on."""
    node, tensor = site.node, site.tensor()
    old = node.version < 13
    first = site.axis(tensor, node.integer("axis", 1 if old else -1))
    if tensor.causal:
        return causal_softmax(site, tensor, first)
    boxed, _ = last(site, tensor, range(first, len(tensor.axes) if old else first + 1))
    return site.apply(Softmax(), boxed)


def causal_softmax(
    site: Site, tensor: Tensor, axis: int, scale: float = 1.0, point: str = ""
) -> Tensor:
    """Over the keys that are not hidden; rows are the axis before them."""
    rank = len(tensor.axes)
    if axis != rank - 1:
        raise site.node.error("its mask is not along its axis", code="E114")
    rows, keys = (site.atoms(tensor, [place]) for place in (rank - 2, rank - 1))
    heads = [a for a in range(len(tensor.atoms)) if a not in (*rows, *keys)]
    boxed = site.boxed(tensor, [rows, heads, keys])
    return site.apply(Softmax(scale, causal=True), boxed, point)


@reads("Norm", domains=(PATTERN,))
def spelt_out(site: Site) -> Result:
    """A normalization that the file spells out; its gain and offset follow it."""
    node, tensor = site.node, site.tensor()
    axes = [site.axis(tensor, axis) for axis in node.integers("axes") or ()]
    boxed, size = last(site, tensor, axes)
    epsilon, one = node.number("epsilon"), np.ones(size)
    if node.integer("rms"):
        return site.apply(RMSNorm(one, epsilon), boxed)
    return site.apply(LayerNorm(one, np.zeros(size), epsilon), boxed)
