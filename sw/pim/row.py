"""One simulation as one row of numbers, for sweeps and tables.

Owns ``row``. Imports the simulation where it runs, so that a process starts quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateformer.pim.options import named
from gateformer.quant.errors import GateformerError


def row(point: Mapping[str, Any]) -> dict[str, Any]:
    """Simulate and return the settings with what came out; what refused it is its ``error``.

    Parameters
    ----------
    point : mapping
        ``model``, and what ``simulate`` takes.
    """
    from gateformer.sim.pim import simulate

    settings = {key: value for key, value in point.items() if key != "model"}
    try:
        found = named(simulate, point["model"], **settings)
    except GateformerError as error:
        return {**point, **dict.fromkeys(NUMBERS), "error": error}
    whole = found.as_dict()
    power = whole["energy"].get(whole["default_energy"] or "", {})
    numbers = {key: whole[key] for key in NUMBERS if key in whole}
    numbers |= {key: power.get(key) for key in ("mj_per_token", "average_watts", "peak_watts")}
    made = {"channels": whole["channels"]} | {key: numbers.get(key) for key in NUMBERS}
    return {**point, **made, "error": None}


NUMBERS = (
    "clocks", "seconds", "ms_per_token", "first_token_ms", "last_token_ms", "row_hit_rate",
    "mac_utilization", "mac_bound", "binding_constraint", "other_share", "link_bytes_per_token",
    "traffic_cut", "external_share", "internal_share", "mj_per_token", "average_watts",
    "peak_watts",
)  # fmt: skip
"""Columns beside the settings."""
