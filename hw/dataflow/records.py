"""What the rest of the project sees of a stage: its record in the design.

Owns ``records``. Imports facts, costs and the stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from gateformer.hw.dataflow import costing
from gateformer.hw.dataflow.classify import Facts
from gateformer.hw.dataflow.design import Cost, Link, Stage
from gateformer.hw.dataflow.stages import AccumulateStage, DotStage, GatherStage, HwStage, MacStage
from gateformer.quant.graph import Graph

Pace = Literal["input", "frame"]
"""What a stream's beats follow: the input's, or a frame's last one."""


def records(facts: Facts, stage: HwStage, interval: int, paces: Mapping[str, Pace]) -> list[Stage]:
    """The outside view of a stage: one record for each value that it makes."""
    links = [Link(f.value, "stream", f.delay, f.depth) for f in stage.feeds]
    kind: Literal["stream", "gather", "reduce"] = "stream"
    reference = stage.start
    if isinstance(stage, DotStage):
        links += [Link(k.value, "frame", k.delay, k.depth) for k in stage.keys]
        kind = "gather"
        reference = stage.key_start
    elif (
        isinstance(stage, GatherStage)
        or (isinstance(stage, MacStage) and stage.parts.beats > 1)
        or (isinstance(stage, AccumulateStage) and stage.tokens)
    ):
        kind = "reduce"
        if stage.paced == "frame":
            beats = facts.beats(stage.feeds[0].value)
            reference = stage.start + (beats - 1) * interval
    cost, multipliers = costing.stage_cost(facts.graph, facts, stage)
    found = []
    for position, (name, offset) in enumerate(stage.outputs.items()):
        found.append(
            Stage(
                name, kind, tuple(links), offset - reference, facts.beats(name),
                max(getattr(stage, "fold", 1), 1), paces[name], offset,
                formula(facts.graph, stage, name), cost if position == 0 else Cost(),
                multipliers if position == 0 else 0,
            )
        )  # fmt: skip
    return found


def formula(graph: Graph, stage: HwStage, name: str) -> str:
    """One line that says what a stage's output is, with its Q-format."""
    value = graph.values[name]
    nodes = getattr(stage, "nodes", None) or [getattr(stage, "node", None)]
    steps = " -> ".join(type(n.op).__name__ for n in nodes if n is not None) or "Register"
    if len(steps) > 90:
        steps = steps[:87] + "..."
    return f"{name}: {steps}; {value.type}"
