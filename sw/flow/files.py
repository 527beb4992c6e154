"""Files that are whole or not there, their digests, and the one error of a full disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from gateformer.quant.errors import RunError
from gateformer.quant.replacing import replacing

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as own, own.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def discard(path: Path) -> None:
    """Remove a file or a folder, if it is there and if that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def digest_file(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        total = sha256()
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def digest_tree(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file under a folder, by its path inside."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digest_file(path) for path in files}


def digest_of(value: object) -> str:
    """Return the hash of a JSON value."""
    text = json.dumps(value, sort_keys=True, default=_plain)
    return sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def disk_full(folder: Path, error: BaseException | None = None) -> RunError | None:
    """Return the error of a full disk, where an error or the disk itself says that it is."""
    if isinstance(error, OSError) and error.errno in FULL:
        pass
    elif error is not None and not isinstance(error, OSError):
        try:
            if shutil.disk_usage(folder).free >= 1 << 16:
                return None
        except OSError:
            return None
    else:
        return None
    return RunError(
        "E701",
        "disk full",
        layer=str(folder),
        cause="Nothing half-written is kept; finished steps are",
        fix="Free space, then run the same command again",
    )
