"""What the reports of HLS compilers mean: Vitis HLS and Vivado HLS, Intel HLS.

Owns the parsers of ``<top>_csynth.xml`` (UG1399, UG902) and of Intel HLS' ``report_data.js`` and
``quartus_data.js`` (Intel HLS Compiler Pro user guide). What a compiler says before synthesis is
its estimate.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

from gateformer.toolchains.plan import Metric
from gateformer.toolchains.text import number

AREA = {"LUT": "lut", "FF": "ff", "DSP": "dsp", "DSP48E": "dsp", "URAM": "uram"}
"""Vivado HLS says DSP48E where Vitis HLS says DSP."""
CLOCKS = {
    "Best-caseLatency": "latency_cycles_best",
    "Worst-caseLatency": "latency_cycles",
    "Interval-min": "interval_cycles_best",
    "Interval-max": "interval_cycles",
}


def csynth(text: str) -> dict[str, Metric]:
    """Read ``csynth.xml``: latency, interval, estimated clock and resources.

    Raises
    ------
    ValueError
        It is no XML, or a part of it is not there.
    """
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise ValueError(f"The synthesis report is no XML: {error}") from error
    target = number(_text(root, "UserAssignments/TargetClockPeriod"))
    estimated = number(
        _text(root, "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod")
    )
    found: dict[str, Metric] = {
        "clock_ns_estimated": estimated,
        "timing_met": estimated <= target,
    }
    if version := root.findtext("ReportVersion/Version"):
        found["version"] = version.strip()
    if estimated > 0:
        found["fmax_mhz"] = round(1000 / estimated, 2)
    for tag, key in CLOCKS.items():
        said = root.findtext(f"PerformanceEstimates/SummaryOfOverallLatency/{tag}", "").strip()
        # A loop of unknown length: "undef", "?", "-" or nothing.
        found[key] = number(said) if said.isdecimal() else None
    resources = root.find("AreaEstimates/Resources")
    if resources is None:
        raise ValueError("The synthesis report has no AreaEstimates/Resources")
    for child in resources:
        if child.tag in AREA:
            found[AREA[child.tag]] = number(child.text or "")
        elif child.tag == "BRAM_18K":
            found["bram"] = number(child.text or "") / 2
    return found


def _text(root: ET.Element, path: str) -> str:
    node = root.find(path)
    if node is None or not (node.text or "").strip():
        raise ValueError(f"The synthesis report has no {path}")
    return str(node.text).strip()


def intel_estimate(text: str) -> dict[str, Metric]:
    """Read Intel HLS' ``report_data.js``: its estimate of resources.

    Raises
    ------
    ValueError
        It has no ``areaJSON`` with five totals.
    """
    total = _variable(text, "areaJSON").get("total")
    if not isinstance(total, list) or len(total) < 5:
        raise ValueError("areaJSON has no five totals")
    alut, ff, ram, dsp, mlab = (number(str(value)) for value in total[:5])
    return {"alut": alut, "ff": ff, "ram_blocks": ram, "dsp": dsp, "mlab": mlab}


def intel_fit(text: str) -> dict[str, Metric]:
    """Read Intel HLS' ``quartus_data.js``: clock and resources after Quartus placed the block.

    Raises
    ------
    ValueError
        Quartus did not run, or the file is of another form.
    """
    data = _variable(text, "quartusJSON")
    try:
        clock = str(data["quartusFitClockSummary"]["nodes"][0]["clock"])
        used = data["quartusFitResourceUsageSummary"]["nodes"][-1]
        if clock == "TBD":
            raise ValueError("Quartus has not run on the block")
        return {
            "fmax_mhz": number(clock),
            "fit_lut": number(str(used["alm"])),
            "fit_ff": number(str(used["reg"])),
            "fit_dsp": number(str(used["dsp"])),
            "fit_ram_blocks": number(str(used["ram"])),
        }
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"quartusJSON lacks {error}") from error


def _variable(text: str, name: str) -> dict[str, Any]:
    """Return the object that a script assigns to a variable."""
    _, found, rest = text.partition(f"var {name}")
    if not found:
        raise ValueError(f"There is no variable {name}")
    start = rest.find("{")
    value = json.JSONDecoder().raw_decode(rest[start:])[0] if start >= 0 else None
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    return value
