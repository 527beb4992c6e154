"""The kernel, translated by numba: the same functions, some thirty times as fast.

Owns ``compiled_kernel``. Imports the kernel's source once more, under a name of its own, and numba
where it is installed (the extra ``pim``); nothing needs it.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec, module_from_spec
from types import FunctionType, ModuleType

from gateformer.quant.errors import ToolError

SOURCE = "gateformer.sim.dram.kernel"


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
            fix="pip install 'gateformer[pim]', or run without `compiled`",
        )
    from numba import njit

    spec = find_spec(SOURCE)
    if spec is None or spec.loader is None:
        raise AssertionError(f"{SOURCE} has no source")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, function in list(vars(module).items()):
        if isinstance(function, FunctionType) and function.__module__ == SOURCE:
            setattr(module, name, njit(cache=True)(function))
    return module
