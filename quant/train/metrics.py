"""How well a flavour tagger separates its classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Separation:
    """Areas under the ROC curve: 0.5 is chance, 1 is perfect.

    Attributes
    ----------
    b_light, b_charm:
        Bottom against one other class, by p_b / (p_b + p_other).
    macro:
        Mean over the classes of each against the other two.
    """

    b_light: float
    b_charm: float
    macro: float


def separation(probability: NDArray[np.floating], y: NDArray[np.integer]) -> Separation:
    """Return the areas for softmax outputs [n, 3] and labels [n] (0 light, 1 charm, 2 bottom)."""
    p = probability.astype(np.float64)
    versus = []
    for other in (0, 1):
        pair = (y == 2) | (y == other)
        # A probability may underflow to zero in float32; the ratio needs one that did not.
        ratio = p[pair, 2] / np.maximum(p[pair, 2] + p[pair, other], np.finfo(np.float64).tiny)
        versus.append(area(ratio, y[pair] == 2))
    macro = np.mean([area(p[:, label], y == label) for label in range(p.shape[1])])
    return Separation(versus[0], versus[1], float(macro))


def area(score: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Return the probability that a positive scores above a negative; a tie counts half."""
    _, place, times = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(times) - (times - 1) / 2.0)[place]
    n = int(positive.sum())
    above = rank[positive].sum() - n * (n + 1) / 2.0
    return float(above / (n * (len(positive) - n)))
