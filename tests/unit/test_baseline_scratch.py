"""Folders of a measurement: gone with it, found again where its maker was killed."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from gateformer.baselines.scratch import PREFIX, end_all, scratch, sweep

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_goes_with_what_runs_in_it() -> None:
    with scratch() as folder:
        (folder / "model").write_bytes(bytes(10))
        detached = subprocess.Popen(
            SLEEP, env=os.environ | {"TMPDIR": str(folder)}, start_new_session=True
        )
        other = subprocess.Popen(SLEEP, env=os.environ | {"TMPDIR": f"{folder}-other"})
    assert not folder.exists()
    assert detached.wait(10) == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()


def test_what_is_in_use_or_a_stranger_s_is_not_swept(place: Path) -> None:
    (place / "gateformer-else").mkdir()
    with scratch() as folder:
        assert sweep(young_s=-1) == []
        assert folder.is_dir()
    assert (place / "gateformer-else").is_dir()


def test_what_a_killed_parent_left_is_swept(place: Path) -> None:
    text = """
import time
from gateformer.baselines.scratch import scratch
with scratch() as folder:
    (folder / "model").write_text("large")
    print(folder, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(place)},
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        folder = Path(parent.stdout.readline().strip())
        parent.kill()
    assert (folder / "model").is_file()
    # It may be one that is just being made.
    assert sweep() == []
    assert sweep(young_s=-1) == [folder]
    assert not folder.exists()


def test_a_link_in_a_folder_s_place_is_left_alone(place: Path) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "thesis").write_text("")
    (place / f"{PREFIX}x").symlink_to(place / "mine")
    assert sweep(young_s=-1) == []
    assert (place / "mine" / "thesis").is_file()


def test_nothing_runs_in_an_unknown_folder(place: Path) -> None:
    began = time.monotonic()
    assert end_all(place / "nowhere") == []
    assert time.monotonic() - began < 60
