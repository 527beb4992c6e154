"""Which hidden numbers of a feed-forward network a memory multiplies when it skips the rest.

Owns ``kept``. Imports the ASIC's selection and the count of a tile's columns.
"""

from __future__ import annotations

import numpy as np

from gateformer.hw.pim.functions import Alu, largest_groups
from gateformer.hw.pim.layout import Floats
from gateformer.hw.pim.lowering import kept_columns


def kept(hidden: Floats, lanes: int, keep: float, widest: int) -> Floats:
    """Return hidden numbers with zeros in the columns that the memory skips.

    Parameters
    ----------
    hidden : array of float32, shape (tokens, d_ff)
        The numbers.
    lanes : int
        Numbers of a column: they are kept or skipped together.
    keep : float
        Share of the columns that is kept of each tile, rounded up.
    widest : int
        Numbers of a tile.
    """
    found = np.zeros_like(hidden)
    for first in range(0, hidden.shape[1], widest):
        part = hidden[:, first : first + widest]
        columns = -(-part.shape[1] // lanes)
        count = kept_columns(columns, keep)
        for row, numbers in enumerate(part):
            chosen = np.zeros(columns, bool)
            chosen[largest_groups(Alu(), numbers, lanes, count)] = True
            own = chosen.repeat(lanes)[: len(numbers)]
            found[row, first : first + widest] = np.where(own, numbers, 0)
    return found
