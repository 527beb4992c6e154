"""A large memory's Verilog, compiled by Verilator with its multiply-accumulates compiled only once.

Owns ``build_large``. Imports the build cache and the tools. A device has a hundred banks and more;
flat, their multipliers are most of a model and take Verilator many minutes. So ``gf_pim_mac`` is
made a library of its own, from the same Verilog, of which each bank has an instance.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from gateformer.sim.rtl.build import VERILATOR_OPTIONS, Build, cached, content_key, write_sources
from gateformer.sim.rtl.tools import run_tool, tool_version, verilator_environment

MAC = "gf_pim_mac"
LIBRARY = f"{MAC}_library"
PARTS = (
    "gf_pim_mac.v", "gf_pim_fp32_tree.v", "gf_pim_fp32_add.v", "gf_pim_fp32_round.v",
    "gf_pim_bf16_multiply.v", "gf_pim_multiply.v", "gf_delay.v", "gf_valid_delay.v",
)  # fmt: skip
"""What the library is made of."""
COMPILER = "OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O1"


def build_large(files: Mapping[str, str], top: str, lanes: int, cache: Path) -> Build:
    """Build a simulation model on Verilator, or find it built.

    Parameters
    ----------
    files : mapping of str to str
        The memory's Verilog, of BF16 weights and ``mac_stages`` = 0.
    top : str
        The top module.
    lanes : int
        Lanes of a bank's multiply-accumulate.
    cache : Path
        Folder of finished builds.

    Raises
    ------
    ToolError
        E501, E502 or E505 where a tool is missing or fails.
    """
    environment = dict(os.environ) | verilator_environment()
    library = _library(files, lanes, cache, environment)
    shim = {f"{MAC}.v": _shim(lanes)}
    wrapper = (library / "model" / f"{LIBRARY}.sv").read_text(encoding="utf-8")
    every = {**files, **shim, f"{LIBRARY}.v": wrapper}
    options = (*VERILATOR_OPTIONS, str(library / "model" / f"lib{LIBRARY}.a"))
    key = content_key(every, "large", tool_version("verilator"), top, library.name)

    def make(folder: Path) -> None:
        request = {
            "action": "build",
            "simulator": "verilator",
            "top": top,
            "sources": write_sources(every, folder),
            "folder": str(folder),
            "waves": False,
            "options": options,
        }
        asked = folder / "request.json"
        asked.write_text(json.dumps(request), encoding="utf-8")
        command = [sys.executable, "-m", "gateformer.sim.rtl.build", str(asked)]
        run_tool(command, folder, environment, cache / f"{key}.log")

    cached(cache / key, make)
    return Build("verilator", top, cache / key, (), False)


def _library(
    files: Mapping[str, str], lanes: int, cache: Path, environment: Mapping[str, str]
) -> Path:
    """Return the folder of the library."""
    parts = {name: files[name] for name in PARTS} | {f"{LIBRARY}.v": _root(lanes)}
    key = content_key(parts, "library", tool_version("verilator"), COMPILER)

    def make(folder: Path) -> None:
        command = [
            "verilator", "--cc", "--lib-create", LIBRARY, "--build", "-j", "2",
            "--top-module", LIBRARY, "-Mdir", str(folder / "model"), "-MAKEFLAGS", COMPILER,
            "-CFLAGS", "-fPIC", *VERILATOR_OPTIONS, *write_sources(parts, folder),
        ]  # fmt: skip
        run_tool(command, folder, environment, cache / f"{key}.log")

    cached(cache / key, make)
    return cache / key


def _ports(lanes: int) -> str:
    return f"""\
  input  wire clk,
  input  wire rst,
  input  wire load,
  input  wire [31:0] bias,
  input  wire multiply,
  input  wire [{16 * lanes - 1}:0] weights,
  input  wire [{16 * lanes - 1}:0] inputs,
  output wire [31:0] sum"""


JOINED = """\
    .clk(clk), .rst(rst), .load(load), .bias(bias), .multiply(multiply), .weights(weights),
    .inputs(inputs), .sum(sum)"""


def _root(lanes: int) -> str:
    """Return the library's top."""
    return f"""\
module {LIBRARY} (
{_ports(lanes)}
);
  {MAC} #(.LANES({lanes}), .STAGES(0)) mac (
{JOINED}
  );
endmodule
"""


def _shim(lanes: int) -> str:
    """Return what takes the multiply-accumulate's place in the rest."""
    return f"""\
module {MAC} #(parameter LANES = {lanes}, parameter STAGES = 0) (
{_ports(lanes)}
);
  {LIBRARY} compiled (
{JOINED}
  );
endmodule
"""
