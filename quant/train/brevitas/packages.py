"""torch and Brevitas, imported on demand and set up to give the same bytes twice."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from typing import Any

from gateformer.quant.errors import ToolError


@cache
def load(name: str) -> Any:
    """Import a module of torch, Brevitas or onnx; E505 says how to get it.

    Raises
    ------
    ToolError
        E505 where the package is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Brevitas warns of an optional kernel, torch of its own deprecated parts.
            warnings.simplefilter("ignore")
            return import_module(name)
    except ImportError as error:
        raise ToolError(
            "E505",
            "cannot train: Python package not installed",
            layer=error.name,
            fix="Install the brevitas extra: pip install -e '.[brevitas]'",
        ) from error


def torch() -> Any:
    """Return torch."""
    return load("torch")


def seeded(seed: int) -> None:
    """Seed torch, and let it compute in one order: one thread, deterministic kernels."""
    torch().manual_seed(seed)
    torch().set_num_threads(1)  # sums in another order end in other digits
    torch().use_deterministic_algorithms(True)
