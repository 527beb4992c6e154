"""What the open tools' reports mean: nextpnr's JSON report and yosys' cell counts.

Owns ``ecp5``, ``gowin`` and ``cells``. Imports nothing of gateformer but the metrics' type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from gateformer.toolchains.plan import Metric

ECP5 = {"TRELLIS_COMB": "lut", "TRELLIS_FF": "ff", "MULT18X18D": "dsp", "ALU54B": "alu54"}
"""Cells as nextpnr counts them; a TRELLIS_COMB is one LUT4, in a carry chain or not."""
GOWIN_MULTIPLIERS = {"MULT18X18": 1.0, "MULT9X9": 0.5, "MULTADDALU18X18": 2.0,
                     "MULTALU18X18": 1.0, "MULT36X36": 4.0, "MULT12X12": 0.5,
                     "MULTALU27X18": 1.0, "MULTADDALU12X12": 1.0}  # fmt: skip
"""18 x 18 multipliers that a cell takes."""


def ecp5(text: str) -> dict[str, Metric]:
    """Read ``nextpnr-ecp5 --report``: LUT4s, flip-flops, multipliers, memories, Fmax.

    Raises
    ------
    ValueError
        It is no such report.
    """
    report = _object(text)
    used = _used(report)
    metrics: dict[str, Metric] = {name: used.get(cell, 0) for cell, name in ECP5.items()}
    metrics["ebr"] = used.get("DP16KD", 0)
    metrics["bram"] = used.get("DP16KD", 0) / 2
    return {**metrics, **_timing(report)}


def gowin(text: str) -> dict[str, Metric]:
    """Read ``nextpnr-himbaechel --report``.

    What it says of the clock is kept under other names: its data base has no times of the
    multipliers, so that no frequency of a design with them is known.

    Raises
    ------
    ValueError
        It is no such report.
    """
    report = _object(text)
    used = _used(report)
    products = sum(count * used.get(cell, 0) for cell, count in GOWIN_MULTIPLIERS.items())
    metrics: dict[str, Metric] = {
        "lut": used.get("LUT4", 0) + used.get("ALU", 0),
        "alu": used.get("ALU", 0),
        "ff": used.get("DFF", 0),
        "dsp": math.ceil(products),
        "bsram": used.get("BSRAM", 0),
        "bram": used.get("BSRAM", 0) / 2,
    }
    timing = _timing(report)
    if not products:
        return {**metrics, **timing}
    return {**metrics, "fmax_without_multipliers_mhz": timing["fmax_mhz"]}


def cells(text: str) -> dict[str, Metric]:
    """Read ``stat -json``: what yosys mapped the design to, by cell.

    Raises
    ------
    ValueError
        It is no such report.
    """
    report = _object(text)
    found = _mapping(_mapping(report, "design"), "num_cells_by_type")
    return {
        f"cells.{name}": int(count)
        for name, count in sorted(found.items())
        if not name.startswith("$")
    }


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _mapping(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = report.get(name)
    if not isinstance(found, dict):
        raise ValueError(f"it has no '{name}'")
    return found


def _used(report: Mapping[str, Any]) -> dict[str, int]:
    table = _mapping(report, "utilization")
    try:
        return {name: int(row["used"]) for name, row in table.items()}
    except (KeyError, TypeError, ValueError):
        raise ValueError("its 'utilization' has a row without a number of what is used") from None


def _timing(report: Mapping[str, Any]) -> dict[str, Metric]:
    """Return the clock that is nearest to its limit, or farthest beyond."""
    clocks = []
    for row in _mapping(report, "fmax").values():
        try:
            achieved, wanted = float(row["achieved"]), float(row["constraint"])
        except (KeyError, TypeError, ValueError):
            raise ValueError("its 'fmax' has a row without two frequencies") from None
        if not (math.isfinite(achieved) and math.isfinite(wanted) and min(achieved, wanted) > 0):
            raise ValueError("its 'fmax' has a frequency that is none")
        clocks.append((1000 / wanted - 1000 / achieved, achieved))
    if not clocks:
        raise ValueError("its 'fmax' has no clock")
    slack, achieved = min(clocks)
    return {
        "fmax_mhz": round(achieved, 2),
        "wns_ns": round(slack, 3),
        "timing_met": slack >= 0,
    }
