"""HLS C++ through g++: exact integers, and what is said when something goes wrong."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from unit.hls_hand_made import FEATURES, KINDS, TOKENS, project

from gateformer.hw.hls.project import Backend, IoType, Project
from gateformer.quant.errors import DataError, MismatchError, Problems, ToolError
from gateformer.quant.types import Fixed, IntArray
from gateformer.sim.hls.build import compile_project
from gateformer.sim.hls.compare import compare
from gateformer.sim.hls.processes import Hung, Job, run_jobs
from gateformer.sim.hls.program import from_words, split, to_words
from gateformer.sim.hls.trace import first_difference, tapped

pytestmark = pytest.mark.hls

SHAPE = (TOKENS, FEATURES)
BYTE = {"byte": KINDS["byte"]}


def extremes(kind: Fixed, count: int = 200) -> IntArray:
    """Frames of both ends of a type, of what lies beside them, and of random integers."""
    random = np.random.default_rng(kind.width)
    ends = [kind.min, kind.max, min(kind.min + 1, kind.max), max(kind.max - 1, kind.min), 0]
    span = kind.max - kind.min + 1
    drawn = [kind.min + int.from_bytes(random.bytes(16)) % span for _ in range(count * 6 - 5)]
    whole = np.array([*ends, *drawn], dtype=object).reshape(count, *SHAPE)
    return whole.astype(np.int64) if kind.width < 63 else whole


def frames(of: Project, count: int = 200) -> dict[str, IntArray]:
    return {port.name: extremes(port.type, count) for port in of.inputs}


CASES: list[tuple[Backend, IoType]] = [
    (backend, io_type)
    for backend, io_type in itertools.product(("vitis", "quartus"), ("io_parallel", "io_stream"))
]  # type: ignore[assignment]


@pytest.mark.parametrize(("backend", "io_type"), CASES)
def test_raw_integers_pass_unchanged(backend: Backend, io_type: IoType, tmp_path: Path) -> None:
    made = project(backend, io_type)
    compiled = compile_project(made, tmp_path, tmp_path / "cache")
    assert compiled.seconds > 0
    data = frames(made)
    seen: list[tuple[int, int]] = []
    found = compiled.run(data, progress=lambda done, total: seen.append((done, total)))
    for name, array in data.items():
        assert np.array_equal(found[f"{name}_out"], array), name
        assert found[f"{name}_out"].dtype == array.dtype
    assert seen[-1] == (200, 200)
    assert compile_project(made, tmp_path, tmp_path / "cache").seconds == 0
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]

    expected = {f"{k}{end}": v[:1] for end in ("", "_mid", "_out") for k, v in data.items()}
    first = {name: array[:1] for name, array in data.items()}
    assert first_difference(made, first, expected, tmp_path, tmp_path / "cache") is None
    expected["natural_mid"] = expected["natural_mid"].copy()
    expected["natural_mid"][0, 2, 1] += 1
    differs = first_difference(made, first, expected, tmp_path, tmp_path / "cache")
    assert differs is not None
    assert (differs.value, differs.index) == ("natural_mid", (2, 1))
    assert differs.expected == differs.actual + 1


@pytest.mark.parametrize("kind", [*KINDS.values(), Fixed(True, 128, 5), Fixed(False, 129, -4)])
def test_words_and_back(kind: Fixed, tmp_path: Path) -> None:
    port = replace(project(kinds={"x": kind}).inputs[0], type=kind)
    data = extremes(kind)
    to_words(data, port).tofile(tmp_path / "x")
    assert np.array_equal(from_words([tmp_path / "x"], port), data)


def test_frames_are_split_over_processes_that_are_worth_it() -> None:
    assert split(10, 2) == [(0, 10)]
    assert split(1001, 2) == [(0, 500), (500, 501)]
    assert split(0, 4) == [(0, 0)]


def test_types_are_those_of_the_graph(tmp_path: Path) -> None:
    made = project(kinds=BYTE)
    other = replace(made.outputs[0], type=Fixed(True, 9, 3))
    with pytest.raises(ToolError, match="the width differs from the graph's") as caught:
        compile_project(replace(made, outputs=(other,)), tmp_path)
    assert caught.value.code == "E502"


def test_a_compile_error_is_told_and_leaves_a_log(tmp_path: Path) -> None:
    made = project(kinds=BYTE, body="  int x = no_such_thing;")
    with pytest.raises(ToolError, match=r"firmware/net.cpp:\d+:\d+: error: .no_such") as caught:
        compile_project(made, tmp_path / "work", tmp_path / "cache")
    assert caught.value.code == "E502"
    (logs,) = (tmp_path / "work").iterdir()
    assert str(logs) in caught.value.fix
    assert not list((tmp_path / "cache").iterdir())


def test_a_compiler_may_take_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateformer.sim.hls.build.LIMIT", 0.1)
    with pytest.raises(ToolError, match=r"over 0\.1 s") as caught:
        compile_project(project(kinds={"slow": Fixed(True, 77, 7)}), tmp_path, tmp_path / "cache")
    assert caught.value.code == "E503"
    assert not list((tmp_path / "cache").iterdir())


def test_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"'g\+\+'.*apt install") as caught:
        compile_project(project(kinds=BYTE), tmp_path)
    assert caught.value.code == "E501"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("  if (byte[0] == 5) std::abort();", "signal 6"),
        ("  if (byte[0] == 5) { volatile int *p = 0; *p = 1; }", "signal 11"),
        ("  if (byte[0] == 5) std::exit(3);", "exit code 3"),
    ],
)
def test_a_crash_is_no_end_of_the_interpreter(body: str, told: str, tmp_path: Path) -> None:
    made = project(kinds=BYTE, body=body)
    compiled = compile_project(made, tmp_path)
    data = np.zeros((3, *SHAPE), np.int64)
    assert compiled.run({"byte": data})["byte_out"].shape == data.shape
    data[2, 0, 0] = 5 << KINDS["byte"].frac
    with pytest.raises(MismatchError, match=told) as caught:
        compiled.run({"byte": data})
    assert caught.value.code == "E405"


def test_a_hang_is_ended(tmp_path: Path) -> None:
    compiled = compile_project(
        project(kinds=BYTE, body="  while (byte[0] == 5) { static volatile int x; ++x; }"), tmp_path
    )
    data = np.full((2, *SHAPE), 5 << KINDS["byte"].frac)
    start = time.monotonic()
    with pytest.raises(MismatchError, match=r"made no frame for 0\.5 s") as caught:
        compiled.run({"byte": data}, patience=0.5)
    assert caught.value.code == "E405"
    assert time.monotonic() - start < 60


@pytest.mark.parametrize(
    ("backend", "line", "told"),
    [
        ("vitis", "  byte.read();", "E403 .* is read while empty"),
        ("vitis", "  byte_out.write(byte_t());", "E403 .* contains leftover data"),
        ("quartus", "  byte.read();", "E405 .*signal 6.*empty"),
    ],
)
def test_streams_are_read_and_written_evenly(
    backend: Backend, line: str, told: str, tmp_path: Path
) -> None:
    made = project(backend, "io_stream", BYTE, tail=line)
    with pytest.raises(MismatchError) as caught:
        compile_project(made, tmp_path).run(frames(made, 1))
    assert re.search(told, str(caught.value))


@pytest.mark.slow
def test_a_stream_written_without_end_stops(tmp_path: Path) -> None:
    made = project("vitis", "io_stream", BYTE, tail="  for (;;) byte_out.write(byte_t());")
    with pytest.raises(MismatchError, match="E405"):
        compile_project(made, tmp_path).run(frames(made, 1))


def test_bad_data_is_refused_all_at_once(tmp_path: Path) -> None:
    compiled = compile_project(project(kinds={**BYTE, "flag": KINDS["flag"]}), tmp_path)
    good = np.zeros((2, *SHAPE), np.int64)
    with pytest.raises(Problems, match=r"byte.*\n.*flag") as caught:
        compiled.run({"byte": good + 128})
    assert [error.code for error in caught.value.errors] == ["E611", "E610"]
    with pytest.raises(Problems, match=r"shape.*\n.*float64"):
        compiled.run({"byte": good[:, :2], "flag": good * 1.0})
    with pytest.raises(DataError, match="different lengths: 'byte' 2, 'flag' 1"):
        compiled.run({"byte": good, "flag": good[:1]})


def test_an_interrupted_compiler_leaves_nothing(tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        compile_project(project(kinds=BYTE), tmp_path / "work", tmp_path / "cache", stop)
    assert not list((tmp_path / "cache").iterdir())
    assert not list((tmp_path / "work").iterdir())


def damage(entry: Path, how: str) -> None:
    """Spoil a finished build."""
    program = entry / "frames"
    if how == "empty":
        program.write_bytes(b"")
    elif how == "short":
        program.write_bytes(program.read_bytes()[:5000])
    elif how == "locked":
        program.chmod(0o644)
    elif how == "gone":
        program.unlink()
    else:
        entry.rename(entry.with_name("aside"))
        if how == "file":
            entry.write_text("")
        else:
            entry.symlink_to("nowhere")


@pytest.mark.parametrize("how", ["gone", "empty", "short", "locked", "file", "link"])
def test_a_damaged_build_is_made_anew(how: str, tmp_path: Path) -> None:
    made = project(kinds=BYTE)
    first = compile_project(made, tmp_path, tmp_path / "cache")
    damage(first.program.parent, how)
    again = compile_project(made, tmp_path, tmp_path / "cache")
    assert again.seconds > 0 and again.program == first.program
    assert len(again.run(frames(made, 2))["byte_out"]) == 2


@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        ("printf '\\377\\n'", "E502", "made no program"),
        ("sleep 600", "E503", "did not name its version"),
        ("for i in 1 2 3; do echo 'x.h:1: error: same'; done; exit 1", "E502", "error: same;"),
        ("while [ $# -gt 1 ]; do shift; done; printf 'x' > $1; chmod +x $1", "E502", "be started"),
        (
            "while [ $# -gt 1 ]; do shift; done; printf '#!/bin/sh\\n' > $1; chmod +x $1",
            "E405",
            "0 of 1",
        ),
    ],
)
def test_an_odd_compiler(
    script: str, code: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{compiler.parent}:/usr/bin:/bin")
    monkeypatch.setattr("gateformer.sim.hls.build.VERSION_LIMIT", 0.5)
    monkeypatch.setattr("shutil.which", lambda name, *_, **__: str(compiler) * (name == "g++"))
    made = project(kinds=BYTE)
    with pytest.raises((ToolError, MismatchError)) as caught:
        compile_project(made, tmp_path / "work").run(frames(made, 1))
    assert caught.value.code == code and told in f"{caught.value.cause}; {caught.value}"


def test_a_stopped_interpreter_stops_its_compilers(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from gateformer.sim.hls.processes import Job, run_jobs
from gateformer.sim.rtl.build import cached
def make(folder):
    job = Job(("sh", "-c", "echo $$ > '{tmp_path}/pid'; sleep 600"), folder / "log")
    run_jobs([job], folder, os.environ, patience=600, life=int)
cached(Path({str(tmp_path / "cache" / "key")!r}), make)
"""
    for number in (signal.SIGTERM, signal.SIGHUP):
        told = tmp_path / "pid"
        told.unlink(missing_ok=True)
        # Tests may run under nohup, whose children ignore SIGHUP.
        heed = partial(signal.signal, number, signal.SIG_DFL)
        process = subprocess.Popen([sys.executable, "-c", code], preexec_fn=heed)
        while not (told.exists() and told.read_text().endswith("\n")):
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        with pytest.raises(ProcessLookupError):
            os.kill(int(told.read_text()), 0)
        assert not list((tmp_path / "cache").iterdir())


def test_jobs_end_with_their_helpers(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    script = f"(while true; do date >> '{mark}'; sleep 0.05; done) & wait"
    job = Job(("sh", "-c", script), tmp_path / "log")
    with pytest.raises(Hung):
        run_jobs([job], tmp_path, os.environ, patience=0.3, life=lambda done: done)
    size = mark.stat().st_size
    assert size
    time.sleep(0.2)
    assert mark.stat().st_size == size


def test_jobs_after_a_failure_are_not_started(tmp_path: Path) -> None:
    jobs = [Job(("sh", "-c", "exit 3"), tmp_path / "log")] + [
        Job((sys.executable, "-c", f"open({str(tmp_path / str(n))!r}, 'w')"), tmp_path / f"{n}.log")
        for n in range(20)
    ]
    codes = run_jobs(jobs, tmp_path, os.environ, patience=10, life=lambda done: done)
    assert 3 in codes
    assert len(codes) < 20


def test_the_first_difference_is_the_earliest_frame() -> None:
    truth = {"a": np.zeros((4, 2, 2), np.int64), "b": np.zeros((4, 3), np.int64)}
    made = {name: array.copy() for name, array in truth.items()}
    assert compare(made, truth) == (0, None)
    made["a"][3, 1, 0] = 7
    made["b"][1, 2] = -1
    wrong, first = compare(made, truth)
    assert wrong == 2
    assert str(first) == "'b' frame 1 element (2): expected 0, got -1"


def test_a_tap_stands_behind_the_call_that_writes() -> None:
    port = project(kinds=BYTE).between[0]
    text = '  stream<t> byte_mid("byte_mid");\n  f<t>(\n    byte,\n    byte_mid\n  ); // one\n'
    text += "  g(byte_mid);\n"
    lines = tapped(text, 4, port).splitlines()
    assert lines[5].strip() == "gf_bench::tap<8, 3, true, 3, 2>(4, byte_mid);"
    assert lines[6] == "  g(byte_mid);"
    assert tapped("nothing here\n", 0, port) == "nothing here\n"


def test_a_pipe_is_tapped_behind_the_task_that_writes_it() -> None:
    port = project(kinds=BYTE).between[0]
    text = (
        "using ByteMidPipe = sycl::pipe<ByteMidPipeID, byte_t, 3>;\n"
        "  task_sequence<f<a, ByteMidPipe>> one;\n  task_sequence<g<ByteMidPipe, b>> two;\n"
        "  one.async(w);\n  two.async();\n"
    )
    lines = tapped(text, 0, port).splitlines()
    assert lines[4].strip() == "gf_bench::tap_pipe<8, 3, true, 3, 2, ByteMidPipe>(0);"
    assert lines[3:] == ["  one.async(w);", lines[4], "  two.async();"]
