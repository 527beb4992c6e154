"""The steps of ``gateformer run``, one a file, and their order."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from gateformer.flow.step import Step

ORDER = (
    "importing:Import",
    "folding:Fold",
    "calibrating:Calibrate",
    "lowering:Lower",
    "accuracy:Accuracy",
    "vectors:Vectors",
    "scheduling:Schedule",
    "events:Events",
    "generating:Generate",
    "reading_back:ReadBack",
    "icarus:Icarus",
    "verilator:Verilator",
    "hls:Hls",
    "synth:Synth",
    "toggles:Toggles",
    "energy:ModelEnergy",
    "building:Build",
    "building:BuildHls",
    "report:Report",
)
"""Module and class of each step, in order; a step's number is its place."""


def all_steps() -> tuple[type[Step[Any]], ...]:
    """Return every step, in order."""
    found = []
    for entry in ORDER:
        module, name = entry.split(":")
        found.append(getattr(import_module(f"{__name__}.{module}"), name))
    return tuple(cast(list[type[Step[Any]]], found))
