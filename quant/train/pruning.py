"""How weights become zero in the course of a fit, in any framework.

Owns ``share_at``, ``smallest``, ``Course`` and the parts of a fit in which weights go. Imports
numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BEGIN, END = 0.25, 0.75
"""Parts of the floating-point fit between which weights are taken away."""


def share_at(done: float, final: float) -> float:
    """Return the share of zeros after a part of the fit.

    ``final (1 - (1 - t)^3)``, t from 0 to 1 between `BEGIN` and `END`: M. Zhu and S. Gupta,
    arXiv 1710.01878, section 3.
    """
    t = min(max((done - BEGIN) / (END - BEGIN), 0.0), 1.0)
    return final * (1.0 - (1.0 - t) ** 3)


def smallest(weight: NDArray[np.floating], share: float) -> NDArray[np.bool_]:
    """Return where the smallest weights of an array are, so large a share of them all."""
    mask = np.zeros(weight.size, dtype=np.bool_)
    mask[np.abs(weight).ravel().argsort(kind="stable")[: int(share * weight.size)]] = True
    return mask.reshape(weight.shape)


@dataclass(frozen=True, slots=True)
class Course:
    """Zeros in one fit.

    Attributes
    ----------
    final
        Share of each layer's weights that is zero at the end.
    grows
        Whether weights become zero in this fit; else those that are zero stay so.
    """

    final: float
    grows: bool

    def zeros(self, weights: Sequence[NDArray[Any]], done: float) -> list[NDArray[np.bool_]]:
        """Return where weights are to be zero after a part of the fit."""
        if not self.grows:
            return [weight == 0.0 for weight in weights]
        return [smallest(weight, share_at(done, self.final)) for weight in weights]

    def settled(self, done: float) -> bool:
        """Tell whether no more weights go."""
        return not self.grows or done >= END
