"""Vivado: the RTL out of context, or a project with the AXI4-Stream top packaged as an IP block.

Owns ``VIVADO``. Scripts are Tcl of Vivado 2020.1 to 2024.2, from ``templates/``; the project of
the ``axi`` flow is edalize's.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.hw.rtl.vhdl import wrapper
from gateformer.quant.version import __version__
from gateformer.toolchains import vivado_reports as reports
from gateformer.toolchains.edalize_projects import vivado_project
from gateformer.toolchains.plan import Call, Plan, Report, Request
from gateformer.toolchains.registry import Toolchain
from gateformer.toolchains.text import fill
from gateformer.toolchains.yosys_sources import closure

MOST_THREADS = 8
"""Vivado takes no more on every platform (UG904)."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """Directives of each step, as UG901 and UG904 list them.

    Attributes
    ----------
    synth, opt, place, phys_opt, route : str
        Of ``synth_design``, ``opt_design`` and so on.
    post_route : str
        Of physical optimization after routing; empty for none.
    """

    synth: str = "Default"
    opt: str = "Default"
    place: str = "Default"
    phys_opt: str = "Default"
    route: str = "Default"
    post_route: str = ""


STRATEGIES = {
    "default": Strategy(),
    "performance": Strategy(
        "PerformanceOptimized",
        "Explore",
        "ExtraTimingOpt",
        "AggressiveExplore",
        "AggressiveExplore",
        "AggressiveExplore",
    ),
    "area": Strategy("AreaOptimized_high", "ExploreArea"),
    "runtime": Strategy(*["RuntimeOptimized"] * 5),
}
"""How hard Vivado is told to try, for what."""


def plan(request: Request) -> Plan:
    """Return what Vivado would do.

    Parameters
    ----------
    request : Request
        With RTL. Flow ``ooc``: the bare top, placed and routed by itself; ``synth``: the same,
        synthesized alone; ``axi``: a project of the AXI4-Stream top, and an IP block of it;
        ``vhdl``: the same of the VHDL entity around that top.
    """
    assert request.rtl is not None and request.design is not None
    project = request.flow in ("axi", "vhdl")
    top = module = request.rtl.top if project else request.rtl.core
    inside = closure(request.rtl.files, module)
    files = {f"rtl/{name}": text for name, text in inside.items()}
    if request.flow == "vhdl":
        top = f"{module}_vhdl"
        files[f"rtl/{module}.vhd"] = wrapper(module, inside[f"{module}.v"])
    sources = sorted(files)
    values = {
        "top": top,
        "part": request.part,
        "period": f"{request.clock_ns:.3f}",
        "mhz": f"{1000 / request.clock_ns:.6g}",
        "threads": min(request.jobs, MOST_THREADS),
        "version": __version__,
        "sources": sources,
        "strategy": STRATEGIES[request.strategy],
        "route": request.flow == "ooc",
        "streams": [port.name for port in (*request.design.inputs, *request.design.outputs)],
        "display": f"gateformer {request.name}",
    }
    files["clock.xdc"] = fill("clock.xdc", **values)
    files["build.tcl"] = fill("vivado_axi.tcl" if project else "vivado_ooc.tcl", **values)
    if project:
        files["project.tcl"] = vivado_project(request.name, top, request.part, sources)
    arguments = ("-mode", "batch", "-notrace", "-nojournal", "-nolog", "-source", "build.tcl")
    return Plan(
        "vivado",
        files,
        (Call("vivado", arguments, "Vivado"),),
        (
            Report("reports/utilization.rpt", reports.utilization),
            Report(
                "reports/timing_summary.rpt",
                reports.timing_estimate if request.flow == "synth" else reports.timing,
            ),
            Report("reports/power.rpt", reports.power, required=False),
            Report("reports/hierarchy.rpt", lambda text: {}, required=False),
        ),
        ("*.dcp", "ip/**/*"),
        request.clock_ns,
    )


VIVADO = Toolchain(
    "vivado",
    "AMD Vivado: synthesis, placement, routing; utilization, timing, power",
    plan,
    families=("xcup", "xcu", "xc7"),
    flows=("ooc", "axi", "vhdl", "synth"),
    strategies=tuple(STRATEGIES),
)
