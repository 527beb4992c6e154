"""Folders for a measurement's files, which go with it: also where whoever made them was killed.

Owns ``scratch``, ``sweep`` and ``end_all``. Imports the standard library alone. Models of decoders
fill a disk, and a runtime may leave a process behind that outlives its worker's group; both are
found again by the folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "gateformer-scratch-"
YOUNG_S = 60.0
"""A folder that is younger may be one that its maker has not locked yet."""


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder under the system's own for temporary files; it is locked while it is used."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as place:
        opened = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield Path(place)
        finally:
            end_all(Path(place))
            os.close(opened)


def sweep(young_s: float = YOUNG_S) -> list[Path]:
    """Remove this user's folders that nobody holds any longer, and return them."""
    found = []
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            told = path.lstat()
            if told.st_uid != os.getuid() or time.time() - told.st_mtime < young_s:
                continue
            opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                end_all(path)
                shutil.rmtree(path, ignore_errors=True)
                found.append(path)
            finally:
                os.close(opened)
    return found


def end_all(folder: Path) -> list[int]:
    """End the processes whose temporary files go into a folder, and return them.

    A worker gets the folder in its environment, and so does all that it starts, in whatever
    session or group.
    """
    mark = b"TMPDIR=" + os.fsencode(folder)
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        # A process that ends meanwhile, or somebody else's.
        with suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                number = int(path.parent.name)
                os.kill(number, signal.SIGKILL)
                found.append(number)
    return found
