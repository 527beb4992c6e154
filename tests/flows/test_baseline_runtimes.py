"""The b-tagging network and a small decoder in every runtime of a CPU that is installed."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from flows.tiny import Call

from gateformer.baselines import bandwidth
from gateformer.baselines.bandwidth import Bandwidth
from gateformer.baselines.registry import PLACES, candidates

BTAG = Path(__file__).parents[2] / "fpga_projects" / "btag" / "design.toml"
CONFIG: dict[str, Any] = {
    "model_type": "gpt2",
    "n_embd": 256,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "vocab_size": 512,
}
QUICK = ("--seconds", 0.05, "--threads", 1)

pytestmark = [pytest.mark.slow, pytest.mark.baselines]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "measure", lambda threads: Bandwidth(10.0, "assumed"))


def check(answer: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the records; what has none is not installed."""
    (model,) = answer["models"]
    found = {f"{r['setup']['runtime']}:{r['setup']['precision']}" for r in model["records"]}
    lacking = {one["candidate"]: one["error"] for one in model["failures"]}
    installed = {
        one.key
        for one in candidates(PLACES[kind, "cpu"])
        if all(find_spec(name) for name in one.packages)
    }
    assert found == installed, lacking
    assert {error["code"] for error in lacking.values()} <= {"E505"}
    records: list[dict[str, Any]] = model["records"]
    return records


def test_the_b_tagging_network_runs_in_all(call: Call) -> None:
    code, answer, said = call("baseline", "cpu", BTAG, *QUICK)
    assert code == 0, said
    for record in check(answer, "network"):
        times = record["times"]
        assert 1e-6 < times["minimum"] <= times["median"] < 1.0
        assert record["workload"]["parameters"] == 4497  # folded
        assert record["energy"] is None or record["energy"]["kind"] == "measured"
        if record["setup"]["precision"] == "integers":
            assert record["difference"] == 0


def test_a_small_decoder_runs_in_all(call: Call) -> None:
    Path("small.json").write_text(json.dumps(CONFIG))
    code, answer, said = call("baseline", "cpu", "small.json", *QUICK, "--context", 20)
    assert code == 0, said
    for record in check(answer, "decode"):
        # A step reads its weights, two blocks' and the head's, at half a byte each or more.
        weights = 2 * 12 * 256**2 + 512 * 256
        assert weights // 2 < record["workload"]["bytes"] < 6 * weights
