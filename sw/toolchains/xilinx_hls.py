"""Vitis HLS and Vivado HLS: hls4ml's own build script on the HLS project.

Owns ``VITIS_HLS`` and ``VIVADO_HLS``. Vitis 2024.1 and later have ``vitis-run`` in place of
``vitis_hls``; whichever is here is called.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateformer.toolchains import hls_reports, vivado_reports
from gateformer.toolchains.plan import Call, Metric, Plan, Report, Request
from gateformer.toolchains.registry import Toolchain

SCRIPT = "build_prj.tcl"
OPTIONS = "build_opt.tcl"
STEPS = ("reset", "csim", "synth", "cosim", "validation", "export", "vsynth", "fifo_opt")
"""What hls4ml's script can do, in the order of its own options."""
FLOWS = {
    "csynth": ("reset", "synth"),
    "ip": ("reset", "synth", "export"),
    "vsynth": ("reset", "synth", "vsynth"),
}
"""C synthesis alone; with an IP block exported; with the Verilog synthesized by Vivado."""
FAMILIES = ("xcup", "xcu", "xc7")


def vitis(request: Request) -> Plan:
    """Return what Vitis HLS would do; hls4ml's script reads its options from a file."""
    chosen = options(request.flow)
    rows = "".join(f"    {step:<10} {int(value)}\n" for step, value in chosen.items())
    newer = Call("vitis-run", ("--mode", "hls", "--tcl", SCRIPT), "Vitis HLS")
    call = Call("vitis_hls", ("-f", SCRIPT), "Vitis HLS", otherwise=newer)
    return _plan("vitis_hls", request, call, {OPTIONS: f"array set opt {{\n{rows}}}\n"})


def vivado(request: Request) -> Plan:
    """Return what Vivado HLS would do; hls4ml's script reads its options from the call."""
    chosen = " ".join(f"{step}={int(value)}" for step, value in options(request.flow).items())
    return _plan("vivado_hls", request, Call("vivado_hls", ("-f", SCRIPT, chosen), "Vivado HLS"))


def options(flow: str) -> dict[str, bool]:
    """Return every option of hls4ml's script, and whether a flow sets it."""
    return {step: step in FLOWS[flow] for step in STEPS}


def _plan(tool: str, request: Request, call: Call, more: Mapping[str, str] | None = None) -> Plan:
    project = request.project
    assert project is not None
    solution = f"{project.top}_prj/solution1"
    reports = [Report(f"{solution}/syn/report/{project.top}_csynth.xml", hls_reports.csynth)]
    if request.flow == "vsynth":
        reports.append(Report("vivado_synth.rpt", vsynth))
    return Plan(
        tool,
        {**project.files, **(more or {})},
        (call,),
        tuple(reports),
        (
            f"{solution}/syn/report/*.rpt",
            f"{solution}/syn/verilog/*",
            f"{solution}/impl/*.zip",
            f"{solution}/impl/ip/*.zip",
        ),
        request.clock_ns,
        needs=("vivado",) if request.flow == "vsynth" else (),
    )


def vsynth(text: str) -> dict[str, Metric]:
    """Read the utilization after Vivado's synthesis, apart from the HLS compiler's estimate."""
    return {f"vsynth_{key}": value for key, value in vivado_reports.utilization(text).items()}


VITIS_HLS = Toolchain(
    "vitis_hls",
    "AMD Vitis HLS: C synthesis of the hls4ml project; latency, interval, resources",
    vitis,
    FAMILIES,
    flows=tuple(FLOWS),
    strategies=("default",),
    backend="vitis",
)
VIVADO_HLS = Toolchain(
    "vivado_hls",
    "Vivado HLS: the same with Vivado 2020.1 and earlier",
    vivado,
    FAMILIES,
    flows=tuple(FLOWS),
    strategies=("default",),
    backend="vivado",
)
