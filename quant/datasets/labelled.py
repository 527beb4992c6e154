"""What a classifier is trained and tested on, whatever the data: `Labelled` and `Sample`.

Imports numpy alone.  `jets5.sample` and `vowels.sample` return a `Sample`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Labelled:
    """Inputs and their classes.

    Attributes
    ----------
    x:
        float32 [n, tokens, features], finite; missing tokens are all zero.
    y:
        int64 [n]: the class.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.y.shape != self.x.shape[:1]:
            raise ValueError(
                f"labelled data need x [n, tokens, features] and y [n], "
                f"not {self.x.shape} and {self.y.shape}"
            )
        if (self.x.dtype.name, self.y.dtype.name) != ("float32", "int64"):
            raise ValueError("labelled data need float32 x and int64 y")
        if not np.isfinite(self.x).all():
            raise ValueError("labelled data need finite x")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, which: slice | NDArray[Any]) -> Labelled:
        return Labelled(self.x[which], self.y[which])


@dataclass(frozen=True, slots=True)
class Sample:
    """The data of a run: what is fitted, what chooses the best epoch, and what is reported.

    Attributes
    ----------
    train, valid, test:
        Data of one shape.
    classes:
        What the labels 0, 1, ... mean.
    """

    train: Labelled
    valid: Labelled
    test: Labelled
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        parts = (self.train, self.valid, self.test)
        if len({part.x.shape[1:] for part in parts}) != 1:
            raise ValueError("the parts of a sample need inputs of one shape")
        if any(len(p) and not 0 <= p.y.min() <= p.y.max() < len(self.classes) for p in parts):
            raise ValueError(f"a sample of {len(self.classes)} classes has other labels")
