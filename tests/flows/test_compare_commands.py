"""``gateformer compare`` end to end: tiny models, records that somebody left, hostile arguments."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from flows.tiny import Call, write_model
from unit.baseline_candidates import DECODERS_PLACE, PLACE

from gateformer.baselines import bandwidth, hardware, registry, store
from gateformer.baselines.bandwidth import Bandwidth
from gateformer.baselines.opening import decoder_work, fingerprint
from gateformer.baselines.record import Hardware, Record, Setup, Times
from gateformer.comparing import fpga, measuring
from gateformer.comparing.subjects import find
from gateformer.config.schema import Config
from gateformer.energy.figure import Energy
from gateformer.energy.meters import estimate
from gateformer.energy.meters.estimate import Constants
from gateformer.quant.frontends import hf_config

CONFIG = {
    "model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128,
    "vocab_size": 500,
}  # fmt: skip
OFF = (
    "-o", "simulate.verilator.enabled=false", "-o", "simulate.icarus.enabled=false",
    "-o", "synth.enabled=false", "-o", "generate.adders=csd", "-o", "activity.enabled=false",
)  # fmt: skip
"""The model and its schedule alone."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give every test a decoder, and hide the records that come with the package."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "config.json").write_text(json.dumps(CONFIG))
    monkeypatch.setattr(store, "shipped", lambda: tmp_path / "none")


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the tests' candidates in the runtimes' place, and a constant in the bandwidth's."""
    monkeypatch.setitem(registry.PLACES, ("network", "cpu"), PLACE)  # type: ignore[arg-type]
    monkeypatch.setitem(registry.PLACES, ("decode", "cpu"), DECODERS_PLACE)  # type: ignore[arg-type]
    monkeypatch.setattr(bandwidth, "measure", lambda threads: Bandwidth(10.0, "assumed"))
    monkeypatch.setattr(measuring, "installed_version", lambda module: "1.2")


def keep(mark: str, machine: Hardware, **changes: Any) -> None:
    """Leave a record of the decoder, told by its weights' mark, in the working folder."""
    work = decoder_work(hf_config.load("small"), context=16).workload(1000)
    base: dict[str, Any] = {
        "workload": work.model_copy(update={"fingerprint": mark}),
        "hardware": machine,
        "setup": Setup(
            runtime="onnxruntime", version="1.2", precision="fp32", tier="tuned",
            threads=machine.cores, options={},
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
    code, data, _ = call("compare", "small", "--context", 16, "--recorded")
    assert code == 0
    (memory,) = of(data, "PIM", "simulated")
    assert memory["samples"] == 16 and memory["energy"]["kind"] == "modelled"
    assert memory["edp"] == pytest.approx(memory["energy"]["value"] * memory["median"])
    assert of(data, "GPU", "modelled") and not of(data, "CPU", "measured")
    absent = {one["platform"]: one["reason"] for one in data["absent"]}
    assert "no KV cache" in absent["FPGA"] and "fit in the block RAM" in absent["FPGA"]
    assert "nothing is recorded" in absent["CPU"]
    assert not [row for row in data["rows"] if (row["energy"] or {}).get("kind") == "measured"]


def test_records_of_this_machine_go_before_those_of_others(call: Call) -> None:
    mark = fingerprint(hf_config.load("small"))
    other = machine("another")
    keep(mark, other)
    gpu = machine("h100", "gpu")
    board = Energy(value=0.5, kind="measured", source="NVML", boundary="board")
    keep(mark, gpu, energy=board, energy_note="NVML")
    keep("other weights", hardware.cpu())
    arguments = ("small", "--context", 16, "--recorded")

    (row,) = of(call("compare", *arguments)[1], "CPU", "measured")
    assert row["recorded"] == "ANOTHER (another), 2026-11-02"
    keep(mark, hardware.cpu())
    data = call("compare", *arguments)[1]
    (row,) = of(data, "CPU", "measured")
    assert row["recorded"] == "this machine, 2026-11-02" and row["here"]
    assert row["energy"] is None and "no RAPL" in row["energy_note"]
    assert row["gbs"] == pytest.approx(1000 / 2e-4 / 1e9)
    (metered,) = of(data, "GPU", "measured")
    assert metered["energy"]["kind"] == "measured" and "2026-11-02" in metered["recorded"]
    for wrong in (("--context", 17), ("--batch", 2), ("--threads", 99)):
        assert not of(
            call("compare", "small", "--context", 16, "--recorded", *wrong)[1], "CPU", "measured"
        )


def test_only_the_runtimes_that_are_asked_for(call: Call) -> None:
    mark = fingerprint(hf_config.load("small"))
    for precision in ("fp32", "int8"):
        setup = Setup(
            runtime="onnxruntime", version="1", precision=precision, tier="tuned",
            threads=hardware.cpu().cores, options={},
        )  # fmt: skip
        keep(mark, hardware.cpu(), setup=setup)
    base = ("small", "--context", 16, "--recorded", "--runtime")
    assert len(of(call("compare", *base, "onnxruntime")[1], "CPU", "measured")) == 2
    (one,) = of(call("compare", *base, "onnxruntime:int8")[1], "CPU", "measured")
    assert one["precision"] == "int8"
    assert not of(call("compare", *base, "torch")[1], "CPU", "measured")


def test_malformed_records_are_named(call: Call) -> None:
    keep("x", hardware.cpu())
    (path,) = Path("runs/baselines").rglob("small.json")
    path.write_text(path.read_text("utf-8").replace('"median": 0.0002', '"median": -1'))
    code, _, said = call("compare", "small", "--context", 16, "--recorded")
    assert code == 16 and "E850" in said and "median" in said


def test_network_and_page(call: Call, tmp_path: Path) -> None:
    code, data, _ = call(
        "compare", "net.h5", "small", "--context", 16, "--recorded", *OFF, "--out", "page"
    )
    assert code == 0
    (row,) = of(data, "FPGA", "simulated")
    assert row["model"] == "net" and row["system"] == "5 ns, unrouted, predicted cycles"
    assert row["p99"] is None
    metrics = json.loads(Path("runs/net/default/metrics.json").read_text("utf-8"))
    assert row["median"] == pytest.approx(metrics["schedule.latency_cycles"] * 5e-9)
    assert row["area"]["LUT"] == metrics["estimate.lut"]
    reasons = {one["model"]: one["reason"] for one in data["absent"] if one["platform"] == "PIM"}
    assert "takes decoders" in reasons["net"]
    files = {path.name for path in (tmp_path / "page").iterdir()}
    assert files == {"compare.html", "compare.md", "compare.json", "sources.json"}
    assert json.loads((tmp_path / "page/compare.json").read_text("utf-8"))["rows"] == data["rows"]
    page = (tmp_path / "page/compare.html").read_text("utf-8")
    assert "net" in page and "small" in page and "gateformer compare net.h5 small" in page
    text = (tmp_path / "page/compare.md").read_text("utf-8")
    assert text.startswith("# Side by side: net, small")
    # The same folder takes the next page; another one's files are left alone.
    assert call("compare", "small", "--context", 16, "--recorded", "--out", "page")[0] == 0
    (tmp_path / "page/mine.txt").write_text("mine")
    code, _, said = call("compare", "small", "--context", 16, "--recorded", "--out", "page")
    assert code == 9 and "E703" in said and (tmp_path / "page/mine.txt").exists()


@pytest.mark.verilator
def test_simulated_cycles_and_modelled_joules_of_a_network(call: Call, tmp_path: Path) -> None:
    code, data, _ = call(
        "compare", "net.h5", "--recorded", "-o", "synth.enabled=false", "-o", "generate.adders=csd",
        "-o", "simulate.verilator.vectors=50",
    )  # fmt: skip
    assert code == 0
    (row,) = of(data, "FPGA", "simulated")
    metrics = json.loads(Path("runs/net/default/metrics.json").read_text("utf-8"))
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

    def failing(*arguments: object) -> Result:
        return Result(tmp_path, errors=[MismatchError("E401", "outputs differ")])

    monkeypatch.setattr("gateformer.flow.run.run", failing)
    code, data, said = call("compare", "net.h5", "--recorded")
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
    (config,) = find([str(write_model(tmp_path / "net.h5"))])
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
        (["small", "--threads", "9999"], 2, "E022 setting out of range: '--threads'"),
        (["small", "-o", "schedule.clock_ns=1"], 2, "E006"),
        ([], 2, "E005"),
        (["small", "small/config.json"], 2, "E006 two models of one name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_arguments_are_errors_before_any_work(
    call: Call, arguments: list[str], code: int, words: str
) -> None:
    found, _, said = call("compare", *arguments)
    assert found == code and words in said
    assert not Path("runs").exists()


def test_every_wrong_argument_is_named_at_once(call: Call) -> None:
    code, _, said = call("compare", "small", "--context", 200, "--runtime", "nothing")
    assert code == 2 and "--context" in said and "unknown --runtime" in said


QUICK = ("--context", 16, "--seconds", 0.05, "--threads", 1)


@pytest.mark.usefixtures("fakes")
def test_what_has_no_record_is_measured_once_and_anew_where_asked(call: Call) -> None:
    arguments = ("compare", "small", *QUICK, "--runtime", "logits", "--runtime", "crash")
    code, data, said = call(*arguments)
    assert code == 0 and "measuring small: logits" in said
    (row,) = of(data, "CPU", "measured")
    assert row["system"].startswith("logits") and row["recorded"] == "" and row["share"] > 0
    assert "--runtime logits" in row["source"]
    (lacking,) = [one["reason"] for one in data["absent"] if one["platform"] == "CPU"]
    assert lacking.startswith("crash:fp64: E851")
    (path,) = Path("runs/baselines").rglob("small.json")
    before = path.read_bytes()
    again, data, said = call(*arguments[:-2])
    assert again == 0 and "measuring" not in said and path.read_bytes() == before
    assert of(data, "CPU", "measured")[0]["recorded"].startswith("this machine, 2")
    assert "measuring small: logits" in call(*arguments[:-2], "--measure")[2]
    assert "measuring" not in call(*arguments, "--recorded")[2]


@pytest.mark.usefixtures("fakes")
def test_network_is_measured_with_its_own_inputs(call: Call) -> None:
    code, data, _ = call("compare", "net.h5", *QUICK, *OFF, "--runtime", "reals", "--batch", 3)
    assert code == 0
    (row,) = of(data, "CPU", "measured")
    assert row["batch"] == 3 and row["exactness"] == "equal to the reference"
    (hardware_row,) = of(data, "FPGA", "simulated")
    assert hardware_row["batch"] == 3
    assert not of(data, "GPU", "modelled")


@pytest.mark.usefixtures("fakes")
def test_joules_without_a_meter_are_never_measured(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "constants", lambda: Constants(100.0, 10.0, 4, "a table"))
    arguments = ("compare", "small", *QUICK, "--runtime", "logits")
    (row,) = of(call(*arguments)[1], "CPU", "measured")
    metered = row["energy"] is not None
    (row,) = of(call(*arguments, "--estimate")[1], "CPU", "measured")
    assert row["energy"]["kind"] == ("measured" if metered else "modelled")
    assert metered or "nothing was metered" in row["energy"]["source"]


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("why", ["kernel", "pages", "samples", "threads"])
def test_a_record_of_another_setting_is_none(call: Call, why: str) -> None:
    arguments = ("compare", "small", *QUICK, "--no-huge-pages", "--runtime", "logits")
    assert "measuring small: logits" in call(*arguments)[2]
    assert "measuring" not in call(*arguments)[2]
    (path,) = Path("runs/baselines").rglob("small.json")
    (record,) = store.read(path)
    changed = {
        "kernel": {
            "hardware": record.hardware.model_copy(
                update={"details": record.hardware.details | {"kernel": "2.6"}}
            )
        },
        "pages": {
            "setup": record.setup.model_copy(
                update={"options": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}}
            )
        },
        "samples": {"times": record.times.model_copy(update={"samples": 1})},
        "threads": {"setup": record.setup.model_copy(update={"threads": 7})},
    }[why]
    path.unlink()
    store.keep([record.model_copy(update=changed)])
    assert "measuring small: logits" in call(*arguments)[2]


def test_a_record_of_another_version_of_a_runtime_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = hf_config.load("small")
    here = hardware.cpu()
    place = registry.PLACES["decode", "cpu"]
    candidate = next(one for one in registry.candidates(place) if one.runtime == "torch")
    packaged = replace(candidate, packages=("pydantic",))
    monkeypatch.setattr(measuring, "candidates", lambda place: (packaged,))
    how = measuring.Measuring(context=16, huge_pages=False)
    for version, lacks in ((f"{metadata.version('pydantic')}+cpu", False), ("0.0.1", True)):
        setup = Setup(
            runtime="torch", version=version, precision=candidate.precision, tier=candidate.tier,
            threads=here.cores, options={},
        )  # fmt: skip
        keep(fingerprint(decoder), here, setup=setup)
        held = measuring.records(decoder, how, here)
        assert len(held) == 1
        assert bool(measuring.lacking(decoder, how, "cpu", held, here)) is lacks
