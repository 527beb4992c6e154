"""What Vivado's reports mean: utilization, timing summary and power.

Owns the parsers of ``report_utilization``, ``report_timing_summary`` and ``report_power`` as
UG906 and UG907 show them, 2020.1 to 2024.2; 7 series, UltraScale+ and Versal name their rows
differently.
"""

from __future__ import annotations

import re

from gateformer.toolchains.plan import Metric
from gateformer.toolchains.text import number

ROWS = {
    "lut": ("CLB LUTs", "Slice LUTs"),
    "ff": ("CLB Registers", "Slice Registers", "Registers"),
    "bram": ("Block RAM Tile",),
    "uram": ("URAM",),
    "dsp": ("DSPs", "DSP Slices"),
}
"""Rows of the utilization report, the first that is there; an asterisk may follow the name."""

SLACKS = {"WNS(ns)": "wns_ns", "WHS(ns)": "whs_ns", "WPWS(ns)": "wpws_ns"}
"""Columns of the design's timing summary: setup, hold and pulse width."""

POWER = {
    "Total On-Chip Power (W)": "power_w",
    "Dynamic (W)": "power_dynamic_w",
    "Device Static (W)": "power_static_w",
}


def utilization(text: str) -> dict[str, Metric]:
    """Read ``report_utilization``: LUTs, registers, DSPs, 36 Kbit block RAMs, UltraRAMs, version.

    Raises
    ------
    ValueError
        LUTs or registers are not in it.
    """
    rows: dict[str, str] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.lstrip().startswith("|") and len(cells) >= 4:
            rows.setdefault(cells[0].rstrip("*"), cells[1])
    found: dict[str, Metric] = {}
    for key, names in ROWS.items():
        for name in names:
            if name in rows:
                found[key] = number(rows[name])
                break
    if version := re.search(r"^\| Tool Version\s*: \S+ v\.(\S+)", text, re.M):
        found["version"] = version[1]
    if missing := [ROWS[key][0] for key in ("lut", "ff") if key not in found]:
        raise ValueError(f"The utilization report has no row {' nor '.join(missing)}")
    return found


def timing(text: str) -> dict[str, Metric]:
    """Read ``report_timing_summary``: slacks, whether all are met, and the clock that would be.

    Raises
    ------
    ValueError
        The summary is not in it, or no clock is constrained.
    """
    found = timing_estimate(text)
    slacks = [found[key] for key in SLACKS.values() if key in found]
    met = all(isinstance(slack, int | float) and slack >= 0 for slack in slacks)
    return {**found, "timing_met": met}


def timing_estimate(text: str) -> dict[str, Metric]:
    """Read the same before placement: slacks without a verdict, since wires are guessed."""
    table = re.search(r"^\|\s*Design Timing Summary\s*$(.*?)(?:\n\s*\n\s*\n|\Z)", text, re.M | re.S)
    lines = [line for line in (table[1] if table else "").splitlines() if line.strip()]
    head = next((at for at, line in enumerate(lines) if "WNS(ns)" in line), None)
    if head is None or len(lines) < head + 3:
        raise ValueError("The timing report has no design timing summary")
    names = re.findall(r"\S+(?: \S+)*", lines[head])
    values = dict(zip(names, lines[head + 2].split(), strict=False))
    if values.get("WNS(ns)", "NA") in ("NA", "inf"):
        raise ValueError("The timing report has no path that a clock constrains")
    found: dict[str, Metric] = {
        key: number(values[name])
        for name, key in SLACKS.items()
        if values.get(name, "NA") not in ("NA", "inf")
    }
    failing = values.get("TNS Failing Endpoints")
    if failing is not None:
        found["failing_endpoints"] = number(failing)
    period, wns = _period(text), found["wns_ns"]
    if period is not None and isinstance(wns, int | float) and period > wns:
        found["fmax_mhz"] = round(1000 / (period - wns), 2)
    return found


def _period(text: str) -> float | None:
    """Return the fastest clock's period in ns, of the clock summary."""
    rows = re.findall(r"^[ \t]*\S+[ \t]+\{[\d. ]+\}[ \t]+([\d.]+)[ \t]+[\d.]+\s*$", text, re.M)
    return min(map(float, rows), default=None)


def power(text: str) -> dict[str, Metric]:
    """Read ``report_power``: total, dynamic and static power in W, and how sure Vivado is.

    Raises
    ------
    ValueError
        The total is not in it.
    """
    rows = dict(re.findall(r"^\|\s*([^|]+?)\s*\|\s*([^|]*?)\s*\|\s*$", text, re.M))
    found: dict[str, Metric] = {}
    for name, key in POWER.items():
        if name in rows:
            found[key] = number(rows[name].split()[0]) if rows[name] else None
    if found.get("power_w") is None:
        raise ValueError("The power report has no row Total On-Chip Power (W)")
    if "Confidence Level" in rows:
        found["power_confidence"] = rows["Confidence Level"].lower()
    return found
