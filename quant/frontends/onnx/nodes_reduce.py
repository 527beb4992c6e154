"""Means, sums and maxima over tokens or over features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Literal

import numpy as np

from gateformer.quant.expand import Linear, Pool
from gateformer.quant.frontends.onnx.site import Result, Site, reads
from gateformer.quant.frontends.onnx.tensors import Tensor
from gateformer.quant.ops.reduce import Reduce

Kind = Literal["mean", "max", "sum"]

KINDS: dict[str, Kind] = {
    "ReduceMean": "mean",
    "ReduceMax": "max",
    "ReduceSum": "sum",
    "GlobalAveragePool": "mean",
    "GlobalMaxPool": "max",
}


@reads("ReduceMean", "ReduceMax", "ReduceSum")
def reduction(site: Site) -> Result:
    """Over some axes, or all but the samples'."""
    node, tensor = site.node, site.tensor()
    axes = site.integers(1, "axes")
    if not axes and node.integer("noop_with_empty_axes", 0):
        return tensor
    if not axes:
        raise node.unsupported("it reduces over all axes", "name the axes, the samples' left out")
    return reduced(site, tensor, axes, bool(node.integer("keepdims", 1)))


@reads("GlobalAveragePool", "GlobalMaxPool")
def global_pool(site: Site) -> Result:
    """Over all axes behind the channels."""
    tensor = site.tensor()
    return reduced(site, tensor, range(2, len(tensor.axes)), True)


def reduced(site: Site, tensor: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
    """Tokens by Pool, features by Reduce, or by a Linear of equal weights for their mean."""
    kind = KINDS[site.node.kind]
    places = sorted({site.axis(tensor, axis) for axis in axes})
    atoms = site.atoms(tensor, places)
    shape = site.shape(tensor.value)
    result = tensor
    if atoms:
        rest = [atom for atom in range(len(tensor.atoms)) if atom not in atoms]
        if 0 in atoms and len(shape) > 1 and shape[0] > 1:
            boxed = site.boxed(tensor, [atoms, rest])
            value = site.add(Pool(kind), boxed.value)
            moved = len(atoms)
        else:
            boxed = site.boxed(tensor, site.rows(tensor, atoms))
            value = _features(site, kind, boxed)
            moved = 0
        axes_left = tuple(
            () if place in places else tuple(a - moved if a >= 0 else a for a in one)
            for place, one in enumerate(boxed.axes)
        )
        left = tuple(tensor.atoms[atom] for atom in rest)
        result = Tensor(value, left, axes_left, tensor.batch)
    if keep:
        return result
    return replace(result, axes=tuple(a for k, a in enumerate(result.axes) if k not in places))


def _features(site: Site, kind: Kind, boxed: Tensor) -> str:
    """Reduce the last axis of a value."""
    if kind != "mean":
        return site.add(Reduce(kind, "features"), boxed.value)
    *rows, size = site.shape(boxed.value)
    heads = prod(rows[1:])
    kernel = np.kron(np.eye(heads), np.full((size, 1), 1.0 / size))
    return site.add(Linear(kernel, None, (heads,)), boxed.value)
