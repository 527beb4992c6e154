"""``gateformer compare`` end to end: tiny models, records that somebody left, hostile arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flows.tiny import write_model

from gateformer.baselines import hardware, store
from gateformer.baselines.opening import decoder_work
from gateformer.baselines.record import Hardware, Record, Setup, Times
from gateformer.cli import main
from gateformer.comparing import fpga
from gateformer.comparing.measuring import Measuring, fingerprint
from gateformer.comparing.subjects import find
from gateformer.config.schema import Config
from gateformer.energy.figure import Energy
from gateformer.quant.frontends import hf_config

CONFIG = {
    "model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128,
    "vocab_size": 500,
}  # fmt: skip
Answer = tuple[int, dict[str, Any], str]
Call = Callable[..., Answer]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run the command in a folder with a decoder; gives exit code, JSON and what was said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "config.json").write_text(json.dumps(CONFIG))

    def do(*arguments: object) -> Answer:
        capsys.readouterr()
        code = main(["compare", *map(str, arguments), "--json"])
        out, said = capsys.readouterr()
        assert "Traceback" not in said
        assert code != 70, said
        return code, json.loads(out) if out else {}, said

    return do


def keep(mark: str, machine: Hardware, **changes: Any) -> None:
    """Leave a record of the decoder, told by its weights' mark, in the working folder."""
    work = decoder_work(hf_config.load("small"), context=16).workload(1000)
    base: dict[str, Any] = {
        "workload": work.model_copy(update={"fingerprint": mark}),
        "hardware": machine,
        "setup": Setup(
            runtime="onnxruntime", version="1.2", precision="fp32", tier="tuned", threads=1,
            options={},
        ),
        "times": Times(
            samples=50, warmup=3, minimum=1e-4, median=2e-4, p90=3e-4, p99=4e-4, mean=2e-4
        ),
        "energy": None, "energy_note": "not measurable here: no RAPL", "transfer": False,
        "difference": 1e-7, "load": 0.1, "date": "2026-11-02", "command": "a fake",
    }  # fmt: skip
    store.keep([Record(**base | changes)])


def machine(name: str, kind: Any = "cpu") -> Hardware:
    return Hardware(
        id=name, kind=kind, name=name.upper(), cores=2, memory_gb=8.0, bandwidth_gbs=40.0,
        bandwidth_method="triad", details={},
    )  # fmt: skip


def of(data: dict[str, Any], platform: str, kind: str) -> list[dict[str, Any]]:
    return [row for row in data["rows"] if (row["platform"], row["kind"]) == (platform, kind)]


def test_decoder_without_records(call: Call) -> None:
    code, data, _ = call("small", "--context", 16, "--recorded")
    assert code == 0
    (memory,) = of(data, "PIM", "simulated")
    assert memory["samples"] == 16 and memory["energy"]["kind"] == "modelled"
    assert memory["edp"] == pytest.approx(memory["energy"]["value"] * memory["median"])
    assert of(data, "GPU", "modelled") and not of(data, "CPU", "measured")
    absent = {one["platform"]: one["reason"] for one in data["absent"]}
    assert "block RAM" in absent["FPGA"]
    assert "nothing is recorded" in absent["CPU"]
    assert not [row for row in data["rows"] if (row["energy"] or {}).get("kind") == "measured"]


def test_records_of_this_machine_go_before_those_of_others(call: Call) -> None:
    mark = fingerprint(hf_config.load("small"), Measuring(context=16))
    other = machine("another")
    keep(mark, other)
    gpu = machine("h100", "gpu")
    keep(mark, gpu, energy=Energy(value=0.5, kind="measured", source="NVML", boundary="board"))
    keep("other weights", hardware.cpu())
    arguments = ("small", "--context", 16, "--recorded")

    (row,) = of(call(*arguments)[1], "CPU", "measured")
    assert row["recorded"] == "ANOTHER (another), 2026-11-02"
    keep(mark, hardware.cpu())
    data = call(*arguments)[1]
    (row,) = of(data, "CPU", "measured")
    assert row["recorded"] == "" and row["energy"] is None and "no RAPL" in row["energy_note"]
    assert row["gbs"] == pytest.approx(1000 / 2e-4 / 1e9)
    (metered,) = of(data, "GPU", "measured")
    assert metered["energy"]["kind"] == "measured" and "2026-11-02" in metered["recorded"]
    for wrong in (("--context", 17), ("--batch", 2), ("--threads", 2)):
        assert not of(call("small", "--context", 16, "--recorded", *wrong)[1], "CPU", "measured")


def test_only_the_runtimes_that_are_asked_for(call: Call) -> None:
    mark = fingerprint(hf_config.load("small"), Measuring(context=16))
    for precision in ("fp32", "int8"):
        setup = Setup(
            runtime="onnxruntime", version="1", precision=precision, tier="tuned", threads=1,
            options={},
        )  # fmt: skip
        keep(mark, hardware.cpu(), setup=setup)
    base = ("small", "--context", 16, "--recorded", "--runtime")
    assert len(of(call(*base, "onnxruntime")[1], "CPU", "measured")) == 2
    (one,) = of(call(*base, "onnxruntime:int8")[1], "CPU", "measured")
    assert one["precision"] == "int8"
    assert not of(call(*base, "torch")[1], "CPU", "measured")


def test_malformed_records_are_named(call: Call) -> None:
    keep("x", hardware.cpu())
    (path,) = Path("runs/baselines").rglob("small.json")
    path.write_text(path.read_text("utf-8").replace('"median": 0.0002', '"median": -1'))
    code, _, said = call("small", "--context", 16, "--recorded")
    assert code == 16 and "E850" in said and "median" in said


def test_network_and_page(call: Call, tmp_path: Path) -> None:
    write_model(tmp_path / "tiny.h5")
    fast = ("-o", "simulate.verilator.enabled=false", "-o", "simulate.icarus.enabled=false",
            "-o", "synth.enabled=false", "-o", "generate.adders=csd",
            "-o", "activity.enabled=false")  # fmt: skip
    code, data, _ = call("tiny.h5", "small", "--context", 16, "--recorded", *fast, "--out", "page")
    assert code == 0
    (row,) = of(data, "FPGA", "simulated")
    assert row["model"] == "tiny" and "unrouted" in row["system"] and row["median"] == row["p99"]
    metrics = json.loads(Path("runs/tiny/default/metrics.json").read_text("utf-8"))
    assert row["median"] == pytest.approx(metrics["schedule.latency_cycles"] * 5e-9)
    assert row["area"]["LUT"] == metrics["estimate.lut"]
    reasons = {one["model"]: one["reason"] for one in data["absent"] if one["platform"] == "PIM"}
    assert "takes decoders" in reasons["tiny"]
    files = {path.name for path in (tmp_path / "page").iterdir()}
    assert files == {"compare.html", "compare.md", "compare.json", "sources.json"}
    assert json.loads((tmp_path / "page/compare.json").read_text("utf-8"))["rows"] == data["rows"]
    page = (tmp_path / "page/compare.html").read_text("utf-8")
    assert "tiny" in page and "small" in page and "gateformer compare tiny.h5 small" in page
    text = (tmp_path / "page/compare.md").read_text("utf-8")
    assert text.startswith("# Side by side: tiny, small")
    # The same folder takes the next page; another one's files are left alone.
    assert call("small", "--context", 16, "--recorded", "--out", "page")[0] == 0
    (tmp_path / "page/mine.txt").write_text("mine")
    code, _, said = call("small", "--context", 16, "--recorded", "--out", "page")
    assert code == 9 and "E703" in said and (tmp_path / "page/mine.txt").exists()


@pytest.mark.verilator
def test_simulated_cycles_and_modelled_joules_of_a_network(call: Call, tmp_path: Path) -> None:
    write_model(tmp_path / "tiny.h5")
    code, data, _ = call(
        "tiny.h5", "--recorded", "-o", "synth.enabled=false", "-o", "generate.adders=csd",
        "-o", "simulate.verilator.vectors=50",
    )  # fmt: skip
    assert code == 0
    (row,) = of(data, "FPGA", "simulated")
    metrics = json.loads(Path("runs/tiny/default/metrics.json").read_text("utf-8"))
    cycles = metrics["simulate.verilator.latency_cycles"]
    assert row["median"] == pytest.approx(cycles * 5e-9) and row["samples"] == 50
    assert f"{cycles} cycles" in row["source"] and "Verilator" in row["source"]
    energy = row["energy"]
    assert (energy["kind"], energy["boundary"]) == ("modelled", "chip")
    assert energy["low"] < energy["value"] == metrics["energy.frame_j"] < energy["high"]
    assert sum(row["energy_parts"].values()) == pytest.approx(energy["value"])


def test_design_that_differs_from_its_model_has_no_row(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateformer.flow.result import Result
    from gateformer.quant.errors import MismatchError

    write_model(tmp_path / "tiny.h5")

    def failing(*arguments: object) -> Result:
        return Result(tmp_path, errors=[MismatchError("E401", "outputs differ")])

    monkeypatch.setattr("gateformer.flow.run.run", failing)
    code, data, said = call("tiny.h5", "--recorded")
    assert code == 6 and "E401" in said and "rows" not in data


def test_simulator_is_asked_for_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateformer.flow.progress import Quiet
    from gateformer.flow.result import Result

    asked: list[tuple[str, ...]] = []

    def run(config: object, steps: object, folder: Path, targets: Any, watcher: object) -> Result:
        asked.append(tuple(targets))
        found = {"simulate.icarus.latency_cycles": 9} if "icarus" in targets else {}
        return Result(folder, metrics={**found})

    monkeypatch.setattr("gateformer.flow.run.run", run)
    write_model(tmp_path / "tiny.h5")
    (config,) = find([str(tmp_path / "tiny.h5")])
    assert isinstance(config, Config)
    found = fpga.run_design(config, tmp_path, Quiet())
    assert found.metrics["simulate.icarus.latency_cycles"] == 9
    assert ["icarus" in one for one in asked] == [False, True]
    assert all("verilator" in one for one in asked)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["gpt2-smal"], 10, "E807 unknown model: 'gpt2-smal'"),
        (["gone.toml"], 2, "E003"),
        (["small", "--context", "121"], 2, "E022"),
        (["small", "--context", "0"], 2, "E005"),
        (["small", "--batch", "0"], 2, "E005"),
        (["small", "--runtime", "onxruntime"], 2, "Did you mean 'onnxruntime"),
        (["small", "--measure", "--recorded"], 2, "E006"),
        (["small", "-o", "schedule.clock_ns=1"], 2, "E006"),
        ([], 2, "E005"),
        (["small", "small/config.json"], 2, "E006 two models of one name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_arguments_are_errors_before_any_work(
    call: Call, arguments: list[str], code: int, words: str
) -> None:
    found, _, said = call(*arguments)
    assert found == code and words in said
    assert not Path("runs").exists()


def test_every_wrong_argument_is_named_at_once(call: Call) -> None:
    code, _, said = call("small", "--context", 200, "--runtime", "nothing")
    assert code == 2 and "--context" in said and "unknown --runtime" in said
