"""Activity: how often the nets of the RTL toggle while frames stream through it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np

from gateformer.config.schema import Config
from gateformer.flow.cache import cache_folder
from gateformer.flow.files import write_whole
from gateformer.flow.step import Metric, Off, Outcome, Step, View, switched_off
from gateformer.flow.steps.generating import Generate
from gateformer.flow.steps.scheduling import Schedule
from gateformer.flow.steps.simulating import verdict
from gateformer.flow.steps.vectors import Frames, Vectors
from gateformer.quant.errors import GateformerError, ToolError
from gateformer.sim.rtl.activity import KINDS, Activity, Count, Instance
from gateformer.sim.rtl.nets import Kind

FILE = "activity.json"
WORDS: tuple[tuple[Kind, str], ...] = (("register", "registers"), ("logic", "gates' outputs"))


class Toggles(Step[Activity]):
    """Counts toggles."""

    name = "activity"
    needs = (Schedule, Vectors, Generate)
    floors = ("quant", "hw", "sim")
    uses = ("activity",)

    def __init__(self) -> None:
        self.error: GateformerError | None = None

    def off(self, config: Config) -> Off | None:
        """Return why it is left out."""
        from gateformer.sim.rtl.tools import verilator_environment

        missing: ToolError | None = None
        try:
            verilator_environment()
        except ToolError as error:
            missing = error
        return switched_off(config.activity.enabled, self.name, missing)

    def make(self, view: View) -> Activity:
        """Return the counts."""
        from gateformer.sim.rtl.activity import activity, frames_to_send

        design = view.get(Schedule).design
        frames = repeated(view.get(Vectors), frames_to_send(design, view.config.activity.frames))
        found, result = activity(
            design, view.get(Generate).files, frames.inputs, frames.outputs,
            work=view.scratch, cache=cache_folder(view.config, "builds"),
        )  # fmt: skip
        self.error = verdict("Verilator, counting toggles", result, design)
        return found

    def write(self, view: View, product: Activity, folder: Path) -> Outcome:
        """Write the counts of each instance, and the whole design's rates."""
        write_whole(folder / FILE, json.dumps(asdict(product), indent=1) + "\n")
        metrics: dict[str, Metric] = {
            "activity.frames": product.frames,
            "activity.clocks": product.clocks,
            "activity.data": "real" if view.get(Vectors).real else "drawn",
        }
        for kind in KINDS:
            count = product.count(kind)
            metrics[f"activity.{kind}_bits"] = count.bits
            metrics[f"activity.{kind}_rate"] = round(count.rate(product.clocks), 4)
        words = f"{product.frames} {metrics['activity.data']} frames back to back: "
        words += ", ".join(
            f"{100 * product.count(kind).rate(product.clocks):.1f} % of {name} toggle a clock"
            for kind, name in WORDS
        )
        return Outcome(metrics, words, self.error)

    def load(self, view: View, folder: Path) -> Activity:
        """Read the counts."""
        tree = json.loads((folder / FILE).read_text("utf-8"))
        instances = tuple(
            Instance(
                row["path"],
                row["module"],
                {cast(Kind, k): Count(**count) for k, count in row["counts"].items()},
            )
            for row in tree["instances"]
        )
        return Activity(tree["frames"], tree["clocks"], instances)


def repeated(frames: Frames, count: int) -> Frames:
    """Return so many frames: real ones where there are any, again and again."""
    rows = np.arange(count) % (frames.real or len(frames))
    return Frames(
        {name: array[rows] for name, array in frames.inputs.items()},
        {name: array[rows] for name, array in frames.outputs.items()},
        count if frames.real else 0,
    )
