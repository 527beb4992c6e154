"""Area: what a lowered graph takes in hardware, predicted, or counted by yosys.

Owns ``area``. Imports the schedule, the RTL and yosys.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.rtl.emit import emit
from gateformer.hw.settings import Settings
from gateformer.quant.graph import Graph


@dataclass(frozen=True, slots=True)
class Area:
    """Resources and clocks of one network.

    Attributes
    ----------
    lut, ff, dsp, bram : int
        Cells of UltraScale+: 6-input LUTs, flip-flops, DSP48E2, block RAMs of 36 Kbit.
    latency, interval : int
        Clocks from the first beat in to the last one out, and from frame to frame: exact.
    counted : bool
        Whether yosys counted the cells; else they are the schedule's prediction.
    """

    lut: int
    ff: int
    dsp: int
    bram: int
    latency: int
    interval: int
    counted: bool


def area(
    graph: Graph,
    settings: Settings | None = None,
    *,
    work: Path | None = None,
    cache: Path | None = None,
) -> Area:
    """Return what a typed graph takes.

    Parameters
    ----------
    graph : Graph
        Lowered: primitives alone.
    settings : Settings, optional
        The schedule's.
    work : Path, optional
        Folder for yosys; absent: cells are predicted and nothing is synthesized.
    cache : Path, optional
        Folder of yosys' results, kept by their contents.

    Raises
    ------
    ToolError
        E505 without pyosys, E502 where yosys fails, both only with ``work``.
    """
    planned = plan(graph, settings or Settings())
    design = planned.design
    if work is None:
        cost = design.cost
        lut, ff, dsp, bram = (round(part) for part in (cost.lut, cost.ff, cost.dsp, cost.bram))
        return Area(lut, ff, dsp, bram, design.latency_cycles, design.interval_cycles, False)
    from gateformer.toolchains.yosys import synthesize_modules

    rtl = emit(planned)
    modules = dict.fromkeys([*rtl.stages, rtl.core, rtl.top], 1)
    total = synthesize_modules(rtl.files, modules, work, cache, workers=1)
    found = total.metrics()
    lut, ff, dsp, bram = (int(found[f"synth.{name}"]) for name in ("lut", "ff", "dsp", "bram"))
    return Area(lut, ff, dsp, bram, design.latency_cycles, design.interval_cycles, True)
