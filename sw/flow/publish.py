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
WRITER = "command"
"""Key of the command that wrote them: no other command may replace them."""
COMPILED = "tb.vvp"
"""What the command in the testbench's comment makes; it goes with the sources."""


def publish(files: Mapping[str, str], folder: Path, command: str) -> Path:
    """Write files into a new folder, an empty one, or one that the same command filled before.

    Parameters
    ----------
    files : mapping of str to str
        Text by path inside the folder.
    folder : Path
        Where to; a link is followed.
    command : str
        Who writes, as the user calls it: ``generate rtl``.

    Raises
    ------
    RunError
        E703 where the folder holds other files, or another command's; E701 where the disk is
        full. Nothing is then changed.
    """
    folder = Path(os.path.realpath(folder))
    refuse_strangers(folder, command)
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
        manifest = {OWN: sorted(files), WRITER: command}
        write_whole(partial / MANIFEST, json.dumps(manifest, indent=1) + "\n")
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


def refuse_strangers(folder: Path, command: str) -> None:
    """Raise where a folder holds files that the command did not publish, or is something else."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise RunError(
            "E703",
            "output folder is no folder",
            layer=str(folder),
            fix="Choose a new or an empty folder with --out",
        )
    writer = None
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        known = set(manifest[OWN]) | {MANIFEST, COMPILED}
        known |= {str(above) for name in known for above in PurePath(name).parents}
        writer = manifest.get(WRITER)
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
    if known and writer != command:
        said = f"says gateformer {writer}" if isinstance(writer, str) else "does not say who"
        raise RunError(
            "E703",
            "output folder is another command's",
            layer=str(folder),
            cause=f"Its {MANIFEST} {said} wrote it; gateformer {command} would delete all of it",
            fix="Choose another with --out, or delete this one if nothing in it is needed",
        )


def _stranger(folder: Path, known: Container[str]) -> str | None:
    """Return the first path inside that is not known; what lies beyond it is not looked at."""
    for place, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = str(Path(place, name).relative_to(folder))
            if path not in known:
                return path
    return None
