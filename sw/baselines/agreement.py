"""Whether a runtime's outputs are the model's: frame by frame, over many frames.

Owns ``Agreement``. Imports numpy and the errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.errors import BaselineError

STILL = 1e-6
"""Outputs that change by less, of the largest, are one answer for all frames (or there is one
frame): differences are then of the largest output."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near a network's outputs have to come to the reference's.

    A frame's difference is the largest of its outputs', told in spreads: what the most changing
    output changes by over all frames.

    Attributes
    ----------
    typical : float
        Largest median of the frames' differences.
    limit, beyond : float
        Largest share of frames that differ by more than a limit: values that fall to the other
        side of a step carry their frame away, and few do.
    same : float
        Least share of frames whose largest output is the reference's largest, within ``typical``.
    unexplained : float
        Largest sum of squared differences, of the reference's own around its mean. One answer for
        all frames has at least 1, whatever the answer and however rare the other classes are;
        other frames' answers have about 2.
    """

    typical: float
    limit: float
    beyond: float
    same: float
    unexplained: float

    def held(self, outputs: NDArray[np.float64], reference: NDArray[np.float64], key: str) -> float:
        """Return the largest absolute difference.

        Parameters
        ----------
        outputs, reference : ndarray of float64, (frames, numbers)
            Of the runtime and of the model.
        key : str
            The candidate's, for the message.

        Raises
        ------
        BaselineError
            E852 where they do not agree; with each measure that says so.
        """
        spread, largest = float(np.ptp(reference, axis=0).max()), float(np.abs(reference).max())
        still = spread <= STILL * largest
        spread = (largest if still else spread) or 1.0
        off = np.abs(outputs - reference).max(axis=1) / spread
        rows, chosen = np.arange(len(reference)), outputs.argmax(axis=1)
        near = reference[rows, chosen] >= reference.max(axis=1) - self.typical * spread
        # Never "more than": a NaN is no agreement.
        typical, beyond = float(np.median(off)), 1.0 - float((off <= self.limit).mean())
        varied = float(((reference - reference.mean(axis=0)) ** 2).sum())
        unexplained = 0.0 if still else float(((outputs - reference) ** 2).sum()) / varied
        same = float((near & np.isfinite(outputs).all(axis=1)).mean())
        said = []
        if not typical <= self.typical:
            said.append(f"by {typical:.2g} of their spread in half of them, not {self.typical:g}")
        if not beyond <= self.beyond:
            said.append(f"by more than {self.limit:g} in {beyond:.1%}, not {self.beyond:.1%}")
        if not same >= self.same:
            said.append(f"the largest output is the model's in {same:.1%}, not {self.same:.1%}")
        if not unexplained <= self.unexplained:
            said.append(f"{unexplained:.2g} of what varies is off, not {self.unexplained:g}")
        if said:
            cause = f"Of {len(reference)} frames: {'; '.join(said)}"
            raise BaselineError("E852", "outputs differ from the model's", layer=key, cause=cause)
        return float(np.abs(outputs - reference).max())
