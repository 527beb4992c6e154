"""Files that are about to be written: what could not be is refused before any work.

Owns ``refuse_place``. Imports the errors.
"""

from __future__ import annotations

from pathlib import Path

from gateformer.quant.errors import ConfigError


def refuse_place(path: Path) -> None:
    """Raise where a file cannot be written, before anything is simulated.

    Raises
    ------
    ConfigError
        E003 where its folder is missing, E005 where it is a folder itself.
    """
    if not path.absolute().parent.is_dir():
        raise ConfigError("E003", "folder not found", layer=str(path.parent), fix="Make it first")
    if path.is_dir():
        raise ConfigError(
            "E005", "output is a folder", layer=str(path), fix="Name a file inside it"
        )
