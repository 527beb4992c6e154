"""Quartus: the RTL as a project, compiled with virtual pins.

Owns ``QUARTUS``. The project's Tcl is edalize's; settings and constraints beside it are ours.
"""

from __future__ import annotations

from functools import partial

from gateformer.hw.rtl.vhdl import ports_of, wrapper
from gateformer.quant.version import __version__
from gateformer.toolchains import quartus_reports as reports
from gateformer.toolchains.edalize_projects import quartus_project
from gateformer.toolchains.plan import Call, Plan, Report, Request
from gateformer.toolchains.registry import Toolchain
from gateformer.toolchains.text import fill
from gateformer.toolchains.yosys_sources import closure

FAMILIES = {"arria10": "Arria 10", "cyclonev": "Cyclone V"}
"""Our names of families and Intel's."""
STRATEGIES = {
    "default": "BALANCED",
    "performance": "AGGRESSIVE PERFORMANCE",
    "area": "AGGRESSIVE AREA",
}
"""Quartus' optimization modes."""


def plan(request: Request) -> Plan:
    """Return what Quartus would do.

    Parameters
    ----------
    request : Request
        With RTL. Flow ``ooc``: the bare top; ``axi``: the AXI4-Stream top; ``vhdl``: the VHDL
        entity around that.
    """
    assert request.rtl is not None
    module = request.rtl.core if request.flow == "ooc" else request.rtl.top
    inside = closure(request.rtl.files, module)
    files = {f"rtl/{name}": text for name, text in inside.items()}
    top, name = module, request.name
    if request.flow == "vhdl":
        top = f"{module}_vhdl"
        files[f"rtl/{module}.vhd"] = wrapper(module, inside[f"{module}.v"])
    ports = [
        port.name if port.width is None else f"{port.name}[*]"
        for port in ports_of(module, inside[f"{module}.v"])
        if port.name != "clk"
    ]
    values = {
        "top": top,
        "period": f"{request.clock_ns:.3f}",
        "mhz": f"{1000 / request.clock_ns:.6g}",
        "threads": request.jobs,
        "version": __version__,
        "mode": STRATEGIES[request.strategy],
        "ports": ports,
    }
    family = FAMILIES[request.device.family]
    sources = sorted(files)
    files["clock.sdc"] = fill("clock.sdc", **values)
    files["settings.tcl"] = fill("quartus_settings.tcl", **values)
    files[f"{name}.tcl"] = quartus_project(name, top, family, request.part, sources)
    return Plan(
        "quartus",
        files,
        (
            Call("quartus_sh", ("-t", f"{name}.tcl"), "Quartus project"),
            Call("quartus_sh", ("--flow", "compile", name), "Quartus"),
        ),
        (
            Report(f"reports/{name}.fit.summary", partial(reports.fit, request.device.family)),
            Report(f"reports/{name}.sta.summary", partial(reports.timing, request.clock_ns)),
            Report(f"reports/{name}.pow.summary", reports.power, required=False),
        ),
        ("reports/*.rpt", "reports/*.sof"),
        request.clock_ns,
    )


QUARTUS = Toolchain(
    "quartus",
    "Intel Quartus: synthesis, placement, routing; utilization, timing, power",
    plan,
    families=tuple(FAMILIES),
    flows=("ooc", "axi", "vhdl"),
    strategies=tuple(STRATEGIES),
)
