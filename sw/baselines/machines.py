"""GPUs and CPUs by their constants, each with its source: data, in ``machines.toml``.

Owns ``Machine``, ``MACHINES``, ``find`` and ``Launches``. Imports the errors alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from gateformer.quant.errors import ConfigError

Tier = Literal["roofline", "fused", "eager"]
TIERS: tuple[Tier, ...] = ("roofline", "fused", "eager")
"""From what physics allows to what people run first."""

MEANINGS: Mapping[Tier, str] = {
    "roofline": "every byte once at peak bandwidth, or every operation at peak rate",
    "fused": "a tuned runtime: fused kernels, captured graphs",
    "eager": "one kernel launch an operation, as frameworks do unless told otherwise",
}
COMMON = ("fused", "launches")
"""Tables of the file that are no machines."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, with what its models need.

    Attributes
    ----------
    name, title : str
        As asked for, and as shown.
    peak_gbs : float
        Memory bandwidth, GB/s.
    peak_tflops : float
        Of the matrix units at the tuned precision, TFLOP/s.
    watts : float
        Board or package power limit: an upper bound of what decoding takes.
    boundary : str
        What that power covers.
    share : float
        Bandwidth that a tuned runtime reaches, of the peak.
    layer_us : float
        Time a layer that a tuned runtime spends beside reading weights, microseconds.
    tuned_bytes, eager_bytes : int
        Bytes a weight in a tuned runtime and in eager.
    eager_layer_us : float or None
        Time a layer of launches in eager, microseconds; None where no figure allows a fit.
    eager_share : float or None
        Bandwidth in eager, of the peak; the tuned runtime's where None.
    sources : mapping of str to str
        Where each constant comes from.
    listed : bool
        Whether it is shown unasked; the others serve to check published times.
    """

    name: str
    title: str
    peak_gbs: float
    peak_tflops: float
    watts: float
    boundary: str
    share: float
    layer_us: float
    tuned_bytes: int
    eager_bytes: int
    eager_layer_us: float | None
    eager_share: float | None
    sources: Mapping[str, str]
    listed: bool = True

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Return the tiers that this machine has a model of."""
        eager = self.eager_layer_us is not None or self.eager_share is not None
        return TIERS if eager else TIERS[:2]


@dataclass(frozen=True, slots=True)
class Launches:
    """What a GPU spends on each operation of a network that is too small to fill it.

    Attributes
    ----------
    us, low, high : float
        Microseconds an operation, and its error bar.
    source : str
        Where they come from.
    """

    us: float
    low: float
    high: float
    source: str


@cache
def _file() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("gateformer.baselines") / "machines.toml").read_text("utf-8"))


def _machine(name: str, given: Mapping[str, Any]) -> Machine:
    fused = _file()["fused"]
    sources = {"peak_gbs, peak_tflops, watts": given["source"]}
    sources["share, layer_us"] = given.get("share_source", fused["source"])
    eager = [key for key in ("eager_layer_us", "eager_share") if key in given]
    sources |= dict.fromkeys(eager, given.get("eager_source", ""))
    return Machine(
        name=name,
        title=given["title"],
        peak_gbs=given["peak_gbs"],
        peak_tflops=given["peak_tflops"],
        watts=given["watts"],
        boundary=given.get("boundary", "board"),
        share=given.get("share", fused["share"]),
        layer_us=given.get("layer_us", fused["layer_us"]),
        tuned_bytes=2,
        eager_bytes=4,
        eager_layer_us=given.get("eager_layer_us"),
        eager_share=given.get("eager_share"),
        sources=sources,
        listed=given.get("listed", True),
    )


KNOWN: Mapping[str, Machine] = {
    name: _machine(name, given) for name, given in _file().items() if name not in COMMON
}
"""All machines by name."""

MACHINES: Mapping[str, Machine] = {one.name: one for one in KNOWN.values() if one.listed}
"""Those that are shown unasked."""


def launches(tier: Tier) -> Launches:
    """Return what an operation costs a GPU: launched alone, or from a captured graph."""
    found = _file()["launches"]
    way = "eager" if tier == "eager" else "graph"
    us, low, high = found[f"{way}_us"]
    return Launches(us, low, high, found[f"{way}_source"])


def find(name: str) -> Machine:
    """Return a machine.

    Raises
    ------
    ConfigError
        E022 where there is none of that name.
    """
    if name not in KNOWN:
        near = get_close_matches(name, KNOWN, 1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        fix = f"{hint}Choose one of {', '.join(KNOWN)}"
        raise ConfigError("E022", "unknown baseline", layer=name, fix=fix)
    return KNOWN[name]
