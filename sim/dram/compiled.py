"""The kernel, translated by numba: the same functions, some ten times as fast.

Owns ``compiled_kernel``. Imports the kernel's source once more, under a name of its own, and numba
where it is installed (the extra ``pim``); nothing needs it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import FunctionType, ModuleType

from gateformer.quant.caching import user_cache
from gateformer.quant.errors import ToolError
from gateformer.sim.dram import kernel, tables

SOURCE = kernel.__name__


def available() -> bool:
    """Return whether numba is installed."""
    return find_spec("numba") is not None


@cache
def compiled_kernel() -> ModuleType:
    """Return the kernel's functions, translated at their first call and kept on disk.

    Raises
    ------
    ToolError
        E505 without numba.
    """
    if not available():
        raise ToolError(
            "E505",
            "Python package not installed",
            layer="numba",
            fix="pip install -e '.[pim]', or run without `compiled`",
        )
    import numba

    spec = find_spec(SOURCE)
    if spec is None or spec.loader is None:
        raise AssertionError(f"{SOURCE} has no source")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_folder())
    try:
        for name, function in list(vars(module).items()):
            if isinstance(function, FunctionType) and function.__module__ == SOURCE:
                setattr(module, name, _translated(function))
    finally:
        numba.config.CACHE_DIR = before
    return module


def _translated(function: FunctionType) -> object:
    from numba import njit

    try:
        return njit(cache=True)(function)
    except RuntimeError:  # there is nowhere to keep it
        return njit(function)


def _folder() -> Path:
    """Return where translations are kept, by the sources they are made from.

    numba looks at a function's own file alone, but the places of the numbers come from another.
    """
    digest = hashlib.sha256()
    for part in (kernel, tables):
        digest.update(Path(str(part.__file__)).read_bytes())
    return user_cache("pim") / digest.hexdigest()[:16]
