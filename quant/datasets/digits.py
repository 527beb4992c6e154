"""Handwritten digits as 16 tokens of four pixels: a small, real, reproducible sample.

The images are the 1,797 of scikit-learn's `load_digits`: the test part of *Optical Recognition of
Handwritten Digits* (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998,
doi:10.24432/C50P49, CC BY 4.0), 8 x 8 pixels that count the ink in blocks of 4 x 4, 0 to 16.
scikit-learn ships them inside its package (BSD-3-Clause): nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets.archive import save_arrays
from gateformer.quant.errors import ToolError

TOKENS = 16
"""Patches of an image, from left to right and then from top to bottom."""

PIXELS = 4
"""Pixels of a patch of 2 x 2, in the same order."""

CLASSES = 10

INK = 16
"""The darkest pixel: features are pixels / 16, exact in five bits and a sign."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Labelled images.

    Attributes
    ----------
    x:
        float32 [n, 16, 4]: patches of four pixels, multiples of 1/16 in [0, 1].
    y:
        int8 [n]: the digit.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int8]

    def __post_init__(self) -> None:
        if self.x.shape != (len(self.y), TOKENS, PIXELS) or self.y.ndim != 1:
            raise ValueError(
                f"digits need x [n, {TOKENS}, {PIXELS}] and y [n], "
                f"not {self.x.shape} and {self.y.shape}"
            )
        if (self.x.dtype.name, self.y.dtype.name) != ("float32", "int8"):
            raise ValueError("digits need float32 x and int8 y")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, which: slice | NDArray[Any]) -> Digits:
        return Digits(self.x[which], self.y[which])


def patches(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return images [n, 8, 8] of pixels 0 to 16 as tokens [n, 16, 4] of pixels 0 to 1.

    >>> patches(np.arange(64.0).reshape(1, 8, 8))[0, 1] * 16
    array([ 2.,  3., 10., 11.], dtype=float32)
    """
    cut = images.reshape(-1, 4, 2, 4, 2).swapaxes(2, 3).reshape(-1, TOKENS, PIXELS)
    return (cut / INK).astype(np.float32)


def load() -> Digits:
    """Return all 1,797 images, in scikit-learn's order.

    Raises
    ------
    ToolError
        E505 without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ToolError(
            "E505",
            "cannot read the digits: Python package not installed",
            layer=error.name,
            fix="Install the data extra: pip install -e '.[data]'",
        ) from error
    found = load_digits()
    return Digits(patches(found.images), found.target.astype(np.int8))


def split(digits: Digits, seed: int, *sizes: int) -> tuple[Digits, ...]:
    """Return parts of the given sizes and a last one with what is left, dealt with a seed.

    The file does not name the writers, so one hand may be in several parts.
    """
    if sum(sizes) > len(digits):
        raise ValueError(f"cannot take {sum(sizes)} digits out of {len(digits)}")
    order = np.random.default_rng(seed).permutation(len(digits))
    edges = np.cumsum([0, *sizes, len(digits) - sum(sizes)])
    return tuple(digits[order[a:b]] for a, b in pairwise(edges))


def save(path: Path, **parts: Digits) -> None:
    """Write the named parts to `path` as x_NAME and y_NAME, whole or not at all.

    x is stored as float16, which holds its multiples of 1/16 exactly.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, part in parts.items():
        arrays[f"x_{name}"] = part.x.astype(np.float16)
        arrays[f"y_{name}"] = part.y
    save_arrays(path, arrays)
