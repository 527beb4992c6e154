"""The toolchains of ``gateformer build``: who makes the plan for each name.

Owns ``Toolchain`` and their list; a toolchain's module is imported only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from gateformer.hw.hls.project import Backend
from gateformer.quant.errors import ConfigError
from gateformer.toolchains.plan import Plan, Request

ENTRIES: dict[str, str] = {
    "vivado": "vivado:VIVADO",
    "vitis_hls": "xilinx_hls:VITIS_HLS",
    "vivado_hls": "xilinx_hls:VIVADO_HLS",
    "quartus": "quartus:QUARTUS",
    "quartus_hls": "intel_hls:QUARTUS_HLS",
    "nextpnr": "nextpnr:NEXTPNR",
    "pynq": "pynq:PYNQ",
}
"""Module and constant of each toolchain, by the name that ``--tool`` takes."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Who makes plans for a vendor's tool.

    Attributes
    ----------
    name : str
        What ``--tool`` takes.
    summary : str
        What it does, in a few words.
    plan : callable
        A request to a plan; no file is written, no program is called.
    families : tuple of str
        Families of devices that it builds for.
    flows : tuple of str
        What it can make of a design; the first is the default.
    strategies : tuple of str
        How hard it can be told to try; the first is the default.
    backend : str or None
        The HLS backend whose project it takes; None where it takes RTL.
    """

    name: str
    summary: str
    plan: Callable[[Request], Plan]
    families: tuple[str, ...]
    flows: tuple[str, ...] = ("",)
    strategies: tuple[str, ...] = ("",)
    backend: Backend | None = None


def toolchain(name: str) -> Toolchain:
    """Return a toolchain.

    Raises
    ------
    ConfigError
        E002 for an unknown one.
    """
    if name not in ENTRIES:
        known = ", ".join(ENTRIES)
        raise ConfigError(
            "E002",
            "unknown toolchain",
            layer=name,
            cause=f"Known are {known}",
            fix="Choose one of them with --tool",
        )
    module, constant = ENTRIES[name].split(":")
    return cast(Toolchain, getattr(import_module(f"gateformer.toolchains.{module}"), constant))
