"""The PYNQ project: what its driver reads, byte for byte through the RTL, and that it fits."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from gateformer.config.read import load
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.steps.scheduling import Schedule
from gateformer.flow.view import Memory
from gateformer.host import simulated
from gateformer.hw.devices import load as load_device
from gateformer.quant.execute import run
from gateformer.quant.types import FloatArray
from gateformer.toolchains.pynq import period_ns

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "fpga_projects/pynq_digits"
DATA = ROOT / "fpga_projects/digits/digits.npz"

DMA_LUT, DMA_FF = 8_000, 10_000
"""Room for what stands around the design, an AXI DMA, two SmartConnects, GPIO and reset: an
assumption on the safe side, which only Vivado's report can replace."""


def images(count: int) -> FloatArray:
    with np.load(DATA, allow_pickle=False) as file:
        return file["x_test"][:count].astype(np.float64)


def expected(reals: FloatArray) -> FloatArray:
    """What the numpy executor gives, without any bytes between."""
    graph = Memory(load(PROJECT, [])).get(Lower).graph
    (x,), (y,) = graph.inputs, graph.outputs
    raw = run(graph, {x: graph.values[x].fixed.from_real(reals)})[y]
    return graph.values[y].fixed.to_real(raw)


def test_the_simulated_board_gives_the_networks_numbers() -> None:
    reals = images(200)
    with simulated(PROJECT, batch=64) as chip:
        np.testing.assert_array_equal(chip.predict(reals), expected(reals))


def test_the_program_for_the_board_runs_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = PROJECT / "classify.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--simulate", str(DATA)])
    runpy.run_path(str(script), run_name="__main__")
    right = int(capsys.readouterr().out.split(" of 500 right")[0])
    assert right >= 475


@pytest.mark.icarus
def test_the_rtl_gives_the_same_bytes_on_icarus(tmp_path: Path) -> None:
    reals = images(12)
    with simulated(PROJECT, simulator="icarus", work=tmp_path) as chip:
        np.testing.assert_array_equal(chip.predict(reals), expected(reals))
        assert not chip.frame_error


@pytest.mark.slow
@pytest.mark.verilator
def test_the_rtl_gives_the_same_bytes_on_verilator(tmp_path: Path) -> None:
    reals = images(500)
    with simulated(PROJECT, simulator="verilator", work=tmp_path, batch=200) as chip:
        np.testing.assert_array_equal(chip.predict(reals), expected(reals))
        assert not chip.frame_error


def test_it_fits_the_board_beside_its_dma() -> None:
    config = load(PROJECT, [])
    assert (config.schedule.device, config.build.tool) == ("xc7z020", "pynq")
    assert period_ns(config.schedule.clock_ns) == config.schedule.clock_ns
    design = Memory(config).get(Schedule).design
    cost, device = design.cost, load_device("xc7z020")
    assert cost.dsp <= 0.9 * device.dsp
    assert cost.lut + DMA_LUT <= 0.7 * device.lut
    assert cost.ff + DMA_FF <= 0.7 * device.ff
    told = (PROJECT / "README.md").read_text(encoding="utf-8")
    for words in (
        f"{design.latency_cycles} clocks, {design.latency_cycles / 100:.2f} us",
        f"{design.interval_cycles} clocks: {100 / design.interval_cycles:.1f} million",
        f"{cost.lut:,.0f} predicted",
        f"{cost.ff:,.0f} predicted",
        f"| DSP | {cost.dsp:,.0f} | {cost.dsp / device.dsp:.0%}".replace("%", " %"),
    ):
        assert words in told, words
