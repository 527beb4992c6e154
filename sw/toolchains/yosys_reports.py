"""What yosys' reports mean: cells as LUT, FF, DSP and BRAM; the longest path; plain outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypedDict

LUTS: dict[str, int] = {
    **{f"LUT{inputs}": 1 for inputs in range(1, 7)},
    "LUT6_2": 1,
    "INV": 1,
    "SRL16": 1,
    "SRL16E": 1,
    "SRLC16E": 1,
    "SRLC32E": 1,
    "RAM16X1S": 1,
    "RAM16X1D": 2,
    "RAM32X1S": 1,
    "RAM32X1D": 2,
    "RAM32X2S": 2,
    "RAM32M": 4,
    "RAM32M16": 8,
    "RAM32X16DR8": 8,
    "RAM64X1S": 1,
    "RAM64X1D": 2,
    "RAM64M": 4,
    "RAM64M8": 8,
    "RAM64X8SW": 8,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM256X1D": 8,
    "RAM512X1S": 8,
}
"""LUTs a cell takes. Carry chains (CARRY4, CARRY8) and MUXF7 to MUXF9 lie beside the LUTs."""
FLIP_FLOPS = frozenset({"FDRE", "FDSE", "FDCE", "FDPE", "LDCE", "LDPE"})
BLOCKS = {"RAMB18E1": 0.5, "RAMB18E2": 0.5, "RAMB36E1": 1.0, "RAMB36E2": 1.0}
"""36 Kbit block RAMs a cell takes."""
SLICES = frozenset({"DSP48E1", "DSP48E2"})
_REGISTERS = re.compile(r"\$(a|s|al)?dff\w*|\$mem\w*|\$const|gf_\w+")
_MAPPED = re.compile(r"_(FD[RSCP]E|LUT\d|CARRY\d|MUXF\d|DSP48E\d|RAMB\w+|SRL\w+|INV)_.*")
"""What ``autoname`` puts behind the name of the net that a mapped cell is near to."""


class Counts(TypedDict):
    """Resources of one module."""

    lut: int
    ff: int
    dsp: int
    bram: float


def cells(stat: Mapping[str, Any], module: str) -> dict[str, int]:
    """Return the mapped cells of a module by type, from ``stat -json``."""
    found = stat["modules"]["\\" + module].get("num_cells_by_type", {})
    return {str(kind): int(count) for kind, count in found.items() if not kind.startswith("$")}


def count(cells: Mapping[str, int]) -> Counts:
    """Return the resources that cells take."""
    return {
        "lut": sum(number * LUTS.get(kind, 0) for kind, number in cells.items()),
        "ff": sum(number for kind, number in cells.items() if kind in FLIP_FLOPS),
        "dsp": sum(number for kind, number in cells.items() if kind in SLICES),
        "bram": sum(number * BLOCKS.get(kind, 0.0) for kind, number in cells.items()),
    }


def arrival(report: str) -> tuple[float | None, tuple[str, ...]]:
    """Read ``sta``: the latest arrival in ns, and the first and last named net on that path."""
    found = re.search(r"^Latest arrival time in '.*?' is (\d+):", report, re.MULTILINE)
    if found is None:
        return None, ()
    path = report[found.end() :].partition("Arrival histogram")[0]
    nets = [
        _MAPPED.sub("", net).removeprefix("dut.")
        for net in re.findall(r"^\s+\\(\S+(?: \[\d+\])?)$", path, re.MULTILINE)
    ]
    return int(found[1]) / 1000, (nets[-1], nets[0]) if nets else ()


def unregistered(module: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the outputs of a netlist that logic drives: neither register, memory nor pin."""
    drivers: dict[object, str] = {}
    for cell in module["cells"].values():
        for port, direction in cell.get("port_directions", {}).items():
            if direction == "output":
                drivers.update(dict.fromkeys(cell["connections"][port], cell["type"]))
    return tuple(
        name
        for name, port in module["ports"].items()
        if port["direction"] == "output"
        and any(not _REGISTERS.fullmatch(drivers.get(bit, "$const")) for bit in port["bits"])
    )
