"""Files that appear whole: several writers of one file, and what a killed one leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateformer.flow.files import write_whole
from gateformer.quant.replacing import replacing

WRITER = """
import sys
from pathlib import Path
from gateformer.flow.files import write_whole

for _ in range(100):
    write_whole(Path(sys.argv[1]), sys.argv[2] * 50_000)
"""

KILLED = """
import os, signal, sys
from pathlib import Path
from gateformer.quant.replacing import replacing

with replacing(Path(sys.argv[1])) as own:
    own.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_processes_that_write_one_file_each_write_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    begun = [subprocess.Popen([sys.executable, "-c", WRITER, path, one]) for one in "ab"]
    seen: set[str] = set()
    while any(one.poll() is None for one in begun):
        if path.exists():
            seen.add(path.read_text())
    assert [one.returncode for one in begun] == [0, 0]
    assert seen <= {"a" * 50_000, "b" * 50_000}
    assert names(tmp_path) == ["a.json"]


def test_threads_that_write_one_file_each_write_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: write_whole(path, one * 50_000), "abcd" * 25))
    text = path.read_text()
    assert text == text[0] * 50_000
    assert names(tmp_path) == ["a.json"]


def test_what_a_killed_writer_leaves_goes_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
        assert killed.returncode == -signal.SIGKILL
        (left,) = names(tmp_path)  # the second one's: the first one's is gone
        assert left.startswith(".a.json.") and left.endswith(".partial")
    write_whole(tmp_path / "b.json", "another file")
    assert left in names(tmp_path)
    write_whole(path, "whole")
    assert names(tmp_path) == ["a.json", "b.json"]


def test_a_writer_at_work_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with replacing(path) as own:
        own.write_text("slow")
        write_whole(path, "quick")
        assert path.read_text() == "quick"
    assert path.read_text() == "slow"


def test_a_block_that_raises_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="no"), replacing(path) as own:
        own.write_text("new")
        raise ValueError("no")
    assert path.read_text() == "old" and names(tmp_path) == ["a.json"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_whole(tmp_path / "a.json", "x")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "plain").stat().st_mode
