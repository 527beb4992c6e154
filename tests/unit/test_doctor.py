"""``gateformer doctor``, and the one-line failures that every command shares."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from gateformer import cli
from gateformer.errors import Interrupted, ModelError, ToolError
from gateformer.quant.signals import Ended
from gateformer.quant.tools import TOOLS, Tool, find_tool, require_tool
from gateformer.toolchains.find import PACKAGES, version_of


def program(folder: Path, name: str, text: str) -> Path:
    """Write a small shell program."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_json_lists_every_piece(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [piece["name"] for piece in answer["packages"]] == list(PACKAGES)
    assert [piece["name"] for piece in answer["programs"]] == list(TOOLS)
    numpy = answer["packages"][0]
    assert numpy["found"]
    assert numpy["version"]
    assert all(piece["enables"] and piece["get"] for piece in answer["programs"])
    assert [piece["name"] for piece in answer["meters"]] == ["RAPL", "NVML"]
    assert all(piece["found"] != bool(piece["get"]) for piece in answer["meters"])


def test_table_names_every_piece_and_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*PACKAGES, *TOOLS))
    assert "apt install iverilog" in shown
    assert "\x1b" not in shown


def test_extras_that_it_names_exist() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for extra in {extra for _, extra in PACKAGES.values() if extra}:
        assert f"\n{extra} = [" in text


def test_override_is_the_only_place_looked_at(tmp_path: Path) -> None:
    mine = program(tmp_path, "my-iverilog", "exit 0")
    assert find_tool("iverilog", mine) == mine
    assert find_tool("make", tmp_path / "absent") is None


def test_missing_tool_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        require_tool("iverilog", tmp_path / "absent")
    assert str(caught.value) == (
        f"E501 tool not found: 'iverilog'. It is not at {tmp_path / 'absent'}. "
        "apt install iverilog."
    )


def test_alias_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tool = Tool("nextpnr", "place and route", "pip install it", aliases=("yowasp-nextpnr",))
    monkeypatch.setitem(TOOLS, tool.name, tool)
    assert find_tool("nextpnr") is None
    alias = program(tmp_path, "yowasp-nextpnr", "exit 0")
    assert find_tool("nextpnr") == alias


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("echo 'g++ (Debian 12.2.0-14+deb12u1) 12.2.0'", "12.2.0"),
        ("echo 'Icarus Verilog version 11.0 (stable)' >&2", "11.0"),
        ("echo 'Vivado v2023.1 (64-bit)'", "2023.1"),
        ("printf '\\377\\376 22.1 Build 917'", "22.1"),
        ("read line; echo ${line:-1.5}", "1.5"),
        ("echo unknown", ""),
        ("exit 1", ""),
    ],
)
def test_version_is_the_first_dotted_number(tmp_path: Path, text: str, number: str) -> None:
    assert version_of(program(tmp_path, "tool", text)) == number


@pytest.mark.parametrize(("name", "option"), [("vivado", "-version"), ("quartus_sh", "--version")])
def test_vendors_are_asked_in_their_own_way(tmp_path: Path, name: str, option: str) -> None:
    assert version_of(program(tmp_path, name, f'test "$1" = {option} && echo 22.1')) == "22.1"


def test_program_that_cannot_start_has_no_version(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("", encoding="utf-8")
    assert version_of(tmp_path / "tool") == ""


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make ``doctor`` raise."""

    def command() -> None:
        raise error

    monkeypatch.setattr("gateformer.cli.doctor.command", command)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ModelError("E102", "unsupported layer", layer="gru_1"), 3, "E102 unsupported layer: 'gru"),
        (OSError(errno.ENOSPC, "full", "/out/x"), 9, "E701 disk full: '/out/x'. Free space"),
        (OSError(errno.EACCES, "denied", "/out"), 9, "E702 permission denied: '/out'. Choose"),
        (OSError(errno.ENOTDIR, "Not a directory", "a"), 9, "E706 file system error: 'a'. Not a"),
        (KeyboardInterrupt(), 130, "E707 interrupted. "),
        (Interrupted(), 130, "E707 interrupted."),
        (Ended(143), 143, "E707 interrupted. Nothing is half-written"),
        (typer.Abort(), 130, "E707 interrupted. "),
        (typer.Exit(5), 5, ""),
    ],
)
def test_failures_are_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    failing(monkeypatch, error)
    assert cli.main(["doctor"]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(line)
    assert captured.err.count("\n") == (1 if line else 0)
    assert not captured.out


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), OSError(errno.EIO, "input")])
def test_a_defect_saves_its_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    error: Exception,
) -> None:
    monkeypatch.chdir(tmp_path)
    failing(monkeypatch, error)
    assert cli.main(["doctor"]) == 70
    log = tmp_path / "gateformer-crash.log"
    assert capsys.readouterr().err == (
        f"internal error: {type(error).__name__}: {error}. Its traceback is in {log}\n"
    )
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_json_failures_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json", "--nonsense"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == 2
    assert answer["error"]["code"] == "E005"


def test_unknown_command_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["docter"]) == 2
    assert "Did you mean 'doctor'?" in capsys.readouterr().err


def test_a_command_returns_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateformer.cli.doctor.command", lambda: 7)
    assert cli.main(["doctor"]) == 7


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a shell of its own."""
    gateformer = (
        f"'{sys.executable}' -c 'from gateformer.cli import main; raise SystemExit(main())'"
    )
    text = line.replace("gateformer", gateformer)
    return subprocess.run(
        ["bash", "-c", text], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("gateformer doctor --json > /dev/full", 9, "E701 disk full."),
        ("gateformer doctor --json | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("gateformer doctor | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("gateformer pim devices | true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_output_that_cannot_be_written(tmp_path: Path, line: str, code: int, message: str) -> None:
    ended = shell(line, tmp_path)
    assert ended.returncode == code
    assert ended.stderr.startswith(message)
    assert ended.stderr.count("\n") <= 1
    assert not list(tmp_path.iterdir())
