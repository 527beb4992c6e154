"""One point after the other: trained, built as far as the study asks, and told as a row.

Owns ``run_point``, ``point_key`` and ``Place``. Imports the flow and the trainer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateformer.config.read import load
from gateformer.flow.files import digest_of
from gateformer.flow.keys import code_digest
from gateformer.flow.run import run
from gateformer.flow.steps import all_steps
from gateformer.quant.errors import GateformerError
from gateformer.study.points import Point
from gateformer.study.rows import FORMAT, Figure, Row
from gateformer.study.training import design, training_key, versions

FROM_METRICS: Mapping[str, str] = {
    "integer": "accuracy.top1_integer",
    "auc": "accuracy.integer",
    "samples": "accuracy.samples",
    "parameters": "import.parameters",
    "weight_bits": "lower.weight_bits",
    "activation_bits": "lower.activation_bits",
    "lut": "estimate.lut",
    "ff": "estimate.ff",
    "dsp": "estimate.dsp",
    "bram": "estimate.bram",
    "latency": "schedule.latency_cycles",
    "interval": "schedule.interval_cycles",
    "synth_lut": "synth.lut",
    "synth_ff": "synth.ff",
    "synth_dsp": "synth.dsp",
    "logic_ns": "synth.logic_ns",
}
"""Figure to the flow's metric."""

TARGETS = ("accuracy", "schedule")
TOOLS = ("da4ml", "pyosys")
FLOORS = ("quant", "hw", "sw/flow")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study works.

    Attributes
    ----------
    data : Path
        Simulated events.
    work : Path
        Trainings and runs; made.
    """

    data: Path
    work: Path


def point_key(point: Point, place: Place) -> str:
    """Return the hash of all that decides a point's row."""
    floors = FLOORS + (("sw/toolchains",) if point.synthesize else ())
    return digest_of(
        {
            "format": FORMAT,
            "training": training_key(point, place.data),
            "ptq": None if point.ptq is None else repr(point.ptq),
            "design": point.overrides,
            "versions": versions(TOOLS),
            "code": [code_digest(floor) for floor in floors],
        }
    )


def run_point(point: Point, key: str, place: Place, say: Callable[[str], None]) -> Row:
    """Train, import, lower and schedule a point; an error becomes the row's cause."""
    folder = place.work / point.study / point.slug
    folder.mkdir(parents=True, exist_ok=True)
    try:
        made = design(point, place.data, place.work, folder, say)
        targets = (*TARGETS, *(("synth",) if point.synthesize else ()))
        result = run(load(made, point.overrides), all_steps(), folder / "run", targets)
        if result.error is not None:
            raise result.error
    except GateformerError as error:
        return Row(point.variant, point.bits, point.seed, key, failed=str(error))
    figures: dict[str, Figure] = {
        name: _plain(result.metrics.get(metric)) for name, metric in FROM_METRICS.items()
    }
    figures |= {"right": _right(folder / "run"), **_framework(place, point, folder / "run")}
    return Row(point.variant, point.bits, point.seed, key, figures=figures)


def _right(folder: Path) -> Figure:
    """Return which test samples the integers tell, as bits in hex; None without classes."""
    with np.load(next(folder.glob("*-accuracy/outputs.npz")), allow_pickle=False) as outputs:
        if "labels" not in outputs or outputs["integer"].shape[1] < 2:
            return None
        right = outputs["integer"].argmax(1) == outputs["labels"]
    return str(np.packbits(right).tobytes().hex())


def _framework(place: Place, point: Point, folder: Path) -> dict[str, Figure]:
    """Return what the framework reached, and in how many samples the integers say the same."""
    from gateformer.study.training import trained

    made = trained(point, place.data, place.work, lambda line: None)
    facts = json.loads((made / "training.json").read_text("utf-8"))
    found: dict[str, Figure] = {"float": facts["float"], "framework": None, "agreement": None}
    if point.ptq is not None:
        return found
    with (
        np.load(made / "data.npz", allow_pickle=False) as data,
        np.load(next(folder.glob("*-accuracy/outputs.npz")), allow_pickle=False) as outputs,
    ):
        same = data["y_framework"].argmax(1) == outputs["integer"].argmax(1)
    return found | {"framework": facts["quantized"], "agreement": float(same.mean())}


def _plain(value: object) -> Figure:
    return value if isinstance(value, int | float | str) else None
