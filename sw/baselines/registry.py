"""Where the candidates of each kind of work stand: a worker finds them again by name.

Owns ``PLACES``, ``candidates`` and ``find``. Imports a place's module only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Literal

from gateformer.baselines.runtime import Candidate
from gateformer.quant.errors import ConfigError, Problems

Device = Literal["cpu", "cuda"]
PLACES: Mapping[tuple[str, Device], str] = {
    ("network", "cpu"): "gateformer.baselines.networks.candidates:CANDIDATES",
    ("decode", "cpu"): "gateformer.baselines.decoders.candidates:CANDIDATES",
    ("network", "cuda"): "gateformer.baselines.gpu.candidates:NETWORKS",
    ("decode", "cuda"): "gateformer.baselines.gpu.candidates:DECODERS",
}
"""Module and name of a tuple of candidates, by the work's kind and the device; keys are unique
within one place."""


def candidates(place: str) -> tuple[Candidate, ...]:
    """Return the candidates at a place, such as ``package.module:NAME``."""
    module, name = place.split(":")
    found: tuple[Candidate, ...] = getattr(import_module(module), name)
    return found


def chosen(place: str, wanted: Iterable[str]) -> tuple[Candidate, ...]:
    """Return a place's candidates that a user asks for; all of them where nothing is asked.

    Parameters
    ----------
    place : str
        As for ``candidates``.
    wanted : iterable of str
        Runtimes, or ``runtime:precision``.

    Raises
    ------
    ConfigError, Problems
        E005 for each that is not there.
    """
    known, asked = candidates(place), list(dict.fromkeys(wanted))
    if not asked:
        return known
    names = [one.key for one in known] + list(dict.fromkeys(one.runtime for one in known))
    Problems.raise_if_any(
        ConfigError(
            "E005",
            "unknown --runtime",
            layer=one,
            cause=f"There are {', '.join(candidate.key for candidate in known)}",
            fix=f"Did you mean '{near[0]}'?" if (near := get_close_matches(one, names, 1)) else "",
        )
        for one in asked
        if one not in names
    )
    return tuple(one for one in known if one.key in asked or one.runtime in asked)
