"""The multiply-accumulates, translated by numba where it is installed (the extra ``pim``).

Owns ``compiled``. Imports their source and numba. Translation keeps every rounding: no fast
mathematics, so LLVM neither reassociates nor fuses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

from gateformer.sim.pim import macs

NAMES = ("banks_bf16", "banks_int8", "banks_int4", "matrix_bf16")


@cache
def compiled() -> Any:
    """Return ``macs``' loops, translated at their first call; None without numba."""
    if find_spec("numba") is None:
        return None
    import numba

    translate: Callable[[Any], Any] = numba.njit(fastmath=False, nogil=True)
    return SimpleNamespace(**{name: translate(getattr(macs, name)) for name in NAMES})
