"""A training's folder: one training at a time, and nobody else's files are lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateformer.quant.errors import GateformerError, RunError
from gateformer.quant.train.held import LOCK, held


def test_one_training_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path / "out", own=False):
        with (
            pytest.raises(RunError, match=r"E704 folder is in use.*Another training"),
            held(tmp_path / "out", own=True),
        ):
            pass
        assert (tmp_path / "out" / LOCK).exists()
        (tmp_path / "out" / "training.json").write_text("{}")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["training.json"]
    with held(tmp_path / "out", own=False):
        pass


def test_a_training_that_writes_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError), held(tmp_path / "out", own=False):
        raise ValueError
    assert not list(tmp_path.iterdir())
    (tmp_path / "there").mkdir()
    with held(tmp_path / "there", own=False):
        pass
    assert (tmp_path / "there").is_dir()


def test_a_killed_trainings_lock_holds_nobody(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("")
    with held(tmp_path, own=False):
        pass


@pytest.mark.parametrize("name", ["model.onnx", "data.npz", "model.h5", "digits.npz"])
def test_files_of_others_are_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match=f"E703.*'{name}' is no training's"):
        held(tmp_path, own=False).__enter__()
    with held(tmp_path, own=True):
        pass
    (tmp_path / "model.h5").write_text("")
    (tmp_path / "digits.npz").write_text("")
    with held(tmp_path, own=False):
        pass


@pytest.mark.parametrize("own", [True, False])
def test_checkpoints_of_others_are_not_removed(tmp_path: Path, own: bool) -> None:
    kept = tmp_path / "checkpoints"
    kept.mkdir()
    for name in ("float.npz", "quantized.npz", ".float.npz.0a1b2c3d.partial"):
        (kept / name).write_text("")
    with held(tmp_path, own):
        pass
    (kept / "epoch9.pt").write_text("mine")
    with pytest.raises(RunError, match=r"E703.*'checkpoints/epoch9.pt'"):
        held(tmp_path, own).__enter__()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "checkpoints").symlink_to(kept)
    with pytest.raises(GateformerError, match="E703"):
        held(tmp_path / "linked", own).__enter__()
