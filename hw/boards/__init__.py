"""Boards with a serial line to a host, one a TOML file beside this one.

Owns ``Board``, ``load`` and ``names``. Imports nothing of gateformer.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Board:
    """A board.

    Attributes
    ----------
    name : str
        Its file's name.
    part : str
        The ordering code of its FPGA, as far as it decides pins: without speed and grade.
    family : {"ecp5", "gowin"}
        Whose tools build for it.
    clock_mhz : float
        What it feeds to ``clk``.
    voltage : str
        The pins' I/O standard.
    pins : mapping of str to str
        Sites of ``clk``, ``rst_n``, ``rxd``, ``txd`` and ``error``.
    source : str
        Where the pins come from.
    """

    name: str
    part: str
    family: str
    clock_mhz: float
    voltage: str
    pins: Mapping[str, str]
    source: str


def names() -> tuple[str, ...]:
    """Return all known boards."""
    found = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def load(name: str) -> Board:
    """Return one of the `names`."""
    text = (resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8")
    return Board(name, **tomllib.loads(text))
