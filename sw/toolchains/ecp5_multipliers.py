"""Registers behind ECP5 multipliers, moved into them: yosys leaves them in slices.

Run as ``python -m gateformer.toolchains.ecp5_multipliers IN.json OUT.json`` between
``synth_ecp5`` and nextpnr. A MULT18X18D has a register behind its product; used, it saves
the way from the product to 36 flip-flops elsewhere, and the flip-flops. Imports nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Cells = dict[str, Any]
MULTIPLIER, REGISTER = "MULT18X18D", "TRELLIS_FF"
PRODUCT = tuple(f"P{bit}" for bit in range(36))
OUTPUT_REGISTER = {
    "REG_OUTPUT_CLK": "CLK0",
    "REG_OUTPUT_CE": "CE0",
    "REG_OUTPUT_RST": "RST0",
    "CLK0_DIV": "ENABLED",
    "GSR": "DISABLED",
    "RESETMODE": "SYNC",
}
"""Parameters of the register behind the product (Lattice FPGA-TN-02205, sysDSP)."""


def main(arguments: list[str]) -> None:
    """Read a netlist, move registers, write it."""
    if len(arguments) != 3:
        raise SystemExit("usage: ecp5_multipliers.py IN.json OUT.json")
    netlist = json.loads(Path(arguments[1]).read_text(encoding="utf-8"))
    count = absorb(netlist)
    Path(arguments[2]).write_text(json.dumps(netlist), encoding="utf-8")
    print(f"{count} products registered inside their multipliers")


def absorb(netlist: Mapping[str, Any]) -> int:
    """Move the registers of products into the multipliers, in place; returns how many products.

    Parameters
    ----------
    netlist : mapping
        What yosys' ``write_json`` gives after ``synth_ecp5``.
    """
    return sum(_module(module) for module in netlist["modules"].values())


def _module(module: Mapping[str, Any]) -> int:
    cells: Cells = module["cells"]
    multipliers = [cell for cell in cells.values() if cell["type"] == MULTIPLIER]
    if not multipliers:
        return 0
    readers = _readers(module)
    moved = 0
    for cell in multipliers:
        behind = _registers(cell, readers, cells)
        if behind is None:
            continue
        clock = next(iter(behind.values()))["connections"]["CLK"]
        for port, register in behind.items():
            cell["connections"][port] = register["connections"]["Q"]
        for port in PRODUCT:
            if port not in behind:
                cell["connections"].pop(port, None)
                cell["port_directions"].pop(port, None)
        cell["parameters"] |= OUTPUT_REGISTER
        # CE0 stays open: a clock enable that nothing drives is 1, as of nextpnr's block RAMs, and
        # a constant routed to every multiplier costs nextpnr minutes.
        for port, bits in {"CLK0": clock, "RST0": ["0"]}.items():
            cell["connections"][port] = bits
            cell["port_directions"][port] = "input"
        gone = {id(register) for register in behind.values()}
        for name in [name for name, other in cells.items() if id(other) in gone]:
            del cells[name]
        moved += 1
    return moved


def _readers(module: Mapping[str, Any]) -> dict[object, list[str]]:
    """Return the names of the cells that read each net; a port of the module is a nameless one."""
    found: dict[object, list[str]] = {}
    for name, cell in module["cells"].items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) != "output":
                for bit in bits:
                    found.setdefault(bit, []).append(name)
    for port in module["ports"].values():
        for bit in port["bits"]:
            found.setdefault(bit, []).append("")
    return found


def _registers(
    cell: Mapping[str, Any], readers: Mapping[object, list[str]], cells: Cells
) -> dict[str, Any] | None:
    """Return the register behind each used bit of a product, or None where one is not plain."""
    found: dict[str, Any] = {}
    for port, bit in _product(cell):
        sinks = readers.get(bit, [])
        if not sinks:
            continue
        register = cells.get(sinks[0]) if len(sinks) == 1 else None
        if register is None or not _plain(register) or register["connections"]["DI"] != [bit]:
            return None
        found[port] = register
    clocks = {tuple(register["connections"]["CLK"]) for register in found.values()}
    return found if len(clocks) == 1 else None


def _product(cell: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for port in PRODUCT:
        for bit in cell["connections"].get(port, ()):
            yield port, bit


def _plain(cell: Mapping[str, Any]) -> bool:
    """Whether a cell is a flip-flop that takes its input at every rising edge, from 0 on."""
    if cell["type"] != REGISTER:
        return False
    parameters, nets = cell["parameters"], cell["connections"]
    return (
        str(parameters.get("CEMUX", "1")).strip() == "1"
        and parameters.get("CLKMUX", "CLK") == "CLK"
        and parameters.get("REGSET", "RESET") == "RESET"
        and nets.get("LSR", ["0"]) == ["0"]
        and nets.get("CE", ["1"]) == ["1"]
        and "DI" in nets
    )


if __name__ == "__main__":
    main(sys.argv)
