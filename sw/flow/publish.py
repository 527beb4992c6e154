"""Sources in a folder of the user's choice: all of them or none, and never over other files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Container, Mapping
from pathlib import Path, PurePath

from gateformer.flow.files import discard, disk_full, write_whole
from gateformer.quant.errors import RunError

MANIFEST = "sources.json"
OWN = "written by gateformer"
"""Key of the manifest's list: a file of that name alone makes no folder ours."""
COMPILED = "tb.vvp"
"""What the command in the testbench's comment makes; it goes with the sources."""


def publish(files: Mapping[str, str], folder: Path) -> Path:
    """Write files into a new folder, an empty one, or one that this function filled before.

    Parameters
    ----------
    files : mapping of str to str
        Text by path inside the folder.
    folder : Path
        Where to; a link is followed.

    Raises
    ------
    RunError
        E703 where the folder holds other files; E701 where the disk is full. Nothing is then
        changed.
    """
    folder = Path(os.path.realpath(folder))
    refuse_strangers(folder)
    staging: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder, so that renaming moves no data; of a name that nothing else has.
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        partial, old = staging / "new", staging / "old"
        partial.mkdir()
        for name, text in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(partial / name, text)
        write_whole(partial / MANIFEST, json.dumps({OWN: sorted(files)}, indent=1) + "\n")
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except OSError as error:
        if full := disk_full(folder.parent, error):
            raise full from error
        raise
    finally:
        if staging is not None:
            if (staging / "old").exists() and not folder.exists():
                (staging / "old").rename(folder)
            discard(staging)
    return folder


def refuse_strangers(folder: Path) -> None:
    """Raise where a folder holds files that were not published, or is something else."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise RunError(
            "E703",
            "output folder is no folder",
            layer=str(folder),
            fix="Choose a new or an empty folder with --out",
        )
    try:
        known = set(json.loads((folder / MANIFEST).read_text("utf-8"))[OWN]) | {MANIFEST, COMPILED}
        known |= {str(above) for name in known for above in PurePath(name).parents}
    except (OSError, ValueError, TypeError, KeyError):
        known = set()
    if stranger := _stranger(folder, known):
        raise RunError(
            "E703",
            "output folder holds other files",
            layer=str(folder),
            cause=f"'{stranger}' is none of gateformer's",
            fix="Choose a new or an empty folder with --out",
        )


def _stranger(folder: Path, known: Container[str]) -> str | None:
    """Return the first path inside that is not known; what lies beyond it is not looked at."""
    for place, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = str(Path(place, name).relative_to(folder))
            if path not in known:
                return path
    return None
