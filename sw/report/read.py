"""What a run left in its folder, as far as it is there: absent or damaged parts read as empty.

Owns ``Run``. Imports the names of the flow's steps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.flow.state import METRICS, RECORD, keys_of, read_metrics
from gateformer.flow.steps import all_steps
from gateformer.quant.errors import RunError

Array = NDArray[Any]
CONFIG = "config.resolved.toml"
_FOLDER = re.compile(r"\d+-(\w+)")
_NUMBERS = re.compile(
    r"(schedule|events|simulate\.\w+)\.(?!skipped)\w+|(estimate|synth)\.(lut|ff|dsp|bram|logic_ns)"
    r"|(activity|energy)\.\w+_(j|w|rate)|activity\.(frames|clocks)"
    r"|accuracy\.(float|integer|ratio|samples|argmax_agreement)"
)
"""Metrics that the report reads as numbers."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of the run.

    Attributes
    ----------
    name : str
        The step.
    status : str
        ``done``, ``failed`` or ``not run``.
    seconds : float or None
        How long it took when it was made.
    note : str
        What it found, or why it was not run.
    """

    name: str
    status: str
    seconds: float | None
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run as the report sees it.

    Attributes
    ----------
    folder : Path
        Where it is.
    metrics : mapping of str to number, text or None
        ``metrics.json``.
    steps : tuple of StepRow
        In the flow's order.
    layers : list of mapping
        The model's layers.
    types : mapping of str to str
        Type of each value of the integer graph.
    notes : list of mapping
        Choices that passes made.
    errors : list of mapping
        Error of each value against float.
    design : mapping
        The schedule; empty where there is none.
    modules : list of mapping
        What yosys counted.
    energy : list of mapping
        Items of a frame's energy.
    outputs : mapping of str to ndarray
        ``float``, ``integer`` and, where there are any, ``labels``.
    config : str
        The resolved configuration.
    """

    folder: Path
    metrics: Mapping[str, Any]
    steps: tuple[StepRow, ...]
    layers: list[dict[str, Any]] = field(default_factory=list)
    types: Mapping[str, str] = field(default_factory=dict)
    notes: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    design: Mapping[str, Any] = field(default_factory=dict)
    modules: list[dict[str, Any]] = field(default_factory=list)
    energy: list[dict[str, Any]] = field(default_factory=list)
    outputs: Mapping[str, Array] = field(default_factory=dict)
    config: str = ""

    @property
    def clock_ns(self) -> float:
        """The clock period, from the configuration."""
        found = re.search(r"^clock_ns = ([\d.]+)", self.config, re.MULTILINE)
        return float(found[1]) if found else 5.0

    def why_not(self, step: str) -> str:
        """Return why a step left nothing."""
        return next((row.note for row in self.steps if row.name == step), "it is no step") or (
            "it left nothing"
        )


def read(folder: Path) -> Run:
    """Read a run's folder.

    Raises
    ------
    RunError
        E703 where the folder is no run, E705 where its metrics are damaged.
    """
    metrics = read_metrics(folder)
    for name, value in metrics.items():
        if _NUMBERS.fullmatch(name) and not isinstance(value, int | float | None):
            raise RunError(
                "E705", "damaged run folder", layer=str(folder / METRICS),
                cause=f"'{name}' is no number",
            )  # fmt: skip
    keys = keys_of(folder)
    places = {
        found[1]: path
        for path in sorted(folder.iterdir())
        if path.is_dir()
        and (found := _FOLDER.fullmatch(path.name))
        and (keys is None or _is_of(path, keys.get(found[1])))
    }

    def listed(step: str, name: str) -> list[dict[str, Any]]:
        found = _json(places.get(step), name)
        return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []

    def table(step: str, name: str) -> dict[str, Any]:
        found = _json(places.get(step), name)
        return found if isinstance(found, dict) else {}

    config = folder / CONFIG
    return Run(
        folder=folder,
        metrics=metrics,
        steps=tuple(
            _step(step.name, places.get(step.name), metrics)
            for step in all_steps()
            if step.name != "report"
        ),
        layers=listed("import", "layers.json"),
        types={str(k): str(v) for k, v in table("lower", "types.json").items()},
        notes=listed("fold", "notes.json") + listed("lower", "notes.json"),
        errors=listed("calibrate", "errors.json"),
        design=_whole(table("schedule", "design.json")),
        modules=listed("synth", "modules.json"),
        energy=listed("energy", "items.json"),
        outputs=_arrays(places.get("accuracy")),
        config=config.read_text("utf-8", errors="replace") if config.is_file() else "",
    )


def _is_of(folder: Path, key: str | None) -> bool:
    """Whether the last run took a step's folder; an earlier one may have left it."""
    record = _json(folder, RECORD)
    return isinstance(record, dict) and key is not None and record.get("key") == key


def _whole(design: dict[str, Any]) -> dict[str, Any]:
    """Return a schedule that has all that the report reads, or an empty one."""
    try:
        for port in design["inputs"]:
            _ = str(port["value"]), int(port["tokens"]) // int(port["lanes"])
        for stage in design["stages"]:
            _ = str(stage["name"]), int(stage["offset"]), int(stage["beats"]), stage["paced"]
            _ = [(one["source"], one["kind"]) for one in stage["links"]]
        return design if int(design["beat_interval"]) > 0 and design["inputs"] else {}
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return {}


def _json(folder: Path | None, name: str) -> object:
    if folder is None:
        return None
    try:
        return json.loads((folder / name).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _arrays(folder: Path | None) -> dict[str, Array]:
    if folder is None:
        return {}
    try:
        with np.load(folder / "outputs.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError):
        return {}


def _step(name: str, folder: Path | None, metrics: Mapping[str, Any]) -> StepRow:
    skipped = metrics.get(f"{name}.skipped")
    if skipped is not None:
        return StepRow(name, "not run", None, str(skipped))
    record = _json(folder, RECORD)
    if not isinstance(record, dict):
        return StepRow(name, "not run", None, "the run ended before it, or did not ask for it")
    status = "failed" if record.get("failed") else "done"
    seconds = record.get("seconds")
    took = float(seconds) if isinstance(seconds, int | float) else None
    return StepRow(name, status, took, str(record.get("note") or ""))
