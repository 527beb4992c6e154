"""Events: the pipeline replayed event by event, which must take the schedule's clocks."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from gateformer.flow.files import write_whole
from gateformer.flow.step import Metric, Outcome, Step, View
from gateformer.flow.steps.scheduling import Schedule
from gateformer.quant.errors import MismatchError
from gateformer.sim.dataflow import Clocks

FRAMES = 20
"""Frames sent back to back."""


class Events(Step[Clocks]):
    """Simulates the schedule."""

    name = "events"
    needs = (Schedule,)
    floors = ("hw", "sim")
    uses = ("schedule.clock_ns",)

    def make(self, view: View) -> Clocks:
        """Return what the event simulation showed."""
        from gateformer.sim.dataflow import simulate_clocks

        return simulate_clocks(view.get(Schedule).design, FRAMES)

    def write(self, view: View, product: Clocks, folder: Path) -> Outcome:
        """Write when each stage works, and compare the clocks with the schedule's."""
        from gateformer.sim.trace import chrome_trace, critical_path

        planned, clock_ns = view.get(Schedule).design, view.config.schedule.clock_ns
        spans = {stage: clocks.tolist() for stage, clocks in product.spans.items()}
        path = [asdict(part) for part in critical_path(planned, product)]
        text = json.dumps({"spans": spans, "critical_path": path})
        write_whole(folder / "timeline.json", text + "\n")
        trace = json.dumps(chrome_trace(planned, product, clock_ns))
        write_whole(folder / "trace.json", trace + "\n")
        metrics: dict[str, Metric] = {
            "events.latency_cycles": product.latency_cycles,
            "events.interval_cycles": product.interval_cycles,
        }
        error = clocks_error(
            "the event simulator",
            (product.latency_cycles, product.interval_cycles),
            (planned.latency_cycles, planned.interval_cycles),
        )
        if error is None and product.problems:
            cause = "; ".join(product.problems[:3])
            error = MismatchError(
                "E402", "the schedule contradicts itself", layer="the event simulator", cause=cause
            )
        told = f"latency {product.latency_cycles}, interval {product.interval_cycles} cycles"
        return Outcome(metrics, told, error)


def clocks_error(
    who: str, found: tuple[int | None, int | None], planned: tuple[int, int]
) -> MismatchError | None:
    """Return the error where a simulation's latency or interval is not the schedule's."""
    names = ("latency", "interval")
    wrong = [
        f"{name} {one} in place of {other} cycles"
        for name, one, other in zip(names, found, planned, strict=True)
        if one is not None and one != other
    ]
    if not wrong:
        return None
    return MismatchError(
        "E402", "simulated clocks differ from the schedule", layer=who, cause=", ".join(wrong)
    )
