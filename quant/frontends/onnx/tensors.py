"""ONNX tensors as views of our values: which axis of ONNX is made of which pieces of a value.

A value of ours has no batch axis, and its tokens come first; an ONNX tensor orders, joins and
splits axes as its exporter liked. A ``Tensor`` keeps the two apart: a value is a row-major box of
*atoms*, and each ONNX axis is a sequence of atoms. Reshape, Transpose, Squeeze and Unsqueeze then
change the view alone, and cost nothing. Axes of size one have no atoms.

Owns ``Tensor`` and ``BATCH``. Imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

BATCH = -1
"""The atom of a batch larger than one: an axis of samples, which no value of ours has."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a value.

    Attributes
    ----------
    value : str
        The value.
    atoms : tuple of int
        Sizes above one, whose row-major box is the value.
    axes : tuple of tuple of int
        Each ONNX axis: places of its atoms, outermost first; ``BATCH`` is the samples' axis.
    batch : int
        Size of ``BATCH``.
    causal : bool
        Scores (.., queries, keys) whose later keys do not count; only a softmax may read them.
    """

    value: str
    atoms: tuple[int, ...]
    axes: tuple[tuple[int, ...], ...]
    batch: int = 1
    causal: bool = False

    @property
    def dims(self) -> tuple[int, ...]:
        """Shape as ONNX has it."""
        return tuple(prod(self.size(atom) for atom in axis) for axis in self.axes)

    def size(self, atom: int) -> int:
        """Size of an atom."""
        return self.batch if atom == BATCH else self.atoms[atom]

    def axis(self, axis: int) -> int | None:
        """An axis counted from zero, or None where there is none."""
        rank = len(self.axes)
        return axis % rank if rank and -rank <= axis < rank else None

    def permuted(self, order: Sequence[int]) -> Tensor:
        """ONNX axes in another order."""
        return replace(self, axes=tuple(self.axes[axis] for axis in order))

    def split(self, atom: int, outer: int) -> Tensor:
        """Cut an atom in two, the first of size ``outer``."""
        inner = self.atoms[atom] // outer
        atoms = (*self.atoms[:atom], outer, inner, *self.atoms[atom + 1 :])

        def moved(axis: tuple[int, ...]) -> tuple[int, ...]:
            pieces: list[int] = []
            for one in axis:
                pieces += [one, one + 1] if one == atom else [one + (one > atom)]
            return tuple(pieces)

        return replace(self, atoms=atoms, axes=tuple(moved(axis) for axis in self.axes))

    def reshaped(self, dims: Sequence[int]) -> Tensor | None:
        """Another shape of the same elements, or None where atoms would have to be cut unevenly."""
        if prod(dims) != prod(self.dims):
            return None
        view = self
        line = [atom for axis in self.axes for atom in axis]
        axes: list[tuple[int, ...]] = []
        for size in dims:
            axis: list[int] = []
            left = size
            while left > 1:
                atom = line.pop(0)
                have = view.size(atom)
                if left % have == 0:
                    axis.append(atom)
                    left //= have
                elif have % left == 0 and atom != BATCH:
                    view = view.split(atom, left)
                    axes = [tuple(a + (a > atom) for a in done) for done in axes]
                    axis = [a + (a > atom) for a in axis] + [atom]
                    line = [atom + 1, *(a + (a > atom) for a in line)]
                    left = 1
                else:
                    return None
            axes.append(tuple(axis))
        return replace(view, axes=tuple(axes))

    def with_axis(self, place: int, atoms: tuple[int, ...] = ()) -> Tensor:
        """One more ONNX axis at a place."""
        return replace(self, axes=(*self.axes[:place], atoms, *self.axes[place:]))

    def without_axis(self, place: int) -> Tensor:
        """An ONNX axis less; its atoms must have gone."""
        return replace(self, axes=(*self.axes[:place], *self.axes[place + 1 :]))


def merged(tensor: Tensor, axis: int) -> Tensor:
    """The view with the neighbouring atoms of an ONNX axis made one."""
    first, count = tensor.axes[axis][0], len(tensor.axes[axis])
    size = prod(tensor.atoms[first : first + count])
    atoms = (*tensor.atoms[:first], size, *tensor.atoms[first + count :])
    axes = tuple(
        (first,) if place == axis else tuple(a if a < first else a - count + 1 for a in one)
        for place, one in enumerate(tensor.axes)
    )
    return replace(tensor, atoms=atoms, axes=axes)


def matched(a: Tensor, b: Tensor, skip: int = -1) -> tuple[Tensor, Tensor] | None:
    """Two views cut until each axis that both have is made of equal pieces; None where none are.

    Both have the same rank; an axis without atoms in one of them is broadcast. Axis ``skip`` is
    left as it is.
    """
    for place in range(len(a.axes)):
        if place == skip:
            continue
        step = 0
        while a.axes[place] and b.axes[place] and step < len(a.axes[place]):
            if step >= len(b.axes[place]):
                return None
            one, two = a.axes[place][step], b.axes[place][step]
            p, q = a.size(one), b.size(two)
            if p != q:
                if p % q == 0 and one != BATCH:
                    a = a.split(one, q)
                elif q % p == 0 and two != BATCH:
                    b = b.split(two, p)
                else:
                    return None
            elif (one == BATCH) != (two == BATCH):
                return None
            step += 1
        if a.axes[place] and b.axes[place] and step < len(b.axes[place]):
            return None
    return a, b
