"""A large memory's Verilog, compiled by Verilator with what it has many of compiled only once.

Owns ``build_large``. Imports the build cache and the tools. A device has a hundred banks and more;
flat, their multipliers and the channels' watches are most of a model and take Verilator many
minutes. So each of these modules is made a library of its own, from the same Verilog, of which the
rest has instances.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.verilog import TOP, Shape
from gateformer.sim.rtl.build import VERILATOR_OPTIONS, Build, cached, content_key, write_sources
from gateformer.sim.rtl.tools import run_tool, tool_version, verilator_environment

NUMBERS = (
    "gf_pim_mac.v", "gf_pim_products.v", "gf_pim_fp32_tree.v", "gf_pim_fp32_add.v",
    "gf_pim_fp32_round.v", "gf_pim_fp32_to_bf16.v", "gf_pim_bf16_multiply.v", "gf_pim_multiply.v",
    "gf_delay.v", "gf_valid_delay.v",
)  # fmt: skip
"""What the libraries of numbers are made of."""
COMPILER = "OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O1"
PORT = re.compile(r"^  (?:input|output) +(?:wire|reg) +(?:\[[^]]*\] +)?(\w+)", re.MULTILINE)


def build_large(files: Mapping[str, str], device: Device, cache: Path) -> Build:
    """Build a simulation model on Verilator, or find it built.

    Parameters
    ----------
    files : mapping of str to str
        The memory's Verilog, of BF16 weights and ``mac_stages`` = 0.
    device : Device
        Whose it is.
    cache : Path
        Folder of finished builds.

    Raises
    ------
    ToolError
        E501, E502 or E505 where a tool is missing or fails.
    """
    environment = dict(os.environ) | verilator_environment()
    sizes, shape = device.organization, Shape.of(device)
    watch = [name for name in files if name.startswith("gf_pim_watch")]
    parameters: dict[str, tuple[list[str], dict[str, int]]] = {
        "gf_pim_mac": ([*NUMBERS], {"LANES": sizes.access_bits // 16, "STAGES": 0}),
        "gf_pim_products": ([*NUMBERS], {"AccessBits": sizes.access_bits}),
        "gf_pim_watch": (
            watch,
            {
                "Groups": sizes.bank_groups,
                "BanksPerGroup": sizes.banks_per_group,
                "Rows": sizes.rows,
                "Columns": sizes.columns,
                "Slots": shape.slots,
                "Modes": int(sizes.modes),
            },
        ),
    }
    every = dict(files)
    archives = []
    for module, (parts, values) in parameters.items():
        name = f"{module}_library"
        text = files[f"{module}.v"]
        sources = {part: files[part] for part in parts}
        folder = _library(name, module, sources, values, cache, environment)
        every[f"{module}.v"] = _shim(module, name, text)
        every[f"{name}.v"] = (folder / "model" / f"{name}.sv").read_text(encoding="utf-8")
        archives.append(str(folder / "model" / f"lib{name}.a"))
    options = (*VERILATOR_OPTIONS, *archives)
    key = content_key(every, "large", tool_version("verilator"), TOP, *archives)

    def make(folder: Path) -> None:
        request = {
            "action": "build",
            "simulator": "verilator",
            "top": TOP,
            "sources": write_sources(every, folder),
            "folder": str(folder),
            "waves": False,
            "options": options,
        }
        asked = folder / "request.json"
        asked.write_text(json.dumps(request), encoding="utf-8")
        command = [sys.executable, "-m", "gateformer.sim.rtl.build", str(asked)]
        run_tool(command, folder, environment, cache / f"{key}.log")

    return Build("verilator", TOP, cached(cache / key, make), (), False)


def _library(
    name: str,
    module: str,
    sources: Mapping[str, str],
    values: Mapping[str, int],
    cache: Path,
    environment: Mapping[str, str],
) -> Path:
    """Return the folder of a module's library."""
    key = content_key(sources, "library", tool_version("verilator"), COMPILER, name, values)

    def make(folder: Path) -> None:
        command = [
            "verilator", "--cc", "--lib-create", name, "--build", "-j", "2",
            "--top-module", module, "-Mdir", str(folder / "model"), "-MAKEFLAGS", COMPILER,
            "-CFLAGS", "-fPIC", *(f"-G{one}={value}" for one, value in values.items()),
            *VERILATOR_OPTIONS, *write_sources(sources, folder),
        ]  # fmt: skip
        run_tool(command, folder, environment, cache / f"{key}.log")

    return cached(cache / key, make)


def _shim(module: str, library: str, text: str) -> str:
    """Return a module that hands its ports to its library: the parameters are fixed in there."""
    start = text.index(f"module {module} ")
    header = text[start : text.index("\n);", start) + 4].replace("output reg ", "output wire")
    joined = ", ".join(f".{port}({port})" for port in PORT.findall(header))
    return f"{header}  {library} compiled ({joined});\nendmodule\n"
