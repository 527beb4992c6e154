"""What values look like on data: range, a sample, and moments a feature.

Owns ``Seen`` and ``observe``. Imports the executor of reals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gateformer.quant.calibrate import check_reals
from gateformer.quant.compare import chunks
from gateformer.quant.errors import DataError
from gateformer.quant.execute import run_reals
from gateformer.quant.graph import Graph
from gateformer.quant.types import FloatArray

JOINT = 512
"""Most features whose products are kept."""

KEPT = 1 << 15
"""Elements of a value that are kept for its quantizer's range."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One value, or one point inside a layer, over the calibration data.

    Attributes
    ----------
    low, high : float
        Smallest and largest real.
    sample : ndarray of float64, (n,)
        Evenly spread elements, at most ``KEPT``, the extremes among them.
    mean, square : ndarray of float64, (features,)
        Mean and mean square of each feature of a token.
    lowest, highest : ndarray of float64, (features,)
        Smallest and largest real of each feature.
    products : ndarray of float64, (features, features), or None
        Mean products of two features; None beyond ``JOINT`` of them.
    """

    low: float
    high: float
    sample: FloatArray
    mean: FloatArray
    square: FloatArray
    lowest: FloatArray
    highest: FloatArray
    products: FloatArray | None = None


@dataclass(slots=True)
class _Sums:
    count: int = 0
    kept: list[FloatArray] = field(default_factory=list)
    mean: FloatArray | float = 0.0
    square: FloatArray | float = 0.0
    products: FloatArray | float = 0.0
    lowest: FloatArray | float = np.inf
    highest: FloatArray | float = -np.inf

    def take(self, reals: FloatArray, most: int) -> None:
        flat = reals.reshape(len(reals) * (reals.shape[1] if reals.ndim > 2 else 1), -1)
        self.count += len(flat)
        self.mean = self.mean + flat.sum(0)
        self.square = self.square + (flat**2).sum(0)
        if flat.shape[1] <= JOINT:
            self.products = self.products + flat.T @ flat
        self.lowest = np.minimum(self.lowest, flat.min(0))
        self.highest = np.maximum(self.highest, flat.max(0))
        self.kept.append(flat.ravel()[:: max(1, flat.size // max(1, most))].copy())

    def seen(self) -> Seen:
        lowest, highest = np.asarray(self.lowest), np.asarray(self.highest)
        low, high = float(lowest.min()), float(highest.max())
        sample = np.concatenate([*self.kept, [low, high]])
        count = max(1, self.count)
        mean, square = np.asarray(self.mean) / count, np.asarray(self.square) / count
        joint = len(lowest) <= JOINT
        products = np.asarray(self.products) / count if joint else None
        return Seen(low, high, sample, mean, square, lowest, highest, products)


def observe(graph: Graph, data: Mapping[str, FloatArray]) -> dict[str, Seen]:
    """Run the data through the network on reals and look at every value and internal point.

    Parameters
    ----------
    graph : Graph
        As imported or folded.
    data : mapping of str to ndarray of float64, (n, *shape)
        Reals of every input.

    Returns
    -------
    dict of str to Seen
        By the value's name, or ``<layer>/<point>``.

    Raises
    ------
    DataError
        E603 for NaN, infinity and absurd numbers, E604 without a sample.
    """
    sums: dict[str, _Sums] = {}
    total = max((len(x) for x in data.values()), default=0)
    if not total:
        raise DataError("E604", "no data to calibrate on", fix="give at least one sample")
    for part in chunks(data):
        share = KEPT * len(next(iter(part.values()))) // total

        def probe(name: str, reals: FloatArray, share: int = share) -> None:
            check_reals(name, reals)
            sums.setdefault(name, _Sums()).take(reals, share)

        with np.errstate(over="ignore", invalid="ignore"):  # what they lead to is told above
            run_reals(graph, part, probe)
    return {name: found.seen() for name, found in sums.items()}
