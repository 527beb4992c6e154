"""``gateformer run`` with toggles counted: metrics, items, the page, and runs that reuse them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flows.tiny import FEW, OFF, TYPES, Call

ON = "-oactivity.enabled=true"
PAGE = Path(__file__).parents[2] / "docs/metrics.md"


@pytest.mark.verilator
def test_a_run_models_the_energy_of_a_frame(call: Call, tmp_path: Path) -> None:
    asked = ("run", "net.h5", TYPES, *FEW, *OFF[:-1], ON, "-oactivity.frames=30")
    code, answer, _ = call(*asked)
    assert code == 0
    metrics = answer["metrics"]
    assert (metrics["activity.frames"], metrics["activity.data"]) == (30, "drawn")
    assert metrics["activity.clocks"] == 30 * metrics["schedule.interval_cycles"]
    assert 0 < metrics["activity.logic_rate"] < 1
    low, value, high = (metrics[f"energy.frame{end}_j"] for end in ("_low", "", "_high"))
    assert 0 < low < value < high < 1e-3
    assert value == pytest.approx(metrics["energy.dynamic_j"] + metrics["energy.static_j"])
    low, alone, high = (metrics[f"energy.joules_alone{end}"] for end in ("_low", "", "_high"))
    waited = metrics["schedule.latency_cycles"] / metrics["schedule.interval_cycles"]
    assert 0 < low < alone < high
    assert value < alone < waited * value
    assert metrics["energy.clock_ns"] == 5.0
    assert (metrics["energy.kind"], metrics["energy.boundary"]) == ("modelled", "chip")
    assert "predicted by the cost model" in metrics["energy.source"]
    documented = set(re.findall(r"^\| `([a-z0-9_.]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))
    found = {key for key in metrics if key.startswith(("activity.", "energy."))}
    assert not found - documented
    run = tmp_path / "runs/net/default"
    (items,) = run.glob("*-energy/items.json")
    assert value == pytest.approx(sum(item["joules"] for item in json.loads(items.read_text())))
    assert "Where the energy goes" in (run / "report.html").read_text("utf-8")

    _, again, _ = call(*asked)
    status = {row["step"]: row["status"] for row in again["steps"]}
    assert status["activity"] == status["energy"] == "reused"
    # A slower clock: the same toggles, the same switching, more of static power.
    _, slower, _ = call(*asked, "-oschedule.clock_ns=10.0", "-oschedule.logic_ns=3.5")
    assert slower["metrics"]["energy.dynamic_j"] == pytest.approx(metrics["energy.dynamic_j"])
    twice = 2 * metrics["energy.static_j"]
    assert slower["metrics"]["energy.static_j"] == pytest.approx(twice)
