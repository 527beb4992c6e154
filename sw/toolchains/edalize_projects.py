"""Vendor projects that edalize writes: sources, constraints, part and top as the vendor's Tcl.

Owns ``vivado_project`` and ``quartus_project``. What edalize has no word for (out-of-context
builds, strategies, reports) stands in scripts of our own beside these.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateformer.quant.errors import ToolError

KINDS = {
    ".v": "verilogSource",
    ".vhd": "vhdlSource",
    ".xdc": "xdc",
    ".sdc": "SDC",
    ".tcl": "tclSource",
}
"""edalize's types of files, by suffix."""


def vivado_project(name: str, top: str, part: str, sources: Iterable[str]) -> str:
    """Return the Tcl that makes a Vivado project of sources and ``clock.xdc``.

    Parameters
    ----------
    name, top, part : str
        The project, its top module, the vendor's number of the device.
    sources : iterable of str
        Paths, relative to the project's folder.

    Raises
    ------
    ToolError
        E505 without edalize.
    """
    _need()
    from edalize.flows.vivado import Vivado

    edam = _edam(name, top, [*sources, "clock.xdc"])
    edam["flow_options"] = {"part": part, "synth": "vivado", "pnr": "vivado"}
    with tempfile.TemporaryDirectory() as folder:
        Vivado(edam, folder).configure()
        return _tidy(Path(folder, f"{name}.tcl").read_text("utf-8"))


def quartus_project(name: str, top: str, family: str, device: str, sources: Iterable[str]) -> str:
    """Return the Tcl that makes a Quartus project of sources, ``clock.sdc`` and ``settings.tcl``.

    Parameters
    ----------
    name, top : str
        The project and its top module.
    family, device : str
        Intel's names, such as ``Arria 10`` and ``10AX115N2F40E2LG``.
    sources : iterable of str
        Paths, relative to the project's folder.

    Raises
    ------
    ToolError
        E505 without edalize.
    """
    _need()
    from edalize.edatool import Edatool
    from edalize.quartus import Quartus

    edam = _edam(name, top, [*sources, "clock.sdc", "settings.tcl"])
    edam["tool_options"] = {"quartus": {"family": family, "device": device}}
    with tempfile.TemporaryDirectory() as folder:
        # Its own constructor would call quartus_sh for the edition, which this Tcl does not need.
        project = Quartus.__new__(Quartus)
        Edatool.__init__(project, edam, folder)
        project.configure()
        return _tidy(Path(folder, f"{name}.tcl").read_text("utf-8"))


def _edam(name: str, top: str, paths: Iterable[str]) -> dict[str, Any]:
    """Return edalize's description of a project."""
    files = [{"name": path, "file_type": KINDS[Path(path).suffix]} for path in paths]
    return {"name": name, "toplevel": top, "files": files}


def _need() -> None:
    if find_spec("edalize") is None:
        raise ToolError(
            "E505",
            "Python package not installed",
            layer="edalize",
            cause="It writes the vendor's project",
            fix="pip install -e '.[build]'",
        )


def _tidy(text: str) -> str:
    """Return a script without the blank lines that its template leaves."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines() if line.strip())
