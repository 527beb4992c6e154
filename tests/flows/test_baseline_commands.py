"""``gateformer baseline`` end to end: measured in workers, kept, listed; and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from flows.tiny import TYPES, Call
from unit.baseline_candidates import DECODERS_PLACE, PLACE
from unit.baseline_records import PLAIN, record

from gateformer.baselines import bandwidth, registry, running, store
from gateformer.baselines.bandwidth import Bandwidth
from gateformer.baselines.listing import measured
from gateformer.baselines.record import Record
from gateformer.baselines.running import Rows
from gateformer.cli import main
from gateformer.quant.errors import BaselineError

CONFIG: dict[str, Any] = {
    "model_type": "gpt2",
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "vocab_size": 100,
}
QUICK = ("--seconds", 0.05, "--threads", 1)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put the tests' candidates in the runtimes' place, and a constant in the bandwidth's."""
    monkeypatch.setitem(registry.PLACES, ("network", "cpu"), PLACE)  # type: ignore[arg-type]
    monkeypatch.setitem(registry.PLACES, ("decode", "cpu"), DECODERS_PLACE)  # type: ignore[arg-type]
    monkeypatch.setattr(bandwidth, "measure", lambda threads: Bandwidth(10.0, "assumed"))
    monkeypatch.setattr(store, "shipped", lambda: tmp_path / "none")


def decoder(name: str = "small", **changes: object) -> Path:
    path = Path(f"{name}.json")
    path.write_text(json.dumps(CONFIG | changes))
    return path


def test_networks_and_decoders_are_measured_kept_and_listed(call: Call) -> None:
    runtimes = ("--runtime", "reals", "--runtime", "logits", "--runtime", "crash")
    models = ("net.h5", decoder(), TYPES)
    code, answer, _ = call(
        "baseline", "cpu", *models, *QUICK, *runtimes, "--batch", 3, "--context", 5
    )
    assert code == 0
    network, decode = answer["models"]
    assert [one["setup"]["runtime"] for one in network["records"]] == ["reals"]
    assert [one["setup"]["runtime"] for one in decode["records"]] == ["logits"]
    assert [one["candidate"] for one in network["failures"]] == ["crash:fp64"]
    assert network["failures"][0]["error"]["code"] == "E851"
    first = Record.model_validate_json(json.dumps(network["records"][0]))
    assert first.workload.batch == 3
    assert first.hardware.bandwidth_gbs == 10.0
    assert first.difference == 0
    assert decode["records"][0]["workload"]["context"] == 5
    held = sorted(Path("runs/baselines").rglob("*.json"))
    assert [path.parent.name for path in held] == [first.hardware.id] * 2
    code, listed, _ = call("baseline", "list")
    assert code == 0
    assert {one["setup"]["runtime"] for one in listed["baselines"]} == {"reals", "logits"}
    assert not any(one["shipped"] for one in listed["baselines"])
    assert len(call("baseline", "list", "--workload", network["name"])[1]["baselines"]) == 1


def test_where_nothing_was_measured_the_exit_code_is_the_reason_s(call: Call) -> None:
    code, answer, _ = call("baseline", "cpu", "net.h5", TYPES, *QUICK, "--runtime", "wrong")
    assert code == 16
    assert answer["models"][0]["failures"][0]["error"]["code"] == "E852"
    assert not Path("runs/baselines").exists()


def test_what_is_asked_wrongly_is_told_before_anything_runs(call: Call) -> None:
    path = decoder(n_positions=64)
    code, _, said = call("baseline", "cpu", path, "--runtime", "logit", "--runtime", "wrong")
    assert code == 2
    assert "Did you mean 'logits'?" in said
    assert "'wrong'" in said
    code, _, said = call("baseline", "cpu", path, "--context", 64, *QUICK)
    assert code == 2
    assert "Choose 0 to 63" in said
    code, _, said = call("baseline", "cpu", path, "--context", 64, "--threads", 5000)
    assert code == 2
    assert "'--context'" in said and "'--threads'" in said
    code, _, said = call("baseline", "cpu", "gpt5-small", *QUICK)
    assert code == 10
    code, _, said = call("baseline", "cpu", path, "--seconds", 0)
    assert code == 2


def test_a_malformed_file_of_records_stops_it_before_anything_runs(call: Call) -> None:
    folder = Path("runs/baselines/a-machine")
    folder.mkdir(parents=True)
    (folder / "small.json").write_text('{"records": 3}')
    code, _, said = call("baseline", "cpu", decoder(), *QUICK, "--context", 5)
    assert (code, said.split()[0]) == (16, "E850")
    store.keep([record()])
    code, listed, _ = call("baseline", "list")
    assert code == 16
    assert [one["workload"]["name"] for one in listed["baselines"]] == ["gpt2-small"]
    assert {one["code"] for one in listed["faults"]} == {"E850"}


def test_a_malformed_file_of_another_model_stops_nothing(call: Call) -> None:
    folder = Path("runs/baselines/a-machine")
    folder.mkdir(parents=True)
    (folder / "other.json").write_text("{")
    arguments = ("baseline", "cpu", decoder(), *QUICK, "--runtime", "logits", "--context", 5)
    assert call(*arguments)[0] == 0


def test_a_place_that_takes_no_records_is_told_before_anything_runs(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: object, **named: object) -> None:
        raise AssertionError

    monkeypatch.setattr(running, "measure", never)
    Path("runs").write_text("a file")
    code, _, said = call("baseline", "cpu", decoder(), *QUICK, "--context", 5)
    assert (code, said.split()[0]) == (9, "E706")


def test_what_was_measured_is_shown_where_it_cannot_be_stored(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "keep", full)
    arguments = ("baseline", "cpu", decoder(), *QUICK, "--runtime", "logits", "--context", 5)
    code, answer, _ = call(*arguments)
    assert code == 9
    (model,) = answer["models"]
    assert model["records"][0]["setup"]["runtime"] == "logits"


def test_tables_show_times_with_their_number_and_why_no_energy(
    call: Call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    path = str(decoder())
    assert main(["baseline", "cpu", path, "--seconds", "0.05", "--threads", "1",
                 "--context", "5"]) == 0  # fmt: skip
    shown = capsys.readouterr().out
    assert "one token after 5 others, 1 thread" in shown
    assert "p50" in shown and "p99" in shown
    assert "crash:fp64" in shown and "about to fall over" in shown
    assert "memory gives 10 GB/s (assumed)" in shown
    assert "joule" not in shown
    assert main(["baseline", "list"]) == 0
    assert "here" in capsys.readouterr().out


def test_a_gpu_s_rows_are_measured_the_same_way(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.PLACES, ("decode", "cuda"), DECODERS_PLACE)  # type: ignore[arg-type]
    board = record().hardware.model_copy(update={"id": "a-board", "kind": "gpu"})
    monkeypatch.setattr(running, "machine", lambda device, threads: lambda pages: board)
    code, answer, _ = call("baseline", "gpu", decoder(), *QUICK, "--context", 5)
    assert code == 0
    (model,) = answer["models"]
    assert model["records"][0]["hardware"]["kind"] == "gpu"
    assert model["failures"][0]["candidate"] == "crash:fp64"
    assert Path("runs/baselines/a-board/small.json").is_file()


def test_without_a_gpu_nothing_runs_and_the_reason_is_told(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(device: str, threads: int | None) -> None:
        raise BaselineError("E853", "no GPU", cause="A test took it away")

    monkeypatch.setattr(running, "machine", none)
    code, answer, said = call("baseline", "gpu", decoder(), *QUICK, "--context", 5)
    assert (code, answer["error"]["code"]) == (16, "E853")
    assert "A test took it away" in said


def test_a_crowded_machine_is_told_of() -> None:
    quiet, loud = record(), record().model_copy(update={"load": 8.0})
    for one, said in ((quiet, False), (loud, True)):
        answer = measured([Rows("gpt2-small", "decode", (one,), None)])
        assert any("4.0 processes a core" in note for note in answer.notes) == said


def test_an_estimate_is_called_modelled() -> None:
    guess = {"value": 0.5, "kind": "modelled", "source": "65 W x 0.2", "boundary": "package"}
    one = Record.model_validate(PLAIN | {"energy": guess})
    answer = measured([Rows("gpt2-small", "decode", (one,), None)])
    assert "Energy is modelled: 65 W x 0.2." in answer.notes
    assert answer.blocks[0].rows[0][-1] == "500 mJ, modelled"
    assert not any("measured" in str(cell) for cell in answer.blocks[0].rows[0])


def test_an_empty_store_says_how_to_fill_it(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("baseline", "list")[1] == {"baselines": [], "faults": []}
    assert main(["baseline", "list"]) == 0
    assert "baseline cpu MODEL" in capsys.readouterr().out
