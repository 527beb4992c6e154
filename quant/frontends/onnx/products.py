"""Products of two tensors that the network computes: attention scores and contexts.

Owns ``product``. Imports sites, views and the MatMul primitive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from gateformer.quant.frontends.onnx.site import Site
from gateformer.quant.frontends.onnx.tensors import BATCH, Tensor
from gateformer.quant.ops.matmul import MatMul


def product(
    site: Site,
    a: Tensor,
    b: Tensor,
    a_labels: Sequence[int],
    b_labels: Sequence[int],
    labels: Sequence[int],
    point: str = "",
) -> Tensor:
    """Contract the labels that both have and the result has not, as an einsum of two operands.

    Parameters
    ----------
    site : Site
        Takes the product.
    a, b : Tensor
        Operands; the one whose own label comes first in the result gives its rows.
    a_labels, b_labels, labels : sequence of int
        A label an axis, of the operands and of the result.
    point : str
        Names a product on the way to the node's result.

    Returns
    -------
    Tensor
        Of the result's axes.
    """
    node = site.node
    first = next((n for n in labels if (n in a_labels) != (n in b_labels)), None)
    if first is not None and first in b_labels:
        a, b, a_labels, b_labels = b, a, b_labels, a_labels
    left, right = _Operand(site, a, a_labels), _Operand(site, b, b_labels)
    shared = [n for n in a_labels if n in b_labels]
    heads = [n for n in shared if n in labels]
    inner = [n for n in shared if n not in labels]
    rows = [n for n in labels if n not in b_labels]
    columns = [n for n in labels if n not in a_labels]
    if any(right.size(n) not in (left.size(n), 1) for n in shared):
        raise node.error(f"shapes {a.dims} and {b.dims} do not fit together", code="E112")
    if any(left.samples(n) != right.samples(n) for n in shared):
        raise node.error("its operands have their samples in different places", code="E114")
    summed = len(shared) + len(rows) < len(a_labels) or len(shared) + len(columns) < len(b_labels)
    if summed:
        raise node.unsupported("it sums over an axis of one operand", "sum it before")
    tokens = any(0 in right.axis(n) for n in inner)
    x = left.box(rows, heads, inner)
    y = right.box(inner, heads, columns) if tokens else right.box(columns, heads, inner)
    value = site.add(MatMul("tokens" if tokens else "features"), x, y, point=point)
    atoms: list[int] = []
    place: dict[int, tuple[int, ...]] = {}
    for operand, group in ((left, rows), (left, heads), (right, columns)):
        for label in group:
            mine = operand.axis(label)
            place[label] = tuple(
                BATCH if atom == BATCH else len(atoms) + sum(a != BATCH for a in mine[:step])
                for step, atom in enumerate(mine)
            )
            atoms += [operand.tensor.atoms[atom] for atom in mine if atom != BATCH]
    return Tensor(value, tuple(atoms), tuple(place[n] for n in labels), max(a.batch, b.batch))


@dataclass(frozen=True, slots=True)
class _Operand:
    """A tensor with a label on each axis."""

    site: Site
    tensor: Tensor
    labels: Sequence[int]

    def axis(self, label: int) -> tuple[int, ...]:
        """Atoms of a labelled axis."""
        return self.tensor.axes[self.labels.index(label)]

    def size(self, label: int) -> int:
        """Size of a labelled axis."""
        return prod(self.tensor.size(atom) for atom in self.axis(label))

    def samples(self, label: int) -> int | None:
        """Elements of an axis outside its samples, or None where it has none."""
        atoms = self.axis(label)
        if BATCH not in atoms:
            return None
        return prod(self.tensor.size(atom) for atom in atoms[: atoms.index(BATCH)])

    def box(self, *groups: Sequence[int]) -> str:
        """Value of three axes: tokens, heads, features; only heads may hold the samples."""
        for group in (groups[0], groups[2]):
            self.site.atoms(self.tensor, [self.labels.index(n) for n in group])
        atoms = [[a for n in group for a in self.axis(n) if a != BATCH] for group in groups]
        return self.site.boxed(self.tensor, atoms).value
