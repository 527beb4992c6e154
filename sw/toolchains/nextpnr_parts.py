"""What the open tools call a part: Lattice ECP5 and Gowin ordering codes to their options.

Owns ``ecp5`` and ``gowin``. Imports the errors only.
"""

from __future__ import annotations

import re

from gateformer.quant.errors import ConfigError

ECP5 = re.compile(r"LFE5(U|UM|UM5G)-(12|25|45|85)F-([678])(BG|MG|TG)(\d+)[CI]?", re.I)
"""Ordering code: family, kilo-LUTs, speed grade, package, balls (Lattice FPGA-DS-02012)."""
PACKAGES = {"BG": "CABGA", "MG": "CSFBGA", "TG": "TQFP"}
GOWIN = re.compile(r"(GW1NZ?|GW1NS|GW2AR?|GW5A|GW5AST)-?L?V?(\d+)C?\w*", re.I)
GOWIN_CHIPS = {
    "GW1N1": "GW1N-1",
    "GW1N4": "GW1N-4",
    "GW1N9": "GW1N-9",
    "GW1NZ1": "GW1NZ-1",
    "GW1NS4": "GW1NS-4",
    "GW2A18": "GW2A-18",
    "GW2AR18": "GW2A-18C",
    "GW5A25": "GW5A-25A",
    "GW5AST138": "GW5AST-138C",
}
"""Family and size to the chip whose data base the tools read."""


def ecp5(part: str) -> tuple[str, ...]:
    """Return nextpnr-ecp5's options for a part.

    Raises
    ------
    ConfigError
        E002 for what is no ECP5.
    """
    found = ECP5.fullmatch(part)
    if found is None:
        raise _unknown(part, "LFE5U-85F-6BG381C")
    family, size, speed, package, balls = found.groups()
    kind = {"U": "", "UM": "um-", "UM5G": "um5g-"}[family.upper()]
    name = f"{PACKAGES[package.upper()]}{balls}"
    return (f"--{kind}{size}k", "--package", name, "--speed", speed)


def gowin(part: str) -> str:
    """Return the chip of a Gowin part, as nextpnr and gowin_pack call it.

    Raises
    ------
    ConfigError
        E002 for one that has no data base.
    """
    found = GOWIN.match(part)
    chip = GOWIN_CHIPS.get(f"{found[1].upper()}{found[2]}") if found else None
    if chip is None:
        raise _unknown(part, "GW2A-LV18PG256C8/I7")
    return chip


def _unknown(part: str, example: str) -> ConfigError:
    return ConfigError(
        "E002",
        "invalid configuration value",
        layer="build.part",
        cause=f"nextpnr knows no part '{part}'",
        fix=f"Give its ordering code, such as {example}",
    )
