"""Intel HLS: hls4ml's own Makefile on the HLS project, and Quartus on what it makes.

Owns ``QUARTUS_HLS``.
"""

from __future__ import annotations

from gateformer.toolchains import hls_reports as reports
from gateformer.toolchains.plan import Call, Plan, Report, Request
from gateformer.toolchains.registry import Toolchain

FLOWS = ("csynth", "fit")
"""The compiler alone, with its estimate; with Quartus' placement of the block."""


def plan(request: Request) -> Plan:
    """Return what Intel HLS would do."""
    project = request.project
    assert project is not None
    target = f"{project.name}-fpga"
    fitted = ("QUARTUS_COMPILE=--quartus-compile",) if request.flow == "fit" else ()
    folder = f"{target}.prj/reports/lib"
    found = [Report(f"{folder}/report_data.js", reports.intel_estimate)]
    if request.flow == "fit":
        found.append(Report(f"{folder}/quartus_data.js", reports.intel_fit))
    return Plan(
        "quartus_hls",
        project.files,
        (Call("make", (target, *fitted), "Intel HLS"),),
        tuple(found),
        (f"{target}.prj/reports/**/*", f"{target}.prj/components/**/*.v"),
        request.clock_ns,
        needs=("i++", "quartus_sh") if request.flow == "fit" else ("i++",),
    )


QUARTUS_HLS = Toolchain(
    "quartus_hls",
    "Intel HLS: the hls4ml project; resources, and with Quartus the clock",
    plan,
    families=("arria10", "cyclonev"),
    flows=FLOWS,
    strategies=("default",),
    backend="quartus",
)
