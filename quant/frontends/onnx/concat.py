"""Concat along any ONNX axis, as one along the last axis of values.

Owns ``joined``. Imports sites, views and the Concat primitive.
"""

from __future__ import annotations

from math import prod

import numpy as np

from gateformer.quant.expand import Parameter
from gateformer.quant.frontends.onnx.model import Const
from gateformer.quant.frontends.onnx.site import Site
from gateformer.quant.frontends.onnx.tensors import BATCH, Tensor, matched, merged
from gateformer.quant.ops.layout import Concat


def joined(site: Site, parts: list[Tensor], axis: int, point: str = "") -> Tensor:
    """Tensors side by side along an ONNX axis."""
    if len(parts) == 1:
        return parts[0]
    if len({len(p.axes) for p in parts}) > 1 or any(BATCH in p.axes[axis] for p in parts):
        raise site.node.error("it joins samples, or tensors of different ranks", code="E112")
    parts = [single(site, part, axis) for part in parts]
    lead = next((part for part in parts if part.axes[axis]), parts[0])
    for part in parts:
        lead = _both(site, lead, part, axis)[0]
    aligned = [_both(site, lead, part, axis)[1] for part in parts]
    if lead.axes[axis]:
        at = lead.axes[axis][0]
    else:
        at = min(
            (a for one in lead.axes[axis + 1 :] for a in one if a >= 0), default=len(lead.atoms)
        )
    keys = _keys(lead, axis)
    values = [_box(site, part, axis, keys, at, n) for n, part in enumerate(aligned, 1)]
    size = sum(prod(part.atoms[a] for a in part.axes[axis]) for part in aligned)
    value = site.add(Concat(), *values, point=point)
    own = (1,) if lead.axes[axis] else ()
    atoms = (*lead.atoms[:at], size, *lead.atoms[at + len(own) :])
    shift = 1 - len(own)
    axes = tuple(
        (at,) if place == axis else tuple(a + shift * (a >= at) for a in one)
        for place, one in enumerate(lead.axes)
    )
    return Tensor(value, atoms, axes, lead.batch)


def constant_part(site: Site, known: Const, beside: Tensor, point: str) -> Tensor:
    """A constant as a tensor of the graph; equal samples of a batch become one."""
    reals = known.reals
    if not np.isfinite(reals).all():
        raise site.node.error("its constant is NaN or infinite", "train again", "E105")
    samples = [k for k, atoms in enumerate(beside.axes) if atoms == (BATCH,) and k < reals.ndim]
    for axis in samples:
        if (reals != reals.take([0], axis)).any():
            raise site.node.error("a constant differs between the samples of a batch", code="E114")
        reals = reals.take([0], axis)
    atoms = tuple(n for n in reals.shape if n > 1)
    places = iter(range(len(atoms)))
    axes = tuple(
        (BATCH,) if k in samples else (next(places),) if n > 1 else ()
        for k, n in enumerate(reals.shape)
    )
    value = site.add(Parameter(reals.reshape(atoms or (1,))), point=point)
    return Tensor(value, atoms, axes, beside.batch if samples else 1)


def single(site: Site, part: Tensor, axis: int) -> Tensor:
    """A view whose axis has one atom at most."""
    atoms = part.axes[axis]
    if len(atoms) < 2:
        return part
    if list(atoms) != list(range(atoms[0], atoms[0] + len(atoms))):
        rest = [a for a in range(len(part.atoms)) if a not in atoms]
        at = sum(a < atoms[0] for a in rest)
        part = site.boxed(part, [[a] for a in (*rest[:at], *atoms, *rest[at:])])
    return merged(part, axis)


def _both(site: Site, lead: Tensor, part: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    found = matched(lead, part, axis)
    same = all(
        place == axis or lead.dims[place] == part.dims[place] for place in range(len(lead.dims))
    )
    if found is None or not same:
        raise site.node.error(f"shapes {lead.dims} and {part.dims} do not join", code="E112")
    return found


def _keys(tensor: Tensor, axis: int) -> list[tuple[int, int]]:
    """Atoms but the joined axis's by ONNX axis and place, in the value's order."""
    named = {
        atom: (place, step)
        for place, atoms in enumerate(tensor.axes)
        for step, atom in enumerate(atoms)
        if place != axis
    }
    return [named[atom] for atom in range(len(tensor.atoms)) if atom in named]


def _box(
    site: Site, part: Tensor, axis: int, keys: list[tuple[int, int]], at: int, number: int
) -> str:
    """A part as (tokens, other atoms before, joined axis and all behind it)."""
    order = [part.axes[place][step] for place, step in keys]
    groups = [order[:at][:1], order[:at][1:], [*part.axes[axis], *order[at:]]]
    return site.boxed(part, [g for k, g in enumerate(groups) if g or k == 2]).value
