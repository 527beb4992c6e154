"""Carrying out plans: what is said of each way in which a tool can go wrong, and what ends."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mock_tools.kit import Bench, bench

from gateformer.quant.errors import (
    BuildError,
    BuildTimeout,
    LicenceError,
    TimingError,
    ToolError,
)
from gateformer.quant.tools import TOOLS, Tool
from gateformer.toolchains.execute import Built, execute, write
from gateformer.toolchains.hearing import ERROR, LICENCE
from gateformer.toolchains.plan import LOG, PYTHON, Call, Metric, Plan, Report
from gateformer.toolchains.process import LONGEST_LINE, TimeUp, stream

HOSTILE = "a b$[x]{y};\"z'\\ü"
"""A folder's name with all that Tcl, shells and make give a meaning to."""


def slack(text: str) -> dict[str, Metric]:
    """A report that is a number: the slack."""
    value = float(text)
    return {"wns_ns": value, "timing_met": value >= 0}


def python(code: str, *reports: Report, **more: object) -> Plan:
    """A plan of one call, of Python."""
    return Plan("mock", {"do.py": code}, (Call(PYTHON, ("do.py",), "Doing"),), reports, **more)  # type: ignore[arg-type]


REPORT = Report("slack.txt", slack)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int]) -> bool:
    """Whether processes are gone, within seconds."""
    for _ in range(100):
        if not any(map(alive, pids)):
            return True
        time.sleep(0.05)
    return False


def test_a_good_build(tmp_path: Path) -> None:
    code = "print('hello'); open('slack.txt', 'w').write('0.25'); open('a.bit', 'w').close()"
    said: list[str] = []
    built = execute(python(code, REPORT, products=("*.bit",)), tmp_path, say=said.append)
    assert built == Built(
        {"build.mock.wns_ns": 0.25, "build.mock.timing_met": True},
        None,
        (Path(LOG), Path("slack.txt"), Path("a.bit")),
    )
    assert (tmp_path / LOG).read_text("utf-8") == "hello\n"
    assert said[0] == "Doing"


def error_of(built: Built, kind: type[ToolError], code: str) -> str:
    """The message of a build's error, which is of a class and has a code."""
    assert type(built.error) is kind
    assert built.error.code == code
    return str(built.error)


def test_a_failure_is_the_first_error_that_the_tool_said(tmp_path: Path) -> None:
    code = "print('INFO: fine\\nERROR: [X 1-2] first\\nERROR: second'); raise SystemExit(3)"
    said = error_of(execute(python(code, REPORT), tmp_path), BuildError, "E502")
    assert said == f"E502 tool failed: 'python'. ERROR: [X 1-2] first. See {tmp_path / LOG}."


def test_a_failure_without_words_tells_its_status(tmp_path: Path) -> None:
    said = error_of(execute(python("raise SystemExit(3)"), tmp_path), BuildError, "E502")
    assert "ended with status 3" in said


def test_a_killed_tool_says_by_what(tmp_path: Path) -> None:
    code = "import os; print('ERROR: harmless', flush=True); os.kill(os.getpid(), 9)"
    said = error_of(execute(python(code), tmp_path), BuildError, "E502")
    assert "ended by SIGKILL" in said and "memory" in said


def test_no_licence(tmp_path: Path) -> None:
    code = "print('Error (292000): FLEXlm software error'); raise SystemExit(1)"
    said = error_of(execute(python(code), tmp_path), LicenceError, "E506")
    assert "FLEXlm software error" in said


def test_an_error_that_ends_well_is_found_by_the_missing_report(tmp_path: Path) -> None:
    built = execute(python("print('ERROR: no licence for this')", REPORT), tmp_path)
    error_of(built, LicenceError, "E506")


def test_a_missing_report(tmp_path: Path) -> None:
    said = error_of(execute(python("", REPORT), tmp_path), BuildError, "E508")
    assert "slack.txt" in said and LOG in said
    optional = Report("slack.txt", slack, required=False)
    assert execute(python("", optional), tmp_path).error is None


def test_an_unreadable_report(tmp_path: Path) -> None:
    code = "open('slack.txt', 'wb').write(b'\\xff\\xfe none')"
    said = error_of(execute(python(code, REPORT), tmp_path), BuildError, "E508")
    assert "slack.txt" in said and "could not convert" in said


@pytest.mark.parametrize(
    ("parse", "told"),
    [
        (lambda text: {"fmax_mhz": float(10**400)}, "OverflowError"),
        (lambda text: {"lut": slack_of(text)}, "RecursionError"),
        (lambda text: {"lut": -1}, "'lut' is -1"),
        (lambda text: {"lut": 10**400}, "'lut' is 1000"),
        (lambda text: {"wns_ns": float("nan")}, "'wns_ns' is nan"),
    ],
)
def test_a_report_of_nonsense(
    parse: Callable[[str], dict[str, Metric]], told: str, tmp_path: Path
) -> None:
    plan = python("open('r', 'w')", Report("r", parse))
    assert told in error_of(execute(plan, tmp_path), BuildError, "E508")


def slack_of(text: str) -> int:
    """A parser that never comes to an end."""
    return slack_of(text)


def test_a_report_that_leads_elsewhere_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("0.25")
    folder = tmp_path / "build"
    folder.mkdir()
    code = "import os; os.symlink('../other.txt', 'slack.txt')"
    built = execute(python(code, REPORT), folder)
    assert "link out of the build's folder" in error_of(built, BuildError, "E508")
    assert built.metrics == {} and built.products == (Path(LOG),)


def test_timing_not_met_keeps_the_metrics(tmp_path: Path) -> None:
    code = "open('slack.txt', 'w').write('-0.4')"
    built = execute(python(code, REPORT, clock_ns=2.5), tmp_path)
    said = error_of(built, TimingError, "E507")
    assert "clock period is 2.5 ns" in said and "-0.4 ns" in said
    assert built.metrics["build.mock.wns_ns"] == -0.4


def test_a_tool_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    monkeypatch.setitem(TOOLS, "broken", Tool("broken", "nothing", "Install it"))
    plan = Plan("mock", {}, (Call("broken", (), "Doing"),))
    built = execute(plan, tmp_path, paths={"broken": broken})
    assert "cannot be started" in error_of(built, BuildError, "E502")


def test_a_missing_tool_gets_its_files_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    plan = Plan("vivado", {"a/build.tcl": "puts 1\n"}, (Call("vivado", ("-x",), "Vivado"),))
    said = error_of(execute(plan, tmp_path), ToolError, "E501")
    assert "settings64.sh" in said
    assert (tmp_path / "a/build.tcl").read_text("utf-8") == "puts 1\n"
    assert "\nvivado -x\n" in (tmp_path / "build.sh").read_text("utf-8")


def test_the_call_whose_program_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = bench(tmp_path, monkeypatch)
    (tools.bin / "vitis-run").write_text("#!/bin/sh\necho newer\n")
    (tools.bin / "vitis-run").chmod(0o755)
    newer = Call("vitis-run", (), "Vitis HLS")
    plan = Plan("vitis_hls", {}, (Call("vitis_hls", (), "Vitis HLS", otherwise=newer),))
    assert execute(plan, tmp_path).error is None
    assert (tmp_path / LOG).read_text("utf-8") == "newer\n"
    (tools.bin / "vitis-run").unlink()
    error = execute(plan, tmp_path).error
    assert error is not None and error.layer == "vitis_hls"


def test_the_script_does_the_same_from_a_hostile_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = bench(tmp_path, monkeypatch)
    for name in ("dirname", "cat", "vitis-run", "vivado"):
        place = tools.bin / name
        real = next((p for p in ("/usr/bin", "/bin") if Path(p, name).exists()), None)
        if real:
            place.symlink_to(Path(real, name))
        else:
            place.write_text(f'#!/bin/sh\necho "{name} $1 $2"\n')
            place.chmod(0o755)
    first = Call("vitis_hls", ("no",), "First", Call("vitis-run", ("a b", "$c'"), "First"))
    plan = Plan("mock", {"x y.txt": "text\n"}, (first, Call("vivado", ("-x", "[y]"), "Second")))
    folder = tmp_path / HOSTILE
    folder.mkdir()
    write(plan, folder)
    done = subprocess.run(
        ["sh", str(folder / "build.sh")], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.splitlines() == ["vitis-run a b $c'", "vivado -x [y]"]


def test_a_hostile_folder_is_only_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE
    folder.mkdir()
    code = "import os; print(os.getcwd()); open('slack.txt', 'w').write('1')"
    assert execute(python(code, REPORT), folder).error is None
    assert (folder / LOG).read_text("utf-8") == f"{folder}\n"


def test_time_is_up_for_all_that_the_tool_started(tmp_path: Path) -> None:
    code = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
open("pids", "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""
    start = time.monotonic()
    built = execute(python(code), tmp_path, timeout_s=1.5)
    assert time.monotonic() - start < 20
    assert "stopped after 2 s" in error_of(built, BuildTimeout, "E503")
    assert gone([int(pid) for pid in (tmp_path / "pids").read_text().split()])


def test_time_counts_for_a_tool_that_never_stops_talking(tmp_path: Path) -> None:
    code = "import sys\nwhile True: sys.stdout.write('x' * 100000)"
    error_of(execute(python(code), tmp_path, timeout_s=1.0), BuildTimeout, "E503")


def test_what_a_tool_leaves_running_does_not_hold_us_up(tmp_path: Path) -> None:
    code = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("pids", "w").write(str(child.pid))
print("done", flush=True)
"""
    start = time.monotonic()
    assert execute(python(code), tmp_path).error is None
    assert time.monotonic() - start < 20
    assert gone([int((tmp_path / "pids").read_text())])


def test_a_huge_log_is_neither_held_nor_cut(tmp_path: Path) -> None:
    code = """
import sys
out = sys.stdout.buffer
for _ in range(100):
    out.write(b"\\xff\\xfe\\x00 no text \\x1b[2J\\r\\n" * 10000)
out.write(b"y" * 20_000_000 + b"\\nERROR: \\xff\\x1b[31mlate\\n")
raise SystemExit(1)
"""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    built = execute(python(code), tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000  # KiB
    assert (tmp_path / LOG).stat().st_size > 35_000_000
    said = error_of(built, BuildError, "E502")
    assert "ERROR: \ufffd[31mlate" in said and "\x1b" not in said


def test_a_listener_gets_the_beginning_of_a_long_line(tmp_path: Path) -> None:
    heard: list[str] = []
    code = "import sys; sys.stdout.write('z' * 1_000_000 + chr(10) + 'end')"
    status = stream([sys.executable, "-c", code], tmp_path, tmp_path / LOG, heard.append, 60)
    assert status == 0
    assert [len(line) for line in heard] == [LONGEST_LINE, 3]


def test_a_stopped_interpreter_stops_its_tool(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from gateformer.toolchains.process import stream
stream([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"],
       Path({str(tmp_path)!r}), Path({str(tmp_path / LOG)!r}), print, 600)
"""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        (tmp_path / LOG).write_bytes(b"")
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda number=number: signal.signal(number, signal.SIG_DFL),
        )
        pid = waited(lambda: (tmp_path / LOG).read_text("utf-8").strip())
        process.send_signal(number)
        assert process.wait(30) != 0
        assert gone([int(pid)])


def waited(ask: Callable[[], str]) -> str:
    """Ask until there is an answer."""
    for _ in range(400):
        if answer := ask():
            return answer
        time.sleep(0.05)
    raise AssertionError("no answer")


def test_time_up_is_raised_by_the_stream_itself(tmp_path: Path) -> None:
    with pytest.raises(TimeUp):
        stream(["sleep", "60"], tmp_path, tmp_path / LOG, print, 0.2)


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", ""])
def test_a_plan_stays_inside_its_folder(path: str) -> None:
    with pytest.raises(ValueError, match="no path inside"):
        Plan("mock", {path: ""}, ())


def test_programs_named_by_the_configuration_are_found_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKELEVEL", "1")  # as under a make of one's own
    inner = tmp_path / "else where"
    inner.mkdir()
    (inner / "i++").write_text("#!/bin/sh\necho compiled\n")
    (inner / "i++").chmod(0o755)
    plan = Plan(
        "quartus_hls",
        {"Makefile": "x:\n\t@i++\n"},
        (Call("make", ("x",), "Intel HLS"),),
        needs=("i++",),
    )
    assert execute(plan, tmp_path, paths={"i++": inner / "i++"}).error is None
    assert (tmp_path / LOG).read_text("utf-8") == "compiled\n"


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: [Synth 8-439] module 'gf_delay' not found",
        "@E [HLS-101] unknown command",
        "Error (10161): Verilog HDL error at a.v(3)",
        "error: cannot find 'x'",
        "  ERROR: Max frequency for clock",
        "firmware/a.cpp:3:5: error: use of undeclared identifier",
    ],
)
def test_lines_that_are_errors(line: str) -> None:
    assert ERROR.match(line)


@pytest.mark.parametrize(
    "line",
    [
        "INFO: 0 errors",
        "0 Infos, 0 Warnings, 0 Critical Warnings and 1 Errors encountered.",
        "Info: Quartus Prime Fitter was successful. 0 errors, 3 warnings",
        "WARNING: [Synth 8-1] error-prone",
    ],
)
def test_lines_that_are_none(line: str) -> None:
    assert not ERROR.match(line)


@pytest.mark.parametrize(
    ("line", "licence"),
    [
        ("ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis'", True),
        ("Error (119013): Current license file does not support the device", True),
        ("Error (292000): FLEXlm software error", True),
        ("ERROR: [Synth 8-1] /home/license/a.v:3: syntax error", False),
        ("ERROR: mylicense.v not found", False),
    ],
)
def test_which_errors_are_about_a_licence(line: str, licence: bool) -> None:
    assert bool(LICENCE.search(line)) is licence


def test_the_bench_hides_real_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools: Bench = bench(tmp_path, monkeypatch)
    assert os.environ["PATH"] == str(tools.bin)
