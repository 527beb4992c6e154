"""What Quartus' summaries mean: fitter, timing analyzer and power analyzer.

Owns the parsers of ``<project>.fit.summary``, ``.sta.summary`` and ``.pow.summary``: lines of
``name : value``, alike in the Lite, Standard and Pro editions.
"""

from __future__ import annotations

import re

from gateformer.toolchains.plan import Metric
from gateformer.toolchains.text import number

RAM_KBIT = {"arria10": 20, "cyclonev": 10}
"""Kbit of a block RAM by family: M20K and M10K."""
KINDS = {"Setup": "wns_ns", "Hold": "whs_ns", "Minimum Pulse Width": "wpws_ns"}
WATTS = {"W": 1.0, "mW": 1e-3}


def fit(family: str, text: str) -> dict[str, Metric]:
    """Read ``.fit.summary``: ALMs, registers, DSP blocks, block RAMs.

    Parameters
    ----------
    family : str
        A key of `RAM_KBIT`.
    text : str
        The file.

    Raises
    ------
    ValueError
        The fitter did not end well, or ALMs or registers are not in it.
    """
    rows = dict(re.findall(r"^([^:\n]+?) : (.+?)\s*$", text, re.M))
    status = rows.get("Fitter Status", "missing")
    if not status.startswith("Successful"):
        raise ValueError(f"The fitter's status is {status}")
    names = {
        "lut": ("Logic utilization (in ALMs)",),
        "ff": ("Total registers", "Total dedicated logic registers"),
        "dsp": ("Total DSP Blocks",),
        "ram_blocks": ("Total RAM Blocks",),
    }
    found: dict[str, Metric] = {}
    for key, rows_of in names.items():
        said = next((rows[name] for name in rows_of if name in rows), None)
        if said is not None:
            found[key] = number(said.split("/")[0])
        elif key in ("lut", "ff"):
            raise ValueError(f"The fitter's summary has no row {rows_of[0]}")
    if said := rows.get("Quartus Prime Version"):
        found["version"] = said.split()[0]
    blocks = found.get("ram_blocks")
    if isinstance(blocks, int | float):
        found["bram"] = round(blocks * RAM_KBIT[family] / 36, 2)
    return found


def timing(clock_ns: float, text: str) -> dict[str, Metric]:
    """Read ``.sta.summary``: the worst slacks over all models, and the clock that would be met.

    Parameters
    ----------
    clock_ns : float
        The clock's period.
    text : str
        The file.

    Raises
    ------
    ValueError
        No setup slack is in it.
    """
    entries = re.findall(r"^Type\s*:\s*(.+?)\s*$\s*^Slack\s*:\s*(\S+)\s*$", text, re.M)
    every = [(f" {kind}", number(said)) for kind, said in entries]
    slacks = {
        key: min(here)
        for name, key in KINDS.items()
        if (here := [slack for kind, slack in every if f" {name} '" in kind])
    }
    if "wns_ns" not in slacks:
        raise ValueError("The timing summary has no setup slack of a clock")
    found: dict[str, Metric] = {**slacks}
    found["timing_met"] = all(slack >= 0 for _, slack in every)
    if clock_ns > slacks["wns_ns"]:
        found["fmax_mhz"] = round(1000 / (clock_ns - slacks["wns_ns"]), 2)
    return found


def power(text: str) -> dict[str, Metric]:
    """Read ``.pow.summary``: the total power in W.

    Raises
    ------
    ValueError
        It is not in it.
    """
    total = re.search(r"^Total Thermal Power Dissipation\s*:\s*([\d.,]+)\s*(m?W)\s*$", text, re.M)
    if total is None:
        raise ValueError("The power summary has no Total Thermal Power Dissipation")
    return {"power_w": round(number(total[1]) * WATTS[total[2]], 6)}
