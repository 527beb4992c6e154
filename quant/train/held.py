"""A training's folder: nobody else's files in the way, and one training at a time.

Owns ``held`` and ``locked``. Imports errors.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateformer.quant.errors import RunError

LOCK = ".training.lock"
PRODUCTS = ("model.onnx", "model.h5", "data.npz", "jets.npz", "digits.npz", "training.json")
"""What trainings write; a folder that holds some was a training's, or is a stranger's."""

MARKS = (frozenset({"training.json"}), frozenset({"model.h5", "jets.npz"}), frozenset({"model.h5",
         "digits.npz"}))  # fmt: skip
"""Files of which one whole set says that a training wrote the folder."""

CHECKPOINTS = "checkpoints"
"""Folder that is removed after a training."""

KEPT = re.compile(r"(float|quantized)\.npz|\.(float|quantized)\.npz\.[0-9a-f]{8}\.partial")
"""What a training keeps there, and what one that was killed left."""


@contextmanager
def held(folder: Path, own: bool) -> Iterator[None]:
    """Make a folder, refuse it where it is somebody else's, and hold it.

    Parameters
    ----------
    folder : Path
        Where a training writes.
    own : bool
        Whether it is the recipe's own folder, whose model is written over.

    Raises
    ------
    RunError
        E703 where files of others would be lost, E704 where another training holds it.
    """
    _refuse_strangers(folder, own)
    fix = "Wait for it, or choose another folder with --out"
    with locked(folder / LOCK, "Another training works in it", fix):
        yield


@contextmanager
def locked(place: Path, cause: str, fix: str) -> Iterator[None]:
    """Make a file's folder, and hold it by that file, which is removed at the end.

    Parameters
    ----------
    place : Path
        The lock's file.
    cause, fix : str
        What the user reads where another process holds it.

    Raises
    ------
    RunError
        E704 where another process holds it.
    """
    folder = place.parent
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = _locked(place, cause, fix)
    try:
        yield
    finally:
        with suppress(OSError):
            place.unlink()
        os.close(lock)
        if new:
            with suppress(OSError):  # it stays where something was written
                folder.rmdir()


def _refuse_strangers(folder: Path, own: bool) -> None:
    if not folder.is_dir():
        return
    names = {path.name for path in folder.iterdir()}
    lost = sorted(names.intersection(PRODUCTS))
    if own or any(mark <= names for mark in MARKS):
        lost = []
    kept = folder / CHECKPOINTS
    if kept.is_dir() and not kept.is_symlink():
        lost += sorted(
            f"{CHECKPOINTS}/{p.name}" for p in kept.iterdir() if not KEPT.fullmatch(p.name)
        )
    elif CHECKPOINTS in names:
        lost.append(CHECKPOINTS)
    if lost:
        raise RunError(
            "E703",
            "output folder holds other files",
            layer=str(folder),
            cause=f"'{lost[0]}' is no training's and would be lost",
            fix="Choose a new or an empty folder with --out",
        )


def _locked(place: Path, cause: str, fix: str) -> int:
    """Return the locked file; one that its last holder removed meanwhile is opened again."""
    while True:
        try:
            lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except IsADirectoryError:
            raise _in_use(place.parent, f"'{place.name}' is a folder", fix) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), place.stat()):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise _in_use(place.parent, cause, fix) from None
        except FileNotFoundError:
            pass
        os.close(lock)


def _in_use(folder: Path, cause: str, fix: str) -> RunError:
    return RunError(
        "E704",
        "folder is in use",
        layer=str(folder),
        cause=cause,
        fix=fix,
    )
