"""Files that appear whole or not at all, whoever else writes the same one.

Owns ``replacing``. Imports the standard library alone. Each writer holds a lock on its temporary
file while it writes, which ends with the process: what nobody holds, a killed one left behind.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file of this writer's own, and put it in a file's place at the end.

    Where the block raises, the file stays as it is. What killed writers of the same file left is
    removed.

    Parameters
    ----------
    path : Path
        The file; its folder is there.

    Yields
    ------
    Path
        An empty file in the same folder, to open and write.
    """
    _sweep(path)
    temporary, lock = _own(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(lock)


def _own(path: Path) -> tuple[Path, int]:
    """Return a new file and the lock on it; one that was swept before it was locked is no use."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # a file system without locks: nothing is swept there either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if temporary.exists():
            return temporary, lock
        os.close(lock)


def _sweep(path: Path) -> None:
    """Remove the temporary files of writers that are no more."""
    start = f".{path.name}."
    rest = re.compile(r"[0-9a-f]{8}\.partial")
    with suppress(OSError):
        # A plain comparison of each name: a folder may get thousands of files, one by one.
        for name in os.listdir(path.parent):  # noqa: PTH208
            if name.startswith(start) and rest.fullmatch(name, len(start)):
                _remove_unheld(path.with_name(name))


def _remove_unheld(temporary: Path) -> None:
    with suppress(OSError):
        held = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink()
        finally:
            os.close(held)
