"""The commands end to end on a small network, and on hostile input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flows.tiny import FEW, OFF, TYPES, Call, write_model
from unit.ptq_networks import network

from gateformer.cli import main
from gateformer.flow.step import View
from gateformer.flow.steps import all_steps
from gateformer.flow.steps.scheduling import Schedule
from gateformer.flow.view import Memory
from gateformer.hw.dataflow.plan import Plan
from gateformer.quant.serialize import to_json

ROOT = Path(__file__).parents[2]
BTAG = ROOT / "fpga_projects/btag"


def undocumented(metrics: dict[str, Any]) -> set[str]:
    """Keys that docs/metrics.md does not have; ``<step>`` there stands for any."""
    page = (ROOT / "docs/metrics.md").read_text("utf-8")
    known = set(re.findall(r"^\| `([a-z0-9_.<>]+)` \|", page, flags=re.MULTILINE))
    steps = {key.replace("<step>", step.name) for key in known for step in all_steps()}
    return {key for key in metrics if key not in steps}


def test_run_then_run_again(call: Call, tmp_path: Path) -> None:
    code, answer, _ = call("run", "net.h5", TYPES, *FEW, *OFF)
    assert code == 0
    assert answer["folder"] == "runs/net/default"
    metrics = answer["metrics"]
    assert metrics["schedule.latency_cycles"] == metrics["events.latency_cycles"]
    assert metrics["schedule.interval_cycles"] == metrics["events.interval_cycles"] == 4
    assert metrics["accuracy.metric"] is None
    assert "no data" in metrics["accuracy.reason"]
    assert metrics["generate.seconds"] < 15
    assert json.loads((tmp_path / "runs/net/default/metrics.json").read_text()) == metrics
    assert not undocumented(metrics)
    _, again, _ = call("run", "net.h5", TYPES, *FEW, *OFF)
    assert {row["status"] for row in again["steps"]} == {"reused", "off"}
    assert again["metrics"] == metrics


def test_resolved_copy_runs_alike(call: Call) -> None:
    call("run", "net.h5", TYPES, *FEW, *OFF)
    _, again, _ = call("run", "runs/net/default/config.resolved.toml", "--out", "runs/net/default")
    assert {row["status"] for row in again["steps"]} == {"reused", "off"}


def test_data_gives_accuracy_and_vectors(call: Call) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 4, 2)).round(3)
    np.savez("jets.npz", x_test=x, y_test=random.integers(0, 2, 50))
    names = 'data.classes=["light", "b"]'
    code, answer, _ = call("run", "net.h5", *FEW, *OFF, "--data", "jets.npz", "-o", names)
    assert code == 0
    assert not undocumented(answer["metrics"])
    assert answer["metrics"]["vectors.real"] == 20
    assert answer["metrics"]["accuracy.samples"] == 50
    assert answer["metrics"]["calibrate.source"].endswith("calibrated")
    # Two classes for eight outputs (four tokens of two): the metric still has a meaning.
    assert answer["metrics"]["accuracy.metric"] == "auc"
    with np.load(next(Path("runs").rglob("outputs.npz"))) as outputs:
        assert outputs["classes"].tolist() == ["light", "b"]


@pytest.mark.icarus
def test_simulate_on_icarus(call: Call) -> None:
    code, answer, _ = call("simulate", "net.h5", TYPES, "--simulator=icarus", "--vectors=12")
    assert code == 0, answer
    metrics = answer["metrics"]
    assert not undocumented(metrics)
    assert metrics["simulate.icarus.vectors"] == 12
    assert metrics["simulate.icarus.mismatches"] == 0
    assert metrics["simulate.icarus.stalled_mismatches"] == 0
    for clocks in ("latency_cycles", "interval_cycles"):
        assert metrics[f"simulate.icarus.{clocks}"] == metrics[f"schedule.{clocks}"]


@pytest.mark.icarus
def test_wrong_hardware_names_the_first_layer(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_model(tmp_path / "other.h5", seed=6)
    make = Schedule.make

    def with_other_weights(self: Schedule, view: View) -> Plan:
        return make(self, Memory(view.config.model_copy(update={"model": str(other)})))

    monkeypatch.setattr(Schedule, "make", with_other_weights)
    code, answer, _ = call("simulate", "net.h5", TYPES, "--simulator=icarus", "--vectors=12")
    assert code == 6
    assert answer["error"]["code"] == "E401"
    assert "The first layer that differs is 'up'" in answer["error"]["fix"]
    assert re.search(r"expected -?\d+, got -?\d+", answer["error"]["fix"])
    assert answer["metrics"]["simulate.icarus.mismatches"] > 0
    status = {row["step"]: row["status"] for row in answer["steps"]}
    assert status["icarus"] == "failed"


@pytest.mark.slow
@pytest.mark.icarus
@pytest.mark.verilator
@pytest.mark.synth
def test_run_with_every_tool(call: Call, tmp_path: Path) -> None:
    code, answer, _ = call("run", "net.h5", TYPES, *FEW)
    assert code == 0
    off = {row["step"] for row in answer["steps"] if row["status"] != "done"}
    # What a user asks for.
    assert off == {"hls", "activity", "energy", "build", "build_hls"}
    metrics = answer["metrics"]
    assert not undocumented(metrics)
    assert metrics["simulate.verilator.mismatches"] == 0
    assert metrics["synth.lut"] > 0
    assert (tmp_path / "runs/net/default/report.html").is_file()
    code, answer, _ = call("report", "runs/net/default")
    assert code == 0
    assert answer["metrics"] == metrics


@pytest.mark.icarus
def test_generated_bench_passes(call: Call, tmp_path: Path) -> None:
    code, answer, _ = call("generate", "rtl", "net.h5", TYPES, "--out", "rtl")
    assert code == 0
    folder = tmp_path / "rtl"
    assert {"net.f", "gf_net.v", "gf_net_axis.v", "gf_net.vhd", "gf_net_axis.vhd"} <= set(
        answer["files"]
    )
    sources = (folder / "net.f").read_text().split()
    bench = next(name for name in answer["files"] if "tb" in name and name.endswith(".v"))
    subprocess.run(
        ["iverilog", "-g2005", "-o", "tb.vvp", "-s", bench[:-2], *sources, bench],
        cwd=folder,
        check=True,
    )
    told = subprocess.run(["vvp", "tb.vvp"], cwd=folder, check=True, capture_output=True, text=True)
    assert any(line.startswith("PASS") for line in told.stdout.splitlines())


def test_same_input_same_bytes(call: Call, tmp_path: Path) -> None:
    call("generate", "rtl", "net.h5", TYPES, "--out", "one")
    call("generate", "rtl", "net.h5", TYPES, "--out", "two")
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "two"))
    assert one == two


def test_verilog_keyword_as_name(call: Call) -> None:
    code, answer, _ = call("generate", "rtl", "net.h5", TYPES, "-oname=module")
    assert code == 0
    assert "gf_module.v" in answer["files"]


def test_inspect_of_attention_that_no_output_reads(call: Call, tmp_path: Path) -> None:
    document = to_json(network())
    (tmp_path / "m.json").write_text(json.dumps({**document, "outputs": ["embed"]}))
    code, answer, _ = call("inspect", "m.json")
    assert code == 0 and answer["multiplies"]["unfolded"] > 0 == answer["multiplies"]["folded"]
    assert main(["inspect", "m.json"]) == 0


def test_inspect(call: Call) -> None:
    code, answer, _ = call("inspect", "net.h5")
    assert code == 0
    assert [row["name"] for row in answer["layers"]][-1] == "down"
    _, btag, _ = call("inspect", BTAG / "model.h5")
    assert btag["multiplies"]["unfolded"] >= 5 * btag["multiplies"]["folded"]


def test_estimate_names_the_fastest_setting_that_fits(call: Call) -> None:
    start = time.process_time()
    base = ["estimate", BTAG / "model.h5", "-otypes.default=fixed<17,7>"]
    code, answer, _ = call(*base, "-oschedule.token_parallelism=15")
    assert code == 0
    assert answer["estimate.fits"] is False
    assert answer["estimate.dsp_percent"] > 100
    found = answer["suggestion"]
    setting = [f"-oschedule.{key}={found[key]}" for key in ("token_parallelism", "reuse_factor")]
    _, answer, _ = call(*base, *setting)
    assert answer["estimate.fits"] is True
    assert answer["schedule.latency_cycles"] == found["latency_cycles"]
    assert time.process_time() - start < 60


HOSTILE = [
    (["run", "absent.toml"], 2, "E003"),
    (["run", "."], 2, "E003"),
    (["run", "/dev/null"], 2, "E003"),
    (["run", "net.h5", "-oschedule.paralelism=3"], 2, "E001"),
    (["run", "net.h5", "-oschedule.token_parallelism=0"], 2, "E002"),
    (["run", "net.h5", "-oschedule.token_parallelism=many"], 2, "E002"),
    (["run", "net.h5", "-oschedule"], 2, "E005"),
    (["run", "net.h5", "-oname=../../etc"], 2, "E002"),
    (["run", "net.h5", "-oname=réseau"], 2, "E002"),
    (["run", "net.h5", "-oname=a b"], 2, "E002"),
    (["run", "net.h5", "--tag", "../../x"], 2, "E005"),
    (["run", "net.h5", "--tag", ""], 2, "E005"),
    (["run", "net.h5", "-otypes.default=fixed<999,3>"], 2, "E002"),
    (["run", "net.h5", "-otypes.default=float32"], 2, "E002"),
    (["run", "net.h5", "-otypes.upp=fixed<8,4>"], 2, "E001"),
    (["estimate", "net.h5", "-oschedule.layers.upp=2"], 2, "E001"),
    (["run", "net.h5", "-omodel=."], 2, "E003"),
    (["run", "net.h5", "--unknown"], 2, "E005"),
    (["run"], 2, "E005"),
    (["run", "junk.h5"], 3, "E101"),
    (["run", "empty.h5"], 3, "E101"),
    (["inspect", "pickle.keras"], 3, "E101"),
    (["run", "net.h5", "--data", "absent.npz"], 8, "E605"),
    (["run", "net.h5", "--data", "junk.h5"], 8, "E601"),
    (["run", "net.h5", "--data", "wrong.npz"], 8, "E611"),
    (["run", "net.h5", "--data", "nan.npz"], 8, "E603"),
    (["estimate", "net.h5", "-oschedule.device=xcvu13"], 5, "E305"),
    (["run", "net.h5", "--out", "net.h5"], 9, "E703"),
    (["run", "net.h5", "--out", "mine"], 9, "E703"),
    (["run", "net.h5", "--out", "/proc/none/run"], 9, "E70"),
    (["generate", "rtl", "net.h5", "--out", "mine"], 9, "E703"),
    (["generate", "rtl", "net.h5", "--out", "/"], 9, "E703"),
    (["generate", "vhdl", "net.h5"], 2, "E005"),
    (["build", "net.h5", "--tool", "make"], 2, "E005"),
    (["simulate", "net.h5", "--simulator", "modelsim"], 2, "E005"),
    (["simulate", "net.h5", "--vectors", "0"], 2, "E005"),
    (["report", "mine"], 9, "E703"),
    (["report", "absent"], 9, "E703"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), HOSTILE)
def test_hostile_input(
    call: Call, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "junk.h5").write_bytes(b"\x89HDF\r\n\x1a\n junk")
    (tmp_path / "empty.h5").touch()
    (tmp_path / "pickle.keras").write_bytes(b"\x80\x04K\x01.")
    np.savez(tmp_path / "wrong.npz", x_test=np.zeros((3, 9, 9)))
    np.savez(tmp_path / "nan.npz", x_test=np.full((3, 4, 2), np.nan))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("mine")
    before = {path for path in tmp_path.iterdir() if path.name != "cache"}
    found, answer, said = call(*arguments)
    assert found == code, said
    assert words in said
    assert answer["exit_code"] == code
    after = {path for path in tmp_path.iterdir() if path.name not in ("cache", "runs")}
    assert after == before
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    assert not list(tmp_path.rglob("*.partial"))


def test_interrupted_run_resumes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "gateformer.cli", "run", BTAG / "design.toml", "--out", folder]
    command = [
        sys.executable,
        "-c",
        "import sys; from gateformer.cli import main; sys.exit(main())",
        *map(str, command[3:]),
        *FEW,
        *OFF,
        "-oquantize.samples=100",
        "-oquantize.metric=rms",
        "-oquantize.budget=0.5",
    ]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    # A shell's background jobs ignore SIGINT, and so would what they start.
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 120
        while not (folder / "05-accuracy.partial").is_dir():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("E707 interrupted")
    assert "Traceback" not in said
    assert not list(folder.glob("*.partial"))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "lower.nodes" in metrics
    done = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, check=True, env=environment
    )
    rows = {row["step"]: row["status"] for row in json.loads(done.stdout)["steps"]}
    assert rows["calibrate"] == rows["lower"] == "reused"
    assert rows["accuracy"] == rows["generate"] == "done"
