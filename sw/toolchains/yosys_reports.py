"""What yosys' reports mean: cells as LUT, FF, DSP and BRAM; the longest path; plain outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil
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
    # ECP5: a carry cell takes both LUTs of its slice
    "CCU2C": 2,
    "TRELLIS_DPR16X4": 4,
    # Gowin
    "ALU": 1,
    "RAM16SDP1": 1,
    "RAM16SDP2": 2,
    "RAM16SDP4": 4,
}
"""LUTs a cell takes: LUT6s of Xilinx, LUT4s of ECP5 and Gowin. Carry chains (CARRY4, CARRY8) and
MUXF7 to MUXF9 lie beside the LUTs, as do PFUMX, L6MUX21 and MUX2_LUT5 to 8."""
_GOWIN_DFF = (f"DFF{n}{kind}{e}" for n in ("", "N") for kind in ("", "S", "R", "P", "C")
              for e in ("", "E"))  # fmt: skip
FLIP_FLOPS = frozenset({"FDRE", "FDSE", "FDCE", "FDPE", "LDCE", "LDPE", "TRELLIS_FF", *_GOWIN_DFF})
BLOCKS = {
    "RAMB18E1": 0.5, "RAMB18E2": 0.5, "RAMB36E1": 1.0, "RAMB36E2": 1.0,
    "DP16KD": 0.5, "PDPW16KD": 0.5,
    **dict.fromkeys(("SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B", "pROM", "pROMX9"), 0.5),
}  # fmt: skip
"""36 Kbit block RAMs a cell takes; ECP5's EBR and Gowin's BSRAM hold 18."""
SLICES = {
    "DSP48E1": 1.0, "DSP48E2": 1.0, "MULT18X18D": 1.0,
    "MULT9X9": 0.5, "MULT18X18": 1.0, "MULT36X36": 4.0,
}  # fmt: skip
"""DSP slices, or 18 x 18 multipliers, a cell takes."""
OWN: dict[str, dict[str, tuple[str, ...]]] = {
    "ecp5": {
        "lut4": ("LUT4",), "ccu2c": ("CCU2C",), "mult18": ("MULT18X18D",), "alu54": ("ALU54B",),
        "ebr": ("DP16KD", "PDPW16KD"),
    },
    "gowin": {
        "lut4": ("LUT1", "LUT2", "LUT3", "LUT4"), "alu": ("ALU",),
        "mult": ("MULT9X9", "MULT18X18", "MULT36X36"),
        "bsram": ("SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B", "pROM", "pROMX9"),
    },
}  # fmt: skip
"""What each family calls its own: metric to the cells that it counts."""
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
        "dsp": ceil(sum(number * SLICES.get(kind, 0.0) for kind, number in cells.items())),
        "bram": sum(number * BLOCKS.get(kind, 0.0) for kind, number in cells.items()),
    }


def own(family: str, cells: Mapping[str, int]) -> dict[str, int]:
    """Return counts under the family's own names; none for Xilinx."""
    return {
        name: sum(cells.get(kind, 0) for kind in kinds)
        for name, kinds in OWN.get(family, {}).items()
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
