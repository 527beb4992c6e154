"""What the memory's Verilog takes in cells of an open 130 nm library.

Owns ``Library``, ``Area`` and ``synthesize``. Imports the Verilog's files and yosys. Areas are of
cells alone: no wires, no room between cells, no buffers for large fan-outs, and no clock that
has to be reached, since the library's sizes are public here and its times are not.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from gateformer.pim import area_worker
from gateformer.sim.pim.asic_rtl import sources
from gateformer.sim.rtl.tools import run_tool
from gateformer.toolchains.yosys import yosys_version

PIN = re.compile(r"[A-Z]\w*")
MODULE = re.compile(r"gf_\w+")


@dataclass(frozen=True, slots=True)
class Library:
    """Cells of a process.

    Attributes
    ----------
    name, source : str
        Its name, and where the sizes are from.
    node_nm : int
        The process.
    areas : mapping of str to float
        Each cell's area in square micrometres.
    outputs, functions : mapping of str to str
        Each cell's output and what it computes; without the register.
    unit, register : str
        The cell that others are counted in (NAND2), and the one flip-flop.
    """

    name: str
    source: str
    node_nm: int
    areas: Mapping[str, float]
    outputs: Mapping[str, str]
    functions: Mapping[str, str]
    unit: str
    register: str

    @property
    def unit_um2(self) -> float:
        """Square micrometres of a NAND2."""
        return self.areas[self.unit]

    def liberty(self) -> str:
        """Return the library as yosys and abc read it: areas and functions, no times."""
        lines = [f"library ({self.name}) {{"]
        for cell, function in self.functions.items():
            lines.append(f"  cell ({cell}) {{")
            lines.append(f"    area : {self.areas[cell]:.4f};")
            for pin in sorted(set(PIN.findall(function))):
                lines.append(f"    pin ({pin}) {{ direction : input; }}")
            output = f'direction : output; function : "{function}";'
            lines += [f"    pin ({self.outputs[cell]}) {{ {output} }}", "  }"]
        lines += [
            f"  cell ({self.register}) {{",
            f"    area : {self.areas[self.register]:.4f};",
            '    ff (IQ, IQN) { clocked_on : "CLK"; next_state : "D"; }',
            "    pin (CLK) { direction : input; clock : true; }",
            "    pin (D) { direction : input; }",
            '    pin (Q) { direction : output; function : "IQ"; }',
            "  }",
            "}",
            "",
        ]
        return "\n".join(lines)


def sky130() -> Library:
    """Return SkyWater's open library of 130 nm."""
    text = (files("gateformer.pim") / "sky130_cells.toml").read_text("utf-8")
    found = tomllib.loads(text)
    cells, height = found["cells"], found["height_um"]
    widths = {name: cell[0] for name, cell in cells.items()}
    widths[found["register"]] = found["register_width_um"]
    return Library(
        found["library"],
        found["source"],
        found["node_nm"],
        {name: width * height for name, width in widths.items()},
        {name: cell[1] for name, cell in cells.items()},
        {name: cell[2] for name, cell in cells.items()},
        found["unit"],
        found["register"],
    )


@dataclass(frozen=True, slots=True)
class Area:
    """What a module takes, with all that is inside it.

    Attributes
    ----------
    um2, register_um2 : float
        Square micrometres of its cells, and of its flip-flops among them.
    cells, registers : int
        How many they are.
    inside : mapping of str to int
        Instances of the modules that were kept apart.
    parts : mapping of str to float
        Square micrometres of those that stand right inside it, all instances of a name together.
    """

    um2: float
    register_um2: float
    cells: int
    registers: int
    inside: Mapping[str, int]
    parts: Mapping[str, float]


def synthesize(
    top: str,
    work: Path,
    *,
    parameters: Mapping[str, int] | None = None,
    kept: Collection[str] = (),
    left_out: Collection[str] = (),
    library: Library | None = None,
) -> Area:
    """Map a module of the memory to a library's cells.

    Parameters
    ----------
    top : str
        Its name.
    work : Path
        Folder of sources, log and result.
    parameters : mapping of str to int, optional
        Of the module.
    kept : collection of str
        Modules whose instances are mapped once, and whose borders nothing crosses: a constant
        operand makes none of them smaller.
    left_out : collection of str
        Modules whose inside is not counted.
    library : Library, optional
        SkyWater's of 130 nm if not given.

    Raises
    ------
    ToolError
        E505 without pyosys, E502 where yosys fails.
    """
    yosys_version()
    library = library or sky130()
    work = work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    texts = sources(top)
    for name, text in texts.items():
        (work / name).write_text(text, encoding="utf-8")
    (work / "cells.lib").write_text(library.liberty(), encoding="utf-8")
    request = {
        "sources": [str(work / name) for name in texts],
        "top": top,
        "parameters": dict(parameters or {}),
        "kept": list(kept),
        "left_out": list(left_out),
        "liberty": str(work / "cells.lib"),
    }
    asked = work / "request.json"
    asked.write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-I", area_worker.__file__, str(asked)]
    run_tool(command, work, os.environ, work / "yosys.log")
    return _read(json.loads((work / "stat.json").read_text(encoding="utf-8")), library)


Numbers = Mapping[str, Mapping[str, Mapping[str, str]]]
"""What yosys tells of a module: by subject, by cell or inner module, its count and area."""


def _read(stat: Mapping[str, Any], library: Library) -> Area:
    whole = stat["design"]
    registers = whole["num_cells_by_type"].get(library.register, {"count": "0", "area": "0"})
    parts: dict[str, float] = {}
    for kind, numbers in whole["num_submodules_by_type"].items():
        parts[_name(kind)] = parts.get(_name(kind), 0.0) + float(numbers["area"])
    modules = {name.removeprefix("\\"): found for name, found in stat["modules"].items()}
    return Area(
        float(whole["num_cells"]["area"]),
        float(registers["area"]),
        int(whole["num_cells"]["count"]),
        int(registers["count"]),
        _inside(whole, modules),
        parts,
    )


def _inside(module: Numbers, modules: Mapping[str, Numbers]) -> dict[str, int]:
    """Count the instances below a module."""
    found: dict[str, int] = {}
    for kind, numbers in module["num_submodules_by_type"].items():
        each = {_name(kind): 1}
        for name, count in _inside(modules[kind], modules).items():
            each[name] = each.get(name, 0) + count
        for name, count in each.items():
            found[name] = found.get(name, 0) + count * int(numbers["count"])
    return found


def _name(kind: str) -> str:
    """Return a module's name without its parameters."""
    found = MODULE.search(kind)
    return found[0] if found else kind
