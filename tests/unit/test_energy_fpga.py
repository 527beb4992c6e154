"""The energy of a frame on an FPGA: its arithmetic, its error bar, its step and its section."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateformer.config.schema import Config
from gateformer.energy.coefficients import Coefficients
from gateformer.energy.figure import Figure
from gateformer.energy.fpga import CELLS_ERROR, CLOCKED, GLITCHES, RTL_ERROR, Budget, Cells, budget
from gateformer.flow.steps.energy import ModelEnergy, synthesized
from gateformer.flow.steps.toggles import Toggles, repeated
from gateformer.flow.steps.vectors import Frames
from gateformer.report.html import render
from gateformer.report.read import read
from gateformer.sim.rtl.activity import Count
from gateformer.toolchains.yosys import Synthesis, Total

JOULES = {
    "lut_toggle": 1e-13, "net_toggle": 2e-13, "carry_toggle": 3e-13, "ff_clock": 1e-14,
    "ff_toggle": 2e-14, "dsp_op": 4e-12, "bram_access": 2e-11, "lutram_clock": 1e-13,
    "clock_tree": 5e-11, "static_base_w": 1.0, "static_lut_w": 1e-6,
}  # fmt: skip


def known(factor: float = 2.0) -> Coefficients:
    """Round coefficients, all of them within one factor."""
    figures = {
        name: Figure(value=v, low=v / factor, high=v * factor, kind="modelled", source="test")
        for name, v in JOULES.items()
    }
    return Coefficients.model_validate({"family": "toy", "device_luts": 1e6} | figures)


CELLS = {"top": Cells(lut=100, lutram=3, carry=5, ff=200, dsp=2, bram=1), "rom": Cells(lut=10)}
COUNTS: dict[str, dict[Any, Count]] = {
    "top": {"logic": Count(50, 100), "register": Count(80, 80), "product": Count(10, 25)},
    "rom": {},
}
"""In ten clocks: 0.2 of the gates, 0.1 of the registers and 0.25 of the products' bits a clock."""


def modelled(factor: float = 2.0, **changes: Any) -> Budget:
    asked: dict[str, Any] = {"window": 10, "interval": 7, "clock_ns": 5.0, "source": "test"}
    asked |= {"latency": 21}
    return budget(CELLS, COUNTS, known=known(factor), **(asked | changes))


def test_items_are_counts_times_rates_times_coefficients() -> None:
    found = modelled()
    wanted = {
        ("top", "logic"): 100 * 0.2 * 7 * 1e-13,
        ("top", "carries"): 5 * 0.2 * 7 * 3e-13,
        ("top", "nets"): (100 * 0.2 + 200 * 0.1) * 7 * 2e-13,
        ("top", "registers"): 200 * 0.1 * 7 * 2e-14,
        ("top", "clock"): 200 * 7 * 1e-14,
        ("top", "dsp"): 2 * 0.5 * 7 * 4e-12,
        # A tenth of the registers change: a fifth of the words read are new, all are clocked.
        ("top", "bram"): 0.6 * 7 * 2e-11,
        ("top", "lutram"): 3 * 7 * 1e-13,
        # A module without nets of its own toggles as the whole design does.
        ("rom", "logic"): 10 * 0.2 * 7 * 1e-13,
        ("rom", "nets"): 10 * 0.2 * 7 * 2e-13,
        ("", "clock"): 7 * 5e-11,
        ("", "static"): 2.0 * 35e-9,
    }
    items = {(item.module, item.part): item.joules for item in found.items}
    assert items == pytest.approx(wanted)
    assert found.frame.value == pytest.approx(sum(wanted.values()))
    assert found.static.value == pytest.approx(70e-9)
    assert found.dynamic.value == pytest.approx(sum(wanted.values()) - 70e-9)
    assert found.power_w == pytest.approx(found.frame.value / 35e-9)
    assert found.total("clock") == pytest.approx(200 * 7 * 1e-14 + 7 * 5e-11)
    assert (found.frame.kind, found.frame.boundary) == ("modelled", "chip")


def test_a_frame_alone_pays_for_clock_and_static_power_while_it_lasts() -> None:
    found, same = modelled(), modelled(latency=7)
    assert same.alone.value == pytest.approx(same.frame.value)
    assert (same.alone.low, same.alone.high) == pytest.approx((same.frame.low, same.frame.high))
    clocked = sum(found.total(part) for part in CLOCKED)
    assert found.alone.value == pytest.approx(found.frame.value + 2 * clocked)
    assert found.alone.low is not None and found.alone.high is not None
    assert 0 < found.alone.low < found.alone.value < found.alone.high
    assert "a frame alone" in found.alone.source and "back to back" in found.frame.source


def test_products_without_a_multiplier_are_gates() -> None:
    cells = {"top": Cells(lut=100), "other": Cells(lut=10, dsp=1)}
    counts: dict[str, dict[Any, Count]] = {
        "top": {"logic": Count(50, 100), "product": Count(50, 300)},
        "other": {"logic": Count(10, 20), "register": Count(10, 10)},
    }
    found = budget(cells, counts, 10, 1, 5.0, known(), "test", latency=9)
    rates = {(item.module, item.part): item.rate for item in found.items}
    assert rates[("top", "logic")] == pytest.approx(0.4)
    assert rates[("other", "logic")] == pytest.approx(0.2)
    # A multiplier without products of its own works as often as the whole design's.
    assert rates[("other", "dsp")] == 1.0
    counts["top"]["product"] = Count(50, 100)
    found = budget(cells, counts, 10, 1, 5.0, known(), "test", latency=9)
    (dsp,) = (item for item in found.items if item.part == "dsp")
    assert dsp.rate == pytest.approx(0.4)


def test_a_memory_s_bar_runs_from_reads_that_change_to_all_that_are_clocked() -> None:
    (found,) = (item for item in modelled(1.0).items if item.part == "bram")
    every = 7 * 2e-11
    assert (found.low, found.joules, found.high) == pytest.approx((0.2 * every, 0.6 * every, every))


def test_predicted_cells_widen_the_bar() -> None:
    counted, predicted = modelled(1.0).dynamic, modelled(1.0, predicted=True).dynamic
    value = counted.value
    assert predicted.value == value
    assert counted.low is not None and predicted.low is not None
    assert counted.high is not None and predicted.high is not None
    for narrow, wide in (
        (value / counted.low, value / predicted.low),
        (counted.high / value, predicted.high / value),
    ):
        assert narrow < wide < narrow * CELLS_ERROR


def test_the_error_bar_joins_coefficients_activity_and_glitches() -> None:
    # Half of the registers change a clock, and so every word that is read.
    exact = modelled(1.0, window=2)
    value, low, high = exact.dynamic.value, exact.dynamic.low, exact.dynamic.high
    assert low is not None and high is not None
    assert value / low == pytest.approx(RTL_ERROR)
    gates = sum(exact.total(part) for part in ("logic", "carries", "nets")) / value
    glitched = 1 + (GLITCHES - 1) * gates
    assert RTL_ERROR < high / value < RTL_ERROR * glitched
    assert exact.static.low == exact.static.value == exact.static.high
    wide = modelled(3.0, window=2)
    assert wide.dynamic.low is not None and wide.dynamic.high is not None
    assert 3 < value / wide.dynamic.low < 3 * RTL_ERROR
    assert 3 < wide.dynamic.high / value < 3 * RTL_ERROR * glitched


def test_a_design_at_rest_still_takes_clock_and_static_power() -> None:
    still = {
        name: {k: Count(c.bits, 0) for k, c in kinds.items()} for name, kinds in COUNTS.items()
    }
    found = budget(CELLS, still, 10, 7, 5.0, known(), "test", latency=21)
    assert {item.part for item in found.items} == {"clock", "bram", "lutram", "static"}
    twice = modelled(clock_ns=10.0)
    assert twice.static.value == pytest.approx(2 * modelled().static.value)
    assert twice.dynamic.value == pytest.approx(modelled().dynamic.value)


def test_memories_of_luts_are_told_from_logic() -> None:
    cells = {"LUT6": 10, "LUT2": 4, "SRL16E": 3, "RAM64M8": 1, "CARRY4": 6, "FDRE": 9, "MUXF7": 5}
    made = Synthesis("m", "xcup", 25, 9, 1, 0.5, cells)
    total = Total({"m": made}, {"m": made}, {"m": 2})
    cells = Cells(lut=28, lutram=22, carry=6, ff=18, dsp=2, bram=1.0)
    assert synthesized(total, "xcup") == {"m": cells}
    assert synthesized(total, "xc7") == {"m": replace(cells, carry=12)}


def test_real_frames_are_repeated_and_drawn_ones_kept_out() -> None:
    rows = np.arange(5)[:, None]
    few = repeated(Frames({"x": rows}, {"y": 2 * rows}, 3), 7)
    assert few.inputs["x"][:, 0].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert few.outputs["y"][:, 0].tolist() == [0, 2, 4, 0, 2, 4, 0]
    drawn = repeated(Frames({"x": rows}, {"y": rows}, 0), 7)
    assert drawn.inputs["x"][:, 0].tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert (few.real, drawn.real) == (7, 0)


def test_the_steps_are_off_unless_asked_for() -> None:
    config = Config(model="net.h5")
    for step in (Toggles(), ModelEnergy()):
        off = step.off(config)
        assert off is not None and off.chosen
    asked = {"model": "net.h5", "activity": {"enabled": True}}
    assert ModelEnergy().off(Config.model_validate(asked)) is None
    foreign = Config.model_validate({**asked, "schedule": {"device": "lfe5u-85f"}})
    off = ModelEnergy().off(foreign)
    assert off is not None and not off.chosen and "E022" in off.reason


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run's folder with a modelled energy, and nothing else."""
    found = modelled()
    place = tmp_path / "run/17-energy"
    place.mkdir(parents=True)
    metrics = {f"energy.{n}_j": getattr(found, n).value for n in ("frame", "dynamic", "static")}
    for name in ("frame", "dynamic"):
        metrics[f"energy.{name}_low_j"] = getattr(found, name).low
        metrics[f"energy.{name}_high_j"] = getattr(found, name).high
    metrics["energy.joules_alone"] = found.alone.value
    metrics |= {"energy.power_w": found.power_w, "energy.source": "toggles x <b>cells</b>"}
    metrics |= {"activity.frames": 7, "activity.data": "real"}
    (place.parent / "run.json").write_text("{}")
    (place.parent / "metrics.json").write_text(json.dumps(metrics))
    items = [asdict(item) for item in found.items]
    items[0]["module"] = "<script>"
    (place / "items.json").write_text(json.dumps(items))
    (place / "step.json").write_text(json.dumps({"step": "energy"}))
    return place.parent


def test_the_report_says_where_the_energy_goes(run_dir: Path) -> None:
    page = render(read(run_dir))
    assert "Where the energy goes" in page
    assert "No joule here was metered" in page
    assert f"a frame that comes alone takes {1e6 * modelled().alone.value:,.3f} µJ" in page
    assert "<b>cells" not in page and "<script>" not in page
    words = f"{1e9 * modelled().total('bram'):,.3g} nJ"
    assert words in page
    assert f"<strong>{1e6 * modelled().frame.value:,.3f} µJ</strong>" in page


UNNAMED = '{"part": [], "module": "", "joules": 1, "low": 1, "high": 1}'


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"part": "logic"}]', f"[{UNNAMED}]"])
def test_damaged_energies_read_as_missing(run_dir: Path, content: str) -> None:
    (run_dir / "17-energy/items.json").write_text(content)
    assert "Where the energy goes" not in render(read(run_dir))
