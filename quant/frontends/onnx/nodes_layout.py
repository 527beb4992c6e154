"""Nodes that move elements: most change the view alone."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from gateformer.quant.frontends.onnx.concat import constant_part, joined, single
from gateformer.quant.frontends.onnx.constants import full_shape, slices, split_sizes
from gateformer.quant.frontends.onnx.model import Const
from gateformer.quant.frontends.onnx.nodes_attention import embedded
from gateformer.quant.frontends.onnx.site import Result, Site, reads
from gateformer.quant.frontends.onnx.tensors import BATCH, Tensor
from gateformer.quant.ops.layout import Slice


@reads("Reshape")
def reshape(site: Site) -> Result:
    """The same elements in another shape."""
    tensor = site.tensor()
    dims = site.integers(1, "shape") or ()
    allow_zero = bool(site.node.integer("allowzero", 0))
    return reshaped(site, tensor, full_shape(tensor.dims, dims, allow_zero))


@reads("Flatten")
def flatten(site: Site) -> Result:
    """Two axes."""
    tensor = site.tensor()
    axis = site.node.integer("axis", 1) % (len(tensor.axes) + 1)
    return reshaped(site, tensor, [prod(tensor.dims[:axis]), prod(tensor.dims[axis:])])


def reshaped(site: Site, tensor: Tensor, dims: list[int]) -> Tensor:
    """A view of other axes; where atoms do not divide, over one flat vector of all elements."""
    found = tensor.reshaped(dims)
    if found is not None:
        return found
    line = [atom for axis in tensor.axes for atom in axis]
    flat = BATCH not in line or line[0] == BATCH
    if prod(dims) == prod(tensor.dims) and flat:
        order = [atom for atom in line if atom != BATCH]
        boxed = site.boxed(tensor, [order])
        start = (BATCH,) if BATCH in line else ()
        whole = Tensor(boxed.value, (prod(boxed.atoms),), ((*start, 0),), tensor.batch)
        found = whole.reshaped(dims)
        if found is not None:
            return found
    raise site.node.error(f"shape {tensor.dims} cannot become {tuple(dims)}", code="E112")


@reads("Transpose")
def transpose(site: Site) -> Result:
    """Axes in another order."""
    tensor = site.tensor()
    order = site.node.integers("perm") or tuple(reversed(range(len(tensor.axes))))
    if sorted(order) != list(range(len(tensor.axes))):
        raise site.node.error(f"its perm {order} is no order of {len(tensor.axes)} axes")
    return tensor.permuted(order)


@reads("Unsqueeze")
def unsqueeze(site: Site) -> Result:
    """Axes of size one come in."""
    tensor = site.tensor()
    axes = site.integers(1, "axes") or ()
    rank = len(tensor.axes) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        tensor = tensor.with_axis(axis)
    return tensor


@reads("Squeeze")
def squeeze(site: Site) -> Result:
    """Axes of size one go."""
    tensor = site.tensor()
    axes = site.integers(1, "axes")
    if axes is None:
        axes = tuple(axis for axis, size in enumerate(tensor.dims) if size == 1)
    for axis in sorted((site.axis(tensor, axis) for axis in axes), reverse=True):
        if tensor.axes[axis]:
            raise site.node.error(f"axis {axis} of {tensor.dims} is not of size one", code="E112")
        tensor = tensor.without_axis(axis)
    return tensor


@reads("Expand")
def expand(site: Site) -> Result:
    """Nothing, where the shape stays."""
    tensor = site.tensor()
    dims = site.integers(1) or ()
    try:
        shape = np.broadcast_shapes(tensor.dims, dims)
    except ValueError:
        raise site.node.error(f"{tensor.dims} does not expand to {dims}", code="E112") from None
    if prod(shape) != prod(tensor.dims):
        raise site.node.unsupported(
            "it repeats a computed tensor", "leave the repetition to what reads it"
        )
    for _ in range(len(shape) - len(tensor.axes)):
        tensor = tensor.with_axis(0)
    return tensor


@reads("Shape")
def shape_of(site: Site) -> Result:
    """Sizes, known at import."""
    dims = np.array(site.tensor().dims, np.int64)
    start, end = site.node.integer("start", 0), site.node.integer("end", len(dims))
    return Const(dims[start:end])


@reads("Size")
def size_of(site: Site) -> Result:
    """Number of elements, known at import."""
    return Const(np.array(prod(site.tensor().dims), np.int64))


def sliced(site: Site, tensor: Tensor, axis: int, start: int, stop: int, point: str = "") -> Tensor:
    """A range of one ONNX axis."""
    if (start, stop) == (0, tensor.dims[axis]):
        return tensor
    if not 0 <= start < stop <= tensor.dims[axis]:
        raise site.node.error(
            f"{start}:{stop} is outside axis {axis} of {tensor.dims}", code="E112"
        )
    site.atoms(tensor, [axis])
    tensor = single(site, tensor, axis)
    (atom,) = tensor.axes[axis]
    inner = prod(tensor.atoms[atom + 1 :])
    before = [*range(atom)]
    groups = [before[:1], before[1:], [*range(atom, len(tensor.atoms))]]
    boxed = site.boxed(tensor, [g for g in groups if g])
    value = site.add(Slice(start * inner, stop * inner), boxed.value, point=point)
    return resized(replace(boxed, value=value), axis, atom, stop - start)


def resized(tensor: Tensor, axis: int, atom: int, size: int) -> Tensor:
    """The same view with an atom, the whole of an axis, of another size."""
    if size > 1:
        atoms = (*tensor.atoms[:atom], size, *tensor.atoms[atom + 1 :])
        return replace(tensor, atoms=atoms)
    atoms = (*tensor.atoms[:atom], *tensor.atoms[atom + 1 :])
    axes = tuple(
        () if place == axis else tuple(a - (a > atom) for a in one)
        for place, one in enumerate(tensor.axes)
    )
    return Tensor(tensor.value, atoms, axes, tensor.batch)


@reads("Slice")
def slice_of(site: Site) -> Result:
    """Ranges of some axes; a step other than one picks elements one by one."""
    tensor = site.tensor()
    constants = [site.const(place) for place in range(1, len(site.operands))]
    arrays = [None, *(None if c is None else c.array for c in constants)]
    changed = []
    for axis, one in enumerate(slices(site.node, arrays, len(tensor.axes))):
        start, stop, step = one.indices(tensor.dims[axis])
        if (start, stop, step) != (0, tensor.dims[axis], 1):
            changed.append((axis, range(start, stop, step)))
    for number, (axis, picked) in enumerate(changed, 1):
        point = "" if number == len(changed) else f"axis{axis}"
        if tensor.axes[axis] == (BATCH,) or not len(picked):
            raise site.node.unsupported("it drops samples or everything", "keep all of them")
        if picked.step == 1:
            tensor = sliced(site, tensor, axis, picked.start, picked.stop, point)
        else:
            tensor = chosen(site, tensor, axis, [*picked], point)
    return tensor


@reads("Gather")
def gather(site: Site) -> Result:
    """Elements of an axis by constant indices, one of which drops the axis; or an embedding."""
    table, chooser = site.operand(0), site.operand(1)
    if isinstance(table, Const) and isinstance(chooser, Tensor):
        return embedded(site, table, chooser)
    tensor = site.tensor()
    index = site.required(1).array
    axis = site.axis(tensor, site.node.integer("axis", 0))
    size = tensor.dims[axis]
    if index.ndim > 1 or index.dtype.kind not in "iu" or (np.abs(index + 0.5) > size).any():
        raise site.node.unsupported(f"its indices have shape {index.shape}", "index one axis")
    picked = [int(i) % size for i in index.ravel()]
    found = tensor if size == 1 and len(picked) == 1 else chosen(site, tensor, axis, picked)
    return found.without_axis(axis) if index.ndim == 0 else found


def chosen(site: Site, tensor: Tensor, axis: int, picked: list[int], point: str = "") -> Tensor:
    """Elements of an axis, in any order."""
    if picked == [*range(picked[0], picked[0] + len(picked))]:
        return sliced(site, tensor, axis, picked[0], picked[-1] + 1, point)
    stem = f"{point}_" if point else ""
    parts = [sliced(site, tensor, axis, i, i + 1, f"{stem}{i}") for i in picked]
    return joined(site, parts, axis, point)


@reads("Split")
def split(site: Site) -> tuple[Result, ...]:
    """Parts along an axis, each under its own name."""
    tensor, node = site.tensor(), site.node
    axis = site.axis(tensor, node.integer("axis", 0))
    given = site.integers(1, "split")
    sizes = split_sizes(node, given, tensor.dims[axis])
    if sum(sizes) != tensor.dims[axis] or len(sizes) != len(node.outputs):
        raise node.error(f"its parts {sizes} do not fill axis {axis} of {tensor.dims}", code="E112")
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    return tuple(
        sliced(site, tensor, axis, end - size, end, f"part{n}")
        for n, (size, end) in enumerate(zip(sizes, ends, strict=True), 1)
    )


@reads("Concat")
def concat(site: Site) -> Result:
    """Side by side along an axis; constants among the parts become tensors."""
    lead = next(part for part in site.operands if isinstance(part, Tensor))
    parts = []
    for place, part in enumerate(site.operands, 1):
        if isinstance(part, Const):
            parts.append(constant_part(site, part, lead, f"part{place}"))
        elif part is not None:
            parts.append(part)
    return joined(site, parts, site.axis(parts[0], site.node.integer("axis", 1)))
