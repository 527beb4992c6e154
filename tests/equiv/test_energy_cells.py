"""The energy of predicted cells against that of yosys' counts: the same toggles, other cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from equiv.networks import Maker, dense, layer_norm, network, self_attention, vectors

from gateformer.energy.coefficients import coefficients
from gateformer.energy.figure import Energy
from gateformer.energy.fpga import CELLS_ERROR, Cells, budget
from gateformer.flow.steps.energy import forecast, synthesized
from gateformer.hw.dataflow.plan import plan
from gateformer.hw.devices import Device, load
from gateformer.hw.rtl.emit import emit
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.sim.rtl.activity import activity, frames_to_send
from gateformer.toolchains.yosys import synthesize_modules


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.verilator
@pytest.mark.parametrize("make", [dense, layer_norm, self_attention])
def test_predicted_cells_take_what_counted_ones_do(
    tmp_path: Path, make: Callable[[Maker], None]
) -> None:
    """Within the factor that the error bar adds for them."""
    pytest.importorskip("pyosys")
    graph = network(make)
    planned = plan(graph, Settings())
    design, rtl = planned.design, emit(planned)
    frames = vectors(graph, frames_to_send(design, 20), seed=3)
    found, result = activity(design, rtl.files, frames, run(graph, frames), work=tmp_path / "rtl")
    assert result.passed
    modules = dict.fromkeys([*rtl.stages, rtl.core, rtl.top], 1)
    # As the flow does for every device of Xilinx: UltraScale+'s cells.
    total = synthesize_modules(rtl.files, modules, tmp_path / "synth")

    def modelled(cells: Mapping[str, Cells], chip: Device, predicted: bool) -> Energy:
        return budget(
            cells, found.by_module({**cells, rtl.top: None}), found.clocks, design.interval_cycles,
            5.0, coefficients(chip), "test", latency=design.latency_cycles, predicted=predicted,
        ).dynamic  # fmt: skip

    for chip in (load("xcvu13p"), load("xc7z020")):
        predicted = modelled(forecast(planned, rtl, chip.family), chip, True)
        counted = modelled(synthesized(total, chip.family), chip, False)
        ratio = predicted.value / counted.value
        print(f"{make.__name__} on {chip.name}: x{ratio:.2f}")
        assert 1 / CELLS_ERROR < ratio < CELLS_ERROR
        assert predicted.low is not None and predicted.high is not None
        assert predicted.low < counted.value < predicted.high
