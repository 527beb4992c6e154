"""The engine on tiny steps: reuse, resumption, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gateformer.config.schema import Config
from gateformer.errors import GateformerError, MismatchError, RunError, ToolError
from gateformer.flow import files
from gateformer.flow.keys import closure
from gateformer.flow.publish import publish
from gateformer.flow.result import Result
from gateformer.flow.run import run
from gateformer.flow.state import RunFolder, keys_of, read_metrics
from gateformer.flow.step import Off, Outcome, Step, View, switched_off
from gateformer.flow.view import Memory

MADE: list[str] = []


class Number(Step[int]):
    """The seed."""

    name = "number"
    uses = ("simulate.seed",)

    def make(self, view: View) -> int:
        MADE.append(self.name)
        return view.config.simulate.seed

    def write(self, view: View, product: int, folder: Path) -> Outcome:
        (folder / "number.txt").write_text(str(product))
        return Outcome({"number.value": product}, f"it is {product}")

    def load(self, view: View, folder: Path) -> int:
        return int((folder / "number.txt").read_text())


class Double(Step[int]):
    """Twice the seed."""

    name = "double"
    needs = (Number,)

    def make(self, view: View) -> int:
        MADE.append(self.name)
        return 2 * view.get(Number)

    def write(self, view: View, product: int, folder: Path) -> Outcome:
        (folder / "double.txt").write_text(str(product))
        return Outcome({"double.value": product})


class Parity(Step[int]):
    """Changes only where the seed's parity does."""

    name = "parity"
    needs = (Double,)
    uses = ("synth.enabled",)
    error: ClassVar[GateformerError | None] = None

    def make(self, view: View) -> int:
        MADE.append(self.name)
        return view.get(Double) % 4

    def write(self, view: View, product: int, folder: Path) -> Outcome:
        return Outcome({"parity.value": product}, error=self.error)

    def off(self, config: Config) -> Off | None:
        missing = ToolError("E501", "tool not found", layer="yosys")
        return switched_off(config.synth.enabled, "synth", missing)


STEPS: tuple[type[Step[Any]], ...] = (Number, Double, Parity)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    MADE.clear()
    yield
    Parity.error = None


def config(seed: int = 1, **more: Any) -> Config:
    return Config.model_validate({"model": "net.h5", "simulate": {"seed": seed}, **more})


def go(folder: Path, seed: int = 1, **more: Any) -> Result:
    MADE.clear()
    return run(config(seed, **more), STEPS, folder)


def statuses(result: Result) -> list[str]:
    return [row.status for row in result.rows]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_folders_are_numbered_and_metrics_merged(tmp_path: Path) -> None:
    result = go(tmp_path / "run")
    assert statuses(result) == ["done", "done", "skipped"]
    assert names(tmp_path / "run") == {
        "01-number",
        "02-double",
        ".lock",
        "run.json",
        "metrics.json",
        "config.resolved.toml",
    }
    metrics = read_metrics(tmp_path / "run")
    assert metrics == result.metrics
    assert metrics["double.value"] == 2
    assert metrics["parity.skipped"].startswith("E501 tool not found")


def test_second_run_reuses_all(tmp_path: Path) -> None:
    first = go(tmp_path)
    again = go(tmp_path)
    assert statuses(again)[:2] == ["reused", "reused"]
    assert not MADE
    assert again.metrics == first.metrics


def test_only_what_changed_is_made_again(tmp_path: Path) -> None:
    go(tmp_path)
    assert statuses(go(tmp_path, schedule={"reuse_factor": 2}))[:2] == ["reused", "reused"]
    assert statuses(go(tmp_path, seed=3))[:2] == ["done", "done"]
    assert read_metrics(tmp_path)["double.value"] == 6


@pytest.mark.parametrize("damage", ["output", "record", "gone"])
def test_damaged_step_is_made_again(tmp_path: Path, damage: str) -> None:
    go(tmp_path)
    if damage == "output":
        (tmp_path / "01-number/number.txt").write_text("7")
    elif damage == "record":
        (tmp_path / "01-number/step.json").write_text('{"step": 1}')
    else:
        (tmp_path / "01-number/number.txt").unlink()
    assert statuses(go(tmp_path))[0] == "done"
    assert read_metrics(tmp_path)["number.value"] == 1


def test_explicitly_enabled_step_fails_without_its_tool(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="E501"):
        go(tmp_path, synth={"enabled": True})
    assert not MADE
    assert statuses(go(tmp_path, synth={"enabled": False}))[2] == "off"


def test_found_fault_keeps_files_and_is_never_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Parity, "off", lambda self, config: None)
    Parity.error = MismatchError("E401", "simulated values differ from the model")
    result = go(tmp_path)
    assert result.error is Parity.error
    assert statuses(result)[2] == "failed"
    assert read_metrics(tmp_path)["parity.value"] == 2
    Parity.error = None
    assert statuses(go(tmp_path)) == ["reused", "reused", "done"]


def test_folder_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=r"E703.*thesis\.tex"):
        go(tmp_path)
    assert names(tmp_path) == {"thesis.tex"}
    with pytest.raises(RunError, match="E703"):
        go(tmp_path / "thesis.tex")


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path).held(), pytest.raises(RunError, match="E704"):
        go(tmp_path)
    assert statuses(go(tmp_path))[0] == "done"


def test_remains_of_a_killed_run_are_cleared(tmp_path: Path) -> None:
    go(tmp_path)
    (tmp_path / "02-double.partial").mkdir()
    (tmp_path / "01-number.old").mkdir()
    go(tmp_path)
    assert not {n for n in names(tmp_path) if n.endswith((".partial", ".old"))}


def test_disk_full_leaves_finished_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Double, view: View, product: int, folder: Path) -> Outcome:
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "double.txt"))

    with monkeypatch.context() as patch:
        patch.setattr(Double, "write", refuse)
        with pytest.raises(RunError, match=r"E701 disk full.*Free space"):
            go(tmp_path)
    assert not {"02-double", "02-double.partial"} & names(tmp_path)
    assert statuses(go(tmp_path))[:2] == ["reused", "done"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_really_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
    try:
        go(disk / "run")
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space"), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        with pytest.raises(RunError, match="E701"):
            go(disk / "run", seed=5)
        json.loads((disk / "run/01-number/step.json").read_text())
        ballast.unlink()
        assert statuses(go(disk / "run", seed=5))[:2] == ["done", "done"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_whole_files_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.json"
    path.write_text("old")

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(OSError, match="full"):
        files.write_whole(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == {"metrics.json"}


SLEEPY = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
from test_flow import Double, STEPS, config
from gateformer.cli.failures import explain, report
from gateformer.flow.run import run

def make(self, view):
    print("working", flush=True)
    time.sleep(60)

Double.make = make
try:
    run(config(), STEPS, Path({folder!r}))
except BaseException as error:
    sys.exit(report(explain(error), as_json=False))
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_interrupt_then_resume(tmp_path: Path, sign: signal.Signals) -> None:
    folder = tmp_path / "run"
    code = SLEEPY.format(here=str(Path(__file__).parent), folder=str(folder))
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT, and so would what they start.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        time.sleep(0.1)
        process.send_signal(sign)
        _, said = process.communicate(timeout=30)
    if sign is signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in said
        assert "02-double.partial" not in names(folder)
    assert "02-double" not in names(folder)
    assert statuses(go(folder))[:2] == ["reused", "done"]


def test_memory_makes_each_product_once() -> None:
    view = Memory(config(4))
    assert view.get(Parity) == 0
    assert view.get(Double) == 8
    assert MADE == ["parity", "double", "number"]


def test_closure_takes_what_a_target_needs() -> None:
    assert closure(STEPS, ["double"]) == {Number, Double}
    assert closure(STEPS, []) == set(STEPS)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_damaged_metrics(tmp_path: Path, text: str) -> None:
    with pytest.raises(RunError, match="E703"):
        read_metrics(tmp_path)
    go(tmp_path)
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(RunError, match="E705"):
        read_metrics(tmp_path)


def test_what_does_not_need_the_failed_step_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = MismatchError("E404", "generated Verilog differs from the schedule")
    monkeypatch.setattr(Number, "write", lambda *_: Outcome(error=fault))
    monkeypatch.setattr(Parity, "off", lambda self, config: None)
    monkeypatch.setattr(Parity, "needs", ())
    monkeypatch.setattr(Parity, "make", lambda self, view: 0)
    result = go(tmp_path)
    assert result.error is fault
    assert statuses(result) == ["failed", "skipped", "done"]
    assert result.rows[1].note == "it needs number"


def test_what_an_earlier_run_left_is_no_part_of_this_one(tmp_path: Path) -> None:
    go(tmp_path)
    assert set(keys_of(tmp_path) or ()) == {"number", "double"}
    first = keys_of(tmp_path)
    run(config(3), STEPS, tmp_path, ["number"])
    last = keys_of(tmp_path)
    assert (tmp_path / "02-double").is_dir()
    assert set(last or ()) == {"number"} and last != first


def test_a_tool_that_fails_leaves_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(tmp_path)

    def refuse(self: Double, view: View) -> int:
        raise ToolError("E502", "tool failed", layer="iverilog")

    with monkeypatch.context() as patch:
        patch.setattr(Double, "make", refuse)
        assert statuses(go(tmp_path, seed=2))[1] == "failed"
    record = json.loads((tmp_path / "02-double/step.json").read_text())
    assert record["failed"] and record["note"] == "E502 tool failed"
    assert record["key"] == (keys_of(tmp_path) or {})["double"]
    assert not (tmp_path / "02-double/double.txt").exists()
    assert statuses(go(tmp_path, seed=2))[:2] == ["reused", "done"]


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    folder, thesis = tmp_path / "run", tmp_path / "thesis.tex"
    thesis.write_text("mine")
    go(folder)
    (folder / ".lock").unlink()
    (folder / ".lock").symlink_to(thesis)
    with pytest.raises(RunError, match="E705"):
        go(folder)
    assert thesis.read_text() == "mine"


def test_no_link_in_a_run_is_written_through(tmp_path: Path) -> None:
    folder, mine = tmp_path / "run", tmp_path / "mine"
    (mine / "double").mkdir(parents=True)
    for path in (mine / "double/thesis.tex", mine / "notes.txt"):
        path.write_text("mine")
    go(folder)
    for name in ("scratch", "02-double.partial"):
        (folder / name).symlink_to(mine)
    for name in ("metrics.json", "config.resolved.toml", "run.json"):
        (folder / name).unlink()
        (folder / name).symlink_to(mine / "notes.txt")
    (folder / ".metrics.json.partial").symlink_to(mine / "notes.txt")
    go(folder, seed=5)
    assert {path.name for path in mine.rglob("*")} == {"double", "thesis.tex", "notes.txt"}
    assert (mine / "notes.txt").read_text() == (mine / "double/thesis.tex").read_text() == "mine"
    page = folder / "page.html"
    page.with_name(".page.html.partial").symlink_to(mine / "notes.txt")
    files.write_whole(page, "page")
    assert (mine / "notes.txt").read_text() == "mine" and page.read_text() == "page"


def test_sources_go_where_a_link_points(tmp_path: Path) -> None:
    there, link = tmp_path / "there", tmp_path / "link"
    there.mkdir()
    link.symlink_to(there)
    for text in ("one", "two"):
        assert publish({"a.v": text}, link, "generate rtl") == there
        assert (there / "a.v").read_text() == text
        assert link.is_symlink() and names(tmp_path) == {"there", "link"}
