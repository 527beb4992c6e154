"""What runs inside the yosys subprocess: one module, synthesized and timed.

Run as ``python yosys_worker.py request.json``: any yosys error ends the process, so it must not
be ours. Imports pyosys and nothing of gateformer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Ports = list[tuple[str, int, bool]]
"""Name, width and whether it is an input, in the order of the module's header."""
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
    yosys("opt; mcm; opt_clean")
    yosys(f'write_json "{folder / "coarse.json"}"')
    yosys(f'scratchpad -set abc9.script "{MAPPING}"')
    yosys(f"{SYNTHESIS[asked['family']]} -top {top} -run begin:check")
    yosys(f'tee -q -o "{folder / "stat.json"}" stat -json -top {top}')
    if asked["timed"]:
        yosys("autoname")
        yosys(f'tee -q -o "{folder / "sta.txt"}" sta')


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


def request_of(arguments: Sequence[str]) -> Path:
    """Return the request's path."""
    if len(arguments) != 2:
        raise SystemExit("usage: yosys_worker.py request.json")
    return Path(arguments[1])


if __name__ == "__main__":
    main(request_of(sys.argv))
