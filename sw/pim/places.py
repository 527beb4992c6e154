"""Files that are about to be written: what could not be is refused before any work.

Owns ``refuse_place``. Imports the errors.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateformer.quant.errors import ConfigError, RunError


def refuse_place(path: Path, *inputs: str | Path) -> None:
    """Raise where a file cannot or must not be written, before anything is simulated.

    A file is written beside its place and then takes it, so that it is whole or not there: what
    stands there is replaced, were it a device or a pipe.

    Parameters
    ----------
    path : Path
        Where the file is to be.
    *inputs : str or Path
        What is read; names that are no files are passed over.

    Raises
    ------
    ConfigError
        E003 where its folder is missing; E005 where it is a folder itself, a link, a device, a pipe
        or a file that is read.
    RunError
        E702 where nothing can be written to its folder.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ConfigError("E003", "folder not found", layer=str(path.parent), fix="Make it first")
    if path.is_dir():
        raise _invalid("output is a folder", path, fix="Name a file inside it")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        cause = "The new file would take the place of a link, a device or a pipe"
        raise _invalid("output is no plain file", path, cause, "Name a file")
    if path.is_file() and any(_same(path, one) for one in inputs):
        raise _invalid("output is an input", path, "It would be lost", "Name another file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RunError(
            "E702",
            "permission denied",
            layer=str(path.parent),
            cause="Nothing can be written there",
            fix="Name a folder of your own",
        )


def _same(path: Path, other: str | Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # no file, or a text that cannot name one
        return False


def _invalid(what: str, path: Path, cause: str = "", fix: str = "") -> ConfigError:
    return ConfigError("E005", what, layer=str(path), cause=cause, fix=fix)
