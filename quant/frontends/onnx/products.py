"""Products of two tensors that the network computes: attention scores and contexts.

Owns ``product``. Imports sites, views and the MatMul primitive.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    Returns
    -------
    Tensor
        Of the result's axes.
    """
    first = next((n for n in labels if (n in a_labels) != (n in b_labels)), None)
    if first is not None and first in b_labels:
        a, b, a_labels, b_labels = b, a, b_labels, a_labels
    sizes = [dict(zip(n, t.dims, strict=True)) for t, n in ((a, a_labels), (b, b_labels))]
    shared = [n for n in a_labels if n in b_labels]
    if any(sizes[0][n] != sizes[1][n] and sizes[1][n] != 1 for n in shared):
        raise site.node.error(f"shapes {a.dims} and {b.dims} do not fit together", code="E112")
    heads = [n for n in shared if n in labels]
    inner = [n for n in shared if n not in labels]
    rows = [n for n in labels if n not in b_labels]
    columns = [n for n in labels if n not in a_labels]
    if sorted([*heads, *rows, *columns]) != sorted(labels) or len(inner) + len(heads) + len(
        rows
    ) != len(a_labels):
        raise site.node.unsupported("it sums over an axis of one operand", "sum it before")
    left, right = _Operand(site, a, a_labels), _Operand(site, b, b_labels)
    tokens = bool(left.b_tokens(right, inner))
    x = left.box(rows, heads, inner)
    y = right.box(inner, heads, columns) if tokens else right.box(columns, heads, inner)
    value = site.add(MatMul("tokens" if tokens else "features"), x, y)
    parts = [(left, rows), (left, heads), (right, columns)]
    atoms: list[int] = []
    place: dict[int, tuple[int, ...]] = {}
    for operand, group in parts:
        for label in group:
            mine: list[int] = []
            for atom in operand.axis(label):
                if atom == BATCH:
                    mine.append(BATCH)
                else:
                    mine.append(len(atoms))
                    atoms.append(operand.tensor.atoms[atom])
            place[label] = tuple(mine)
    return Tensor(value, tuple(atoms), tuple(place[n] for n in labels), max(a.batch, b.batch))


class _Operand:
    def __init__(self, site: Site, tensor: Tensor, labels: Sequence[int]) -> None:
        self.site = site
        self.tensor = tensor
        self.labels = list(labels)

    def axis(self, label: int) -> tuple[int, ...]:
        """Atoms of a labelled axis."""
        return self.tensor.axes[self.labels.index(label)]

    def b_tokens(self, other: _Operand, inner: Sequence[int]) -> bool:
        """Whether the other operand's tokens are what is summed over."""
        return any(0 in other.axis(n) for n in inner)

    def box(self, *groups: Sequence[int]) -> str:
        """Value of three axes: tokens, heads, features."""
        atoms = [[a for n in group for a in self.axis(n)] for group in groups]
        for place, group in enumerate(atoms):
            if BATCH in group and (place != 1 or group.count(BATCH) > 1):
                self.site.atoms(self.tensor, [self.labels.index(n) for n in groups[place]])
        plain = [[a for a in group if a != BATCH] for group in atoms]
        value = self.site.boxed(self.tensor, plain).value
        shape = tuple(prod(self.tensor.atoms[a] for a in group) for group in plain)
        assert self.site.shape(value) == shape
        return value
