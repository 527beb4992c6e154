"""Ctrl-C and ``kill`` in the midst of commands of ``pim``: nothing half-written, nothing left.

The exit code is 128 and the signal's number. Ctrl-C reaches a command's children too; ``kill``
reaches the command alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

TRACE = "AiM WR_GB 64 0 1\nAiM WR_BIAS 0 1\nAiM MAC_ABK 64 1 7\nAiM RD_MAC 0 1\n"


NUMBERS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def interrupted(
    folder: Path, ready: Callable[[], bool], number: signal.Signals, *words: str
) -> tuple[int, str]:
    """Start a command; send the signal once it is ready; return code and message."""
    source = "import sys\nfrom gateformer.cli import main\nsys.exit(main(sys.argv[1:]))"
    own = {**os.environ, "TMPDIR": str(folder / "tmp"), "XDG_CACHE_HOME": str(folder / "cache")}
    (folder / "tmp").mkdir(exist_ok=True)
    begun = subprocess.Popen(
        [sys.executable, "-c", source, *words],
        cwd=folder,
        env=own,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        # A shell's background jobs ignore SIGINT, and so would what they start.
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),
    )
    until = time.monotonic() + 60
    while not ready() and begun.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    if begun.poll() is None:
        (os.killpg if number == signal.SIGINT else os.kill)(begun.pid, number)
    _, said = begun.communicate(timeout=60)
    return begun.returncode, said


@NUMBERS
def test_sources_appear_whole_or_not_at_all(number: signal.Signals, tmp_path: Path) -> None:
    def writing() -> bool:
        return any(tmp_path.glob(".out.*/new/*"))

    code, said = interrupted(tmp_path, writing, number, "generate", "pim", "--out", "out")
    out = tmp_path / "out"
    assert code == (0 if out.exists() else 128 + number)
    if out.exists():  # it was quicker than we
        listed = json.loads((out / "sources.json").read_text("utf-8"))["written by gateformer"]
        assert all((out / name).is_file() for name in listed)
    else:
        assert said.startswith("E707 interrupted")
    assert not list(tmp_path.glob(".out*"))


@NUMBERS
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_log_appears_whole_or_not_at_all(
    suffix: str, number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "long.trace").write_text(TRACE * 6000 + "AiM EOC\n")
    (tmp_path / f"log{suffix}").write_text("an older one")
    words = ("pim", "replay", "long.trace", "--timing", "pim-gpt", "--commands", f"log{suffix}")

    def writing() -> bool:
        return any(path.stat().st_size for path in tmp_path.glob(f"*log{suffix}*part*"))

    code, said = interrupted(tmp_path, writing, number, *words)
    older = (tmp_path / f"log{suffix}").read_bytes() == b"an older one"
    assert code == (128 + number if older else 0), said
    assert said.startswith("E707 interrupted") or not older
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        f"log{suffix}",
        "long.trace",
    ]


@NUMBERS
@pytest.mark.parametrize("at", ["build", "run"])
def test_the_verilog_s_run_leaves_no_process_and_no_folder(
    at: str, number: signal.Signals, tmp_path: Path
) -> None:
    pytest.importorskip("cocotb")
    (tmp_path / "short.trace").write_text(TRACE * 400 + "AiM EOC\n")
    words = ("pim", "replay", "short.trace", "--timing", "pim-gpt", "--rtl")
    builds = tmp_path / "cache" / "gateformer" / "builds"

    def ready() -> bool:
        if at == "build":
            return builds.exists()
        return any((tmp_path / "tmp").glob("gateformer-*/**/simulation.log"))

    code, said = interrupted(tmp_path, ready, number, *words)
    replayed, stopped = said.splitlines()
    assert code == 128 + number and stopped.startswith("E707 interrupted"), said
    assert replayed.strip() == "done replaying short.trace"
    assert not list((tmp_path / "tmp").glob("gateformer-*"))
    whole = [path for path in builds.glob("*") if path.is_dir()]
    assert not [path for path in whole if path.name.startswith(".") or "partial" in path.name]


def children(process: int) -> list[int]:
    """Return the processes that a process started, and theirs."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    try:
        found = [int(one) for one in listed.read_text().split()]
    except OSError:
        return []
    return found + [each for one in found for each in children(one)]


def runs(process: int) -> bool:
    """Return whether a process is there, and not one that ended and that nobody asked after."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_processes_of_a_sweep_end_with_it(tmp_path: Path) -> None:
    others = children(os.getpid())
    seen: list[int] = []

    def ready() -> bool:
        # The command, who counts what it shares, and its workers.
        seen[:] = [one for one in children(os.getpid()) if one not in others]
        return len(seen) >= 4

    words = ("pim", "sweep", "gpt2-xl", "--channels", "8,16,32,64", "--tokens", "1000")
    code, said = interrupted(
        tmp_path, ready, signal.SIGTERM, *words, "--processes", "2", "--out", "x.csv"
    )
    assert code == 143 and said.startswith("E707 interrupted"), said
    assert len(seen) >= 4
    until = time.monotonic() + 10
    while (left := [one for one in seen if runs(one)]) and time.monotonic() < until:
        time.sleep(0.01)
    assert not left
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
