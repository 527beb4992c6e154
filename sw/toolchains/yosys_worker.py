"""What runs inside the yosys subprocess: one module, synthesized and timed.

Run as ``python yosys_worker.py request.json``: any yosys error ends the process, so it must not
be ours. Imports pyosys and nothing of gateformer.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

Ports = list[tuple[str, int, bool]]
"""Name, width and whether it is an input, in the order of the module's header."""
Bit = int | str
"""A bit of a netlist in yosys' JSON: the net's number, or a constant."""
Bits = list[Bit]
Term = tuple[Bits, bool]
"""An operand of a sum, and whether it is taken away."""
SUMS = ("$add", "$sub")
BOXES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "LUT4": ({f"I{pin}": 1 for pin in range(4)}, {"O": 1}),
    "LUT6_2": ({f"I{pin}": 1 for pin in range(6)}, {"O6": 1, "O5": 1}),
    "CARRY4": ({"CI": 1, "CYINIT": 1, "DI": 4, "S": 4}, {"CO": 4, "O": 4}),
}
"""Cells of Xilinx' library that sums of three are made of: input and output pins with widths."""
TERNARY = ("xcup", "xc7")
"""Families whose LUTs hold a bit of a sum of three."""
TABLE_ENTRIES = 1024
"""Largest table that is mapped to LUTs where it stands; larger ones may become block RAM."""

MAPPING = "+&scorr; &sweep; &dch -f -r; &ps; &if {W} {D} {R} -v; &mfs"
"""abc9's default script without ``&dc2``, which takes tables apart: a fifth fewer LUTs behind them,
and less delay."""

SYNTHESIS = {
    "xcup": "synth_xilinx -family xcup -noiopad -noclkbuf",
    "xc7": "synth_xilinx -family xc7 -noiopad -noclkbuf",
    "ecp5": "synth_ecp5 -noiopad",
    "gowin": "synth_gowin -noiopads",
}
"""yosys' own script of each family, without pads: a module is no chip."""
CLOCK = "clk"
HARNESS = "gateformer_harness"


def main(request: Path) -> None:
    """Do what the request asks and leave the results beside it.

    The request's keys: ``sources``, ``top``, ``family``, ``boundaries`` (modules inside the top
    that are left out) and ``timed``. The results: ``coarse.json`` (the netlist before mapping),
    ``stat.json`` and, where timed, ``sta.txt``. A timed top stands between registers, and so
    does what was left out: else yosys would time no path from or to a pin.
    """
    from pyosys import libyosys

    asked = json.loads(request.read_text(encoding="utf-8"))
    folder, top = request.parent, asked["top"]
    design = libyosys.Design()

    def yosys(command: str) -> None:
        libyosys.run_pass(command, design)

    yosys("read_verilog -D SYNTHESIS " + " ".join(f'"{name}"' for name in asked["sources"]))
    yosys(f"hierarchy -check -top {top}")
    # A file may hold modules that the top does not need; the hierarchy has dropped those.
    boundaries = [n for n in asked["boundaries"] if design.module("\\" + n) is not None]
    found = {name: ports_of(design, name) for name in (top, *boundaries)}
    if asked["timed"]:
        texts = [stub(name, found[name]) for name in boundaries]
        texts.append(harness(top, found[top]))
        (folder / "harness.v").write_text("\n".join(texts), encoding="utf-8")
        for name in boundaries:
            yosys(f"delete {name}")
        yosys(f'read_verilog "{folder / "harness.v"}"')
        top = HARNESS
    else:
        for name in boundaries:
            yosys(f"blackbox {name}")
    yosys(f"hierarchy -check -top {top}")
    yosys("proc; flatten; opt; memory_collect")
    # Else memory_dff would pull the register before a table behind it, into a longer path.
    yosys(f"memory_map -rom-only t:$mem_v2 r:SIZE<={TABLE_ENTRIES} %i")
    yosys("opt")
    if asked["family"] in TERNARY:
        # Before mcm, whose sums no source has written.
        join_sums(yosys, folder / "sums.json", packed=not asked["timed"])
    yosys("mcm; opt_clean")
    yosys(f'write_json "{folder / "coarse.json"}"')
    yosys(f'scratchpad -set abc9.script "{MAPPING}"')
    yosys(f"{SYNTHESIS[asked['family']]} -top {top} -run begin:check")
    yosys(f'tee -q -o "{folder / "stat.json"}" stat -json -top {top}')
    if asked["timed"]:
        yosys("autoname")
        yosys(f'tee -q -o "{folder / "sta.txt"}" sta')


def join_sums(yosys: Callable[[str], None], file: Path, packed: bool) -> None:
    """Map the sums of three of all modules, through a file."""
    yosys(f'write_json "{file}"')
    tree = json.loads(file.read_text(encoding="utf-8"))
    if sum(ternary(module, packed) for module in tree["modules"].values()):
        tree["modules"] |= {name: box_of(*ways) for name, ways in BOXES.items()}
        file.write_text(json.dumps(tree), encoding="utf-8")
        yosys("design -reset")
        yosys(f'read_json "{file}"')


def ports_of(design: Any, module: str) -> Ports:
    """Return a module's ports."""
    found = design.module("\\" + module)
    wires = [(str(name).removeprefix("\\"), found.wire(name)) for name in found.ports]
    return [(name, wire.width, wire.port_input) for name, wire in wires]


def harness(top: str, ports: Ports) -> str:
    """Return a module in which registers feed the top, so that no path begins at a pin."""
    inputs = [(name, width) for name, width, is_input in ports if is_input and name != CLOCK]
    outputs = [(name, width) for name, width, is_input in ports if not is_input]
    header = [f"input {CLOCK}"]
    header += [f"input [{width - 1}:0] {name}" for name, width in inputs]
    header += [f"output [{width - 1}:0] {name}" for name, width in outputs]
    lines = [f"module {HARNESS} ({', '.join(header)});"]
    for name, width in inputs:
        lines.append(f"  (* keep *) reg [{width - 1}:0] {name}_pin;")
        lines.append(f"  always @(posedge {CLOCK}) {name}_pin <= {name};")
    joined = [f".{name}({name}_pin)" for name, _ in inputs]
    joined += [f".{name}({name})" for name, _ in outputs]
    if any(name == CLOCK for name, _, _ in ports):
        joined.insert(0, f".{CLOCK}({CLOCK})")
    return "\n".join([*lines, f"  {top} dut ({', '.join(joined)});", "endmodule", ""])


def stub(module: str, ports: Ports) -> str:
    """Return a stand-in of registers, so that paths to and from the module are timed."""
    inputs = [(name, width) for name, width, is_input in ports if is_input and name != CLOCK]
    outputs = [(name, width) for name, width, is_input in ports if not is_input]
    header = [f"input {CLOCK}"]
    header += [f"input [{width - 1}:0] {name}" for name, width in inputs]
    header += [f"output [{width - 1}:0] {name}" for name, width in outputs]
    lines = [f"module {module} ({', '.join(header)});"]
    for name, width in inputs:
        lines.append(f"  (* keep *) reg [{width - 1}:0] {name}_in;")
        lines.append(f"  always @(posedge {CLOCK}) {name}_in <= {name};")
    for name, width in outputs:
        lines.append(f"  (* keep *) reg [{width - 1}:0] {name}_out;")
        lines.append(f"  always @(posedge {CLOCK}) {name}_out <= ~{name}_out;")
        lines.append(f"  assign {name} = {name}_out;")
    return "\n".join([*lines, "endmodule", ""])


def ternary(module: dict[str, Any], packed: bool) -> int:
    """Map each sum of three of one expression to the carry chain of 6-input LUTs; return how many.

    A LUT's two outputs hold a bit's majority and, with the majority of the bit below, its parity;
    the carry chain adds the rest: one LUT a bit (US patent 7,274,211; XST makes the same of
    ``x + y + z``: docs/cost_model.md). Sums that the source names one after the other stay two
    additions, as no vendor's tool is known to join them.

    Parameters
    ----------
    module : dict
        A module of yosys' JSON, changed in place.
    packed : bool
        Into ``LUT6_2``, to count; else into two LUTs, whose delays are known.
    """
    cells: dict[str, Any] = module["cells"]
    makers: dict[Bit, str] = {}
    readers: Counter[Bit] = Counter()
    for name, cell in cells.items():
        for port, way in cell.get("port_directions", {}).items():
            if way == "output":
                makers.update(dict.fromkeys(cell["connections"][port], name))
            else:
                readers.update(cell["connections"][port])
    for port in module["ports"].values():
        readers.update([*port["bits"], *port["bits"]])
    nets = list(module["netnames"].values())
    named = {bit for net in nets if not net["hide_name"] for bit in net["bits"]}
    fresh = count(
        1 + max((b for net in nets for b in net["bits"] if isinstance(b, int)), default=1)
    )

    def inner(bits: Bits, kinds: tuple[str, ...]) -> str | None:
        """The cell of which these bits are all that is read, and only here."""
        names = {makers.get(bit, "") for bit in bits}
        found = cells.get(names.pop()) if len(names) == 1 else None
        if found is None or found["type"] not in kinds:
            return None
        out = found["connections"]["Y"]
        uses = [readers[bit] for bit in out]
        alone = uses == [1] * len(bits) + [0] * (len(out) - len(bits))
        return makers[bits[0]] if alone and out[: len(bits)] == bits else None

    def joined(name: str) -> list[Term] | None:
        """A sum's three operands; the cells behind them are gone."""
        whole = operands(cells[name], len(cells[name]["connections"]["Y"]))
        for place, (bits, minus) in enumerate(whole):
            child = inner(bits, SUMS)
            if child is None or named.intersection(bits):
                continue
            more = [(b, m ^ minus) for b, m in operands(cells[child], len(bits))]
            terms = [*whole[:place], *more, *whole[place + 1 :]]
            gone = [child]
            for at, (own, negate) in enumerate(terms):
                if (opposite := inner(own, ("$neg",))) is not None:
                    terms[at] = (operand(cells[opposite], "A", len(own)), not negate)
                    gone.append(opposite)
            if sum(negate for _, negate in terms) < 3:
                for each in gone:
                    del cells[each]
                return terms
        return None

    made = 0
    for name in [name for name, cell in cells.items() if cell["type"] in SUMS]:
        terms = joined(name) if name in cells else None
        if terms is not None:
            out = cells.pop(name)["connections"]["Y"]
            cells.update(carries(name, terms, out, fresh, packed))
            made += 1
    return made


def operands(cell: Mapping[str, Any], width: int) -> list[Term]:
    """Return both operands of a sum, extended, and whether each is taken away."""
    return [(operand(cell, "A", width), False), (operand(cell, "B", width), cell["type"] == "$sub")]


def operand(cell: Mapping[str, Any], port: str, width: int) -> Bits:
    """Return an operand's bits, extended by its sign."""
    bits: Bits = ["0" if bit == "x" else bit for bit in cell["connections"][port]]
    top = bits[-1] if int(cell["parameters"][f"{port}_SIGNED"], 2) else "0"
    return (bits + [top] * (width - len(bits)))[:width]


def carries(
    name: str, terms: Sequence[Term], out: Bits, fresh: Iterator[int], packed: bool
) -> dict[str, Any]:
    """Return the cells of ``out = +-a +-b +-c``; below the second operand the first passes."""
    low = 0
    while low < len(out):
        live = [negate for bits, negate in terms if bits[low] != "0"]
        if len(live) > 1 or any(live):
            break
        low += 1
    cells: dict[str, Any] = {}
    for i in range(low):
        source = next((bits[i] for bits, _ in terms if bits[i] != "0"), "0")
        sizes = {"A_SIGNED": "0", "A_WIDTH": f"{1:032b}", "Y_WIDTH": f"{1:032b}"}
        cells[f"{name}.low{i}"] = cell_of("$pos", sizes, {"A": [source]}, {"Y": [out[i]]})
    signs = sum(negate << place for place, (_, negate) in enumerate(terms))
    # Each operand that is taken away is inverted, and 1 comes in beside it.
    second, first = (str(int(signs.bit_count() > n)) for n in (0, 1))
    parity = [((k ^ signs).bit_count()) & 1 for k in range(16)]
    majority = [int(((k ^ signs) & 7).bit_count() > 1) for k in range(16)]
    below: Bit = second
    chain: list[tuple[Bit, Bit, Bit]] = []
    for i in range(low, len(out)):
        odd, most = next(fresh), next(fresh)
        inputs = [*(bits[i] for bits, _ in terms), below]
        pins = {f"I{k}": [bit] for k, bit in enumerate(inputs)}
        both: dict[str, Bits] = {"O6": [odd], "O5": [most]}
        if packed:
            pins |= {"I4": ["0"], "I5": ["1"]}
            init = {"INIT": bits_of(2 * parity) + bits_of(2 * majority)}
            cells[f"{name}.lut{i}"] = cell_of("LUT6_2", init, pins, both)
        else:
            for pin, table in (("O6", parity), ("O5", majority)):
                init = {"INIT": bits_of(table)}
                cells[f"{name}.lut{i}_{pin}"] = cell_of("LUT4", init, pins, {"O": both[pin]})
        chain.append((odd, below, out[i]))
        below = most
    carry: Bit = "0"
    for at in range(0, len(chain), 4):
        part = chain[at : at + 4]
        spare = 4 - len(part)
        over: Bits = [next(fresh) for _ in range(4)]
        pins = {
            "S": [odd for odd, _, _ in part] + ["0"] * spare,
            "DI": [more for _, more, _ in part] + ["0"] * spare,
            "CI": [carry],
            "CYINIT": ["0" if at else first],
        }
        rest: Bits = [next(fresh) for _ in range(spare)]
        results: dict[str, Bits] = {"O": [bit for _, _, bit in part] + rest, "CO": over}
        cells[f"{name}.carry{at}"] = cell_of("CARRY4", {}, pins, results)
        carry = over[3]
    return cells


def box_of(inputs: Mapping[str, int], outputs: Mapping[str, int]) -> dict[str, Any]:
    """Return an empty module of yosys' JSON: a cell of the library."""
    ports: dict[str, Any] = {}
    fresh = count(2)
    for way, pins in (("input", inputs), ("output", outputs)):
        for name, width in pins.items():
            ports[name] = {"direction": way, "bits": [next(fresh) for _ in range(width)]}
    return {"attributes": {"blackbox": "1"}, "ports": ports, "cells": {}, "netnames": {}}


def bits_of(table: Sequence[int]) -> str:
    """Return a LUT's contents, entry 0 last."""
    return "".join(str(bit) for bit in reversed(table))


def cell_of(
    kind: str, parameters: dict[str, str], inputs: dict[str, Bits], outputs: dict[str, Bits]
) -> dict[str, Any]:
    """Return a cell of yosys' JSON."""
    ways = {**dict.fromkeys(inputs, "input"), **dict.fromkeys(outputs, "output")}
    return {
        "hide_name": 1,
        "type": kind,
        "parameters": parameters,
        "attributes": {},
        "port_directions": ways,
        "connections": {**inputs, **outputs},
    }


def request_of(arguments: Sequence[str]) -> Path:
    """Return the request's path."""
    if len(arguments) != 2:
        raise SystemExit("usage: yosys_worker.py request.json")
    return Path(arguments[1])


if __name__ == "__main__":
    main(request_of(sys.argv))
