"""Arrays in one file that is whole or not there.

Owns ``save_arrays``. Imports how files are replaced, and numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.replacing import replacing


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays to a compressed .npz file, whole or not at all."""
    with replacing(path) as own, own.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
