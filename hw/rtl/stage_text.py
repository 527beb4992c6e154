"""Which class writes the Verilog of which stage. Owns ``stage_text``."""

from __future__ import annotations

from typing import Any

from gateformer.hw.dataflow.plan import Plan
from gateformer.hw.dataflow.stages import (
    AccumulateStage,
    DotStage,
    GatherStage,
    HwStage,
    LaneStage,
    MacStage,
)
from gateformer.hw.rtl.accumulate_stage import AccumulateWrapper
from gateformer.hw.rtl.dot_stage import DotWrapper
from gateformer.hw.rtl.gather_stage import GatherWrapper
from gateformer.hw.rtl.lane_stage import LaneWrapper
from gateformer.hw.rtl.mac_stage import MacWrapper
from gateformer.hw.rtl.wrapper import StageText, Wrapper

WRAPPERS: dict[type[HwStage], type[Wrapper[Any]]] = {
    LaneStage: LaneWrapper,
    DotStage: DotWrapper,
    MacStage: MacWrapper,
    AccumulateStage: AccumulateWrapper,
    GatherStage: GatherWrapper,
}


def stage_text(plan: Plan, stage: HwStage) -> StageText:
    """Write a stage's modules."""
    return WRAPPERS[type(stage)](plan, stage).text()
