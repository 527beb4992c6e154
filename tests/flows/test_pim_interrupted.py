"""Ctrl-C in the midst of commands of ``pim``: exit code 130, nothing half-written, nothing left."""

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


def interrupted(folder: Path, ready: Callable[[], bool], *words: str) -> tuple[int, str]:
    """Start a command; interrupt its process group once it is ready; return code and message."""
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
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 60
    while not ready() and begun.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    if begun.poll() is None:
        os.killpg(begun.pid, signal.SIGINT)
    _, said = begun.communicate(timeout=60)
    return begun.returncode, said


def test_sources_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    def writing() -> bool:
        return any(tmp_path.glob(".out.*/new/*"))

    code, said = interrupted(tmp_path, writing, "generate", "pim", "--out", "out")
    out = tmp_path / "out"
    assert code == (0 if out.exists() else 130)
    if out.exists():  # it was quicker than we
        listed = json.loads((out / "sources.json").read_text("utf-8"))["written by gateformer"]
        assert all((out / name).is_file() for name in listed)
    else:
        assert said.startswith("E707 interrupted")
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_log_appears_whole_or_not_at_all(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "long.trace").write_text(TRACE * 6000 + "AiM EOC\n")
    (tmp_path / f"log{suffix}").write_text("an older one")
    words = ("pim", "replay", "long.trace", "--timing", "pim-gpt", "--commands", f"log{suffix}")

    def writing() -> bool:
        return any(path.stat().st_size for path in tmp_path.glob(f"*log{suffix}*part*"))

    code, said = interrupted(tmp_path, writing, *words)
    older = (tmp_path / f"log{suffix}").read_bytes() == b"an older one"
    assert code == (130 if older else 0), said
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        f"log{suffix}",
        "long.trace",
    ]


@pytest.mark.parametrize("at", ["build", "run"])
def test_the_verilog_s_run_leaves_no_process_and_no_folder(at: str, tmp_path: Path) -> None:
    pytest.importorskip("cocotb")
    (tmp_path / "short.trace").write_text(TRACE * 400 + "AiM EOC\n")
    words = ("pim", "replay", "short.trace", "--timing", "pim-gpt", "--rtl")
    builds = tmp_path / "cache" / "gateformer" / "builds"

    def ready() -> bool:
        if at == "build":
            return builds.exists()
        return any((tmp_path / "tmp").glob("gateformer-*/**/simulation.log"))

    code, said = interrupted(tmp_path, ready, *words)
    assert code == 130 and said.startswith("E707 interrupted"), said
    assert not list((tmp_path / "tmp").glob("gateformer-*"))
    whole = [path for path in builds.glob("*") if path.is_dir()]
    assert not [path for path in whole if path.name.startswith(".") or "partial" in path.name]
