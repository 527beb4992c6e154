"""Settings of a simulation as options of the command line, for messages and for command lines.

Owns ``option`` and ``named``. Imports the errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gateformer.quant.errors import GateformerError, Problems

OTHERWISE = {"asic_clock_ns": "--asic-clock"}
"""Settings whose option is called otherwise."""
Found = TypeVar("Found")


def option(setting: str) -> str:
    """Return the option that a setting comes from."""
    return OTHERWISE.get(setting, f"--{setting.replace('_', '-')}")


def named(work: Callable[..., Found], model: str, **settings: object) -> Found:
    """Do some work on a model; an error that is a setting's names its option instead.

    Parameters
    ----------
    work : callable
        Takes the model and the settings.
    model : str
        The model.
    **settings
        By the names that Python knows them by.
    """
    try:
        return work(model, **settings)
    except GateformerError as error:
        for one in error.errors if isinstance(error, Problems) else (error,):
            if one.code == "E022" and one.layer in settings:
                one.layer = option(one.layer)
        raise
