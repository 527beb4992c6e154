"""Compares integers that the C++ gave with the model's.

Owns ``Difference`` and ``compare``. Imports the types only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gateformer.quant.types import IntArray


@dataclass(frozen=True, slots=True)
class Difference:
    """The first integer that differs.

    Attributes
    ----------
    value : str
        The graph's value.
    frame : int
        Frame in the order given.
    index : tuple of int
        Index into the value, the batch axis left out.
    expected, actual : int
        The model's integer and that of the C++.
    """

    value: str
    frame: int
    index: tuple[int, ...]
    expected: int
    actual: int

    def __str__(self) -> str:
        place = ", ".join(map(str, self.index))
        return (
            f"'{self.value}' frame {self.frame} element ({place}): "
            f"expected {self.expected}, got {self.actual}"
        )


def compare(
    outputs: Mapping[str, IntArray], expected: Mapping[str, IntArray]
) -> tuple[int, Difference | None]:
    """Return how many frames differ, and the first integer that does.

    Parameters
    ----------
    outputs, expected : mapping of str to ndarray of int, (n, *shape)
        By value; all of ``outputs`` are compared.
    """
    frames: set[int] = set()
    first: Difference | None = None
    for name, made in outputs.items():
        truth = np.asarray(expected[name])
        differs = np.argwhere(made != truth)
        frames.update(differs[:, 0].tolist())
        if len(differs) and (first is None or differs[0, 0] < first.frame):
            at = tuple(differs[0].tolist())
            first = Difference(name, at[0], at[1:], int(truth[at]), int(made[at]))
    return len(frames), first
