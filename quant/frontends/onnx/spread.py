"""Constants against tensors: which atoms a constant varies along, and operations by it.

Owns ``Spread``, ``spread``, ``by_feature``, ``affine`` and ``paired``. Imports sites and views.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from gateformer.quant.expand import Affine, Parameter
from gateformer.quant.frontends.onnx.site import Site
from gateformer.quant.frontends.onnx.tensors import BATCH, Tensor, matched
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """A constant over the atoms that it varies along, in the value's order."""

    atoms: tuple[int, ...]
    array: FloatArray


def spread(site: Site, tensor: Tensor, array: FloatArray) -> Spread:
    """A constant that broadcasts to a tensor; E112 where it does not fit, E114 across samples."""
    rank = len(tensor.axes)
    while array.ndim > rank and array.shape[0] == 1:
        array = array[0]
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    if array.ndim != rank or any(
        n not in (1, d) for n, d in zip(array.shape, tensor.dims, strict=True)
    ):
        raise site.node.error(
            f"a constant of shape {array.shape} does not fit {tensor.dims}", code="E112"
        )
    varying = [axis for axis in range(rank) if array.shape[axis] > 1]
    atoms = [atom for axis in varying for atom in tensor.axes[axis]]
    if BATCH in atoms:
        array = _equal_samples(site, tensor, array)
        return spread(site, tensor, array)
    box = array.reshape([tensor.atoms[atom] for atom in atoms])
    order = sorted(range(len(atoms)), key=atoms.__getitem__)
    return Spread(tuple(sorted(atoms)), np.transpose(box, order) if order else box)


def _equal_samples(site: Site, tensor: Tensor, array: FloatArray) -> FloatArray:
    axis = next(k for k, atoms in enumerate(tensor.axes) if BATCH in atoms)
    first = array.take([0], axis)
    if tensor.axes[axis] != (BATCH,) or (array != first).any():
        raise site.node.error("a constant differs between the samples of a batch", code="E114")
    return first


def by_feature(
    site: Site, tensor: Tensor, *constants: FloatArray
) -> tuple[Tensor, list[FloatArray]] | None:
    """The tensor with all that constants vary along as its last axis, and the constants along it.

    Constants that do not vary come back with shape (). None where one varies from token to token.
    """
    found = [spread(site, tensor, constant) for constant in constants]
    least = min((s.atoms[0] for s in found if s.atoms), default=None)
    if least is None:
        return tensor, [s.array.reshape(()) for s in found]
    if least == 0 and len(site.shape(tensor.value)) > 1 and site.shape(tensor.value)[0] > 1:
        return None
    features = range(least, len(tensor.atoms))
    fits = site.shape(tensor.value)[-1] == prod(tensor.atoms[a] for a in features)
    boxed = tensor if fits else site.boxed(tensor, site.rows(tensor, features))
    whole = [tensor.atoms[a] for a in features]
    flat: list[FloatArray] = []
    for one in found:
        box = one.array.reshape(
            [n if a in one.atoms else 1 for a, n in zip(features, whole, strict=True)]
        )
        flat.append(np.broadcast_to(box, whole).ravel() if one.atoms else one.array.reshape(()))
    return boxed, flat


def affine(
    site: Site, tensor: Tensor, scale: FloatArray, offset: FloatArray, point: str = ""
) -> Tensor:
    """``scale x + offset``; constants that differ between tokens become tensors of their own."""
    found = by_feature(site, tensor, scale, offset)
    if found is not None:
        boxed, parts = found
        size = site.shape(boxed.value)[-1]
        by, plus = (np.broadcast_to(part, (size,)).astype(np.float64) for part in parts)
        return site.apply(Affine(by, plus), boxed, point)
    result = tensor
    steps = [
        (op, c, n) for op, c, n in ((Mul(), scale, 1.0), (Add(), offset, 0.0)) if (c != n).any()
    ]
    for place, (op, constant, _) in enumerate(steps):
        last = place == len(steps) - 1
        result = with_parameter(site, op, result, constant, point if last else "scaled")
    return result


def with_parameter(site: Site, op: Op, tensor: Tensor, constant: FloatArray, point: str) -> Tensor:
    """A tensor and a constant of tokens, element by element."""
    found = spread(site, tensor, constant)
    tokens = [0] if tensor.atoms else []
    box = site.boxed(tensor, site.rows(tensor, range(len(tokens), len(tensor.atoms))))
    whole = found.array.reshape([n if a in found.atoms else 1 for a, n in enumerate(tensor.atoms)])
    grown = np.broadcast_to(whole, tensor.atoms) if len(found.atoms) > 1 else whole
    shape = site.shape(box.value)
    parameter = (
        grown.reshape(shape)
        if grown.size == prod(shape)
        else grown.reshape(shape[0], *(1,) * (len(shape) - 1))
    )
    known = site.add(Parameter(parameter), point="constant")
    return replace(box, value=site.add(op, box.value, known, point=point))


def paired(site: Site, op: Op, a: Tensor, b: Tensor, point: str = "") -> Tensor:
    """Two tensors element by element; axes of size one are repeated."""
    rank = max(len(a.axes), len(b.axes))
    a, b = (replace(t, axes=((),) * (rank - len(t.axes)) + t.axes) for t in (a, b))
    both = matched(a, b)
    if both is None or (a.batch != b.batch and 1 not in (a.batch, b.batch)):
        raise site.node.error(f"shapes {a.dims} and {b.dims} do not fit together", code="E112")
    a, b = both
    lead, other = (a, b) if len(a.atoms) >= len(b.atoms) else (b, a)
    keys = {t: _keys(t) for t in (lead, other)}
    order = [*keys[lead], *(k for k in keys[other] if k not in keys[lead])]
    groups = _groups(order, keys[lead], keys[other])
    values = {}
    for t in (lead, other):
        mine = [[keys[t].index(k) for k in group if k in keys[t]] for group in groups]
        values[t] = site.boxed(t, mine).value
    sizes = {k: t.atoms[n] for t in (other, lead) for n, k in enumerate(keys[t])}
    place = {k: n for n, k in enumerate(order)}
    axes = tuple(
        tuple(
            atom if atom == BATCH else place[axis, step]
            for step, atom in enumerate(a.axes[axis] or b.axes[axis])
        )
        for axis in range(rank)
    )
    value = site.add(op, values[a], values[b], point=point)
    return Tensor(value, tuple(sizes[k] for k in order), axes, max(a.batch, b.batch))


Key = tuple[int, int]
"""An atom by its ONNX axis and its place in it."""


def _keys(tensor: Tensor) -> list[Key]:
    named = {
        atom: (axis, place)
        for axis, atoms in enumerate(tensor.axes)
        for place, atom in enumerate(atoms)
    }
    return [named[atom] for atom in range(len(tensor.atoms))]


def _groups(order: list[Key], one: list[Key], two: list[Key]) -> list[list[Key]]:
    """Tokens alone, then atoms together as long as the same operands have them."""
    groups: list[list[Key]] = []
    for place, key in enumerate(order):
        same = place > 1 and (key in one, key in two) == (
            groups[-1][-1] in one,
            groups[-1][-1] in two,
        )
        if same:
            groups[-1].append(key)
        else:
            groups.append([key])
    return groups
