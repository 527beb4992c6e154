"""A run's folder: its lock, its steps' records, and changes that are whole or not there at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from gateformer.flow.files import digest_file, digest_of, discard, write_whole
from gateformer.flow.step import Metrics
from gateformer.quant.errors import RunError

MARK = "run.json"
"""Says that a folder is a run."""
METRICS = "metrics.json"
RECORD = "step.json"
"""A step's record, in its folder; written last."""
FORMAT = 1
UNFINISHED = (".partial", ".old")


@dataclass(frozen=True, slots=True)
class Record:
    """What a finished step leaves behind.

    Attributes
    ----------
    step : str
        Its name.
    key : str
        Hash of all that decided its result.
    seconds : float
        How long it took.
    outputs : mapping of str to str
        File to SHA-256.
    metrics : mapping
        Its part of the metrics.
    note : str
        Words for the table.
    failed : bool
        It found something wrong; it is never reused.
    """

    step: str
    key: str
    seconds: float
    outputs: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    failed: bool = False

    @property
    def digest(self) -> str:
        """Hash of all outputs."""
        return digest_of([self.key, sorted(self.outputs.items())])


class RunFolder:
    """A run's folder, held by one process at a time.

    Parameters
    ----------
    path : Path
        New, empty, or an earlier run; anything else is refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: dict[str, str] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, lock it, and clear what an interrupted run left unfinished."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError("E703", "output folder is a file", layer=str(self.path))
        strangers = [] if not self.path.is_dir() else [p.name for p in self.path.iterdir()]
        if strangers and MARK not in strangers and set(strangers) != {".lock"}:
            raise RunError(
                "E703",
                "output folder is not a run",
                layer=str(self.path),
                cause=f"It holds other files, such as '{min(strangers)}'",
                fix="Choose a new or an empty folder with --out",
            )
        self.path.mkdir(parents=True, exist_ok=True)
        # Opened to append, and no link is followed: nothing outside is emptied.
        with open_lock(self.path / ".lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    "E704",
                    "run folder is in use",
                    layer=str(self.path),
                    cause="Another run works in it",
                    fix="Wait for it, or choose another folder with --out or --tag",
                ) from None
            for path in self.path.iterdir():
                if path.name.endswith(UNFINISHED):
                    discard(path)
            self._mark()
            yield

    def took(self, record: Record) -> None:
        """Note that this run made or reused a step."""
        self._keys[record.step] = record.key
        self._mark()

    def _mark(self) -> None:
        text = json.dumps({"format": FORMAT, "steps": self._keys}, indent=1)
        write_whole(self.path / MARK, text + "\n")

    def record(self, folder: str) -> Record | None:
        """Return a finished step's record, or None where it is damaged or not there."""
        place = self.path / folder
        try:
            record = Record(**json.loads((place / RECORD).read_text("utf-8")))
            whole = all(digest_file(place / n) == d for n, d in record.outputs.items())
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        return record if whole else None

    @contextmanager
    def staged(self, folder: str) -> Iterator[Path]:
        """Give an empty folder that takes its name only if nothing is raised."""
        partial = self.path / f"{folder}.partial"
        discard(partial)
        try:
            partial.mkdir()
            yield partial
            final, old = self.path / folder, self.path / f"{folder}.old"
            if final.exists():
                final.rename(old)
            partial.rename(final)
            discard(old)
        except BaseException:
            discard(partial)
            raise


def open_lock(path: Path) -> IO[str]:
    """Open the lock's file; RunError where it is a link or no plain file."""
    try:
        found = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise RunError(
            "E705", "damaged run folder", layer=str(path), cause="It is no plain file"
        ) from error
    return os.fdopen(found, "r+")


def keys_of(folder: Path) -> dict[str, str] | None:
    """Return the key of each step that a folder's last run took; None where it does not say."""
    try:
        steps = json.loads((folder / MARK).read_text("utf-8"))["steps"]
        return {str(name): str(key) for name, key in steps.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def save_record(folder: Path, record: Record) -> None:
    """Write a step's record into its folder."""
    text = json.dumps(asdict(record), indent=1, sort_keys=True, allow_nan=False)
    write_whole(folder / RECORD, text + "\n")


def write_metrics(folder: Path, metrics: Metrics) -> None:
    """Write ``metrics.json`` of a run, sorted."""
    text = json.dumps(dict(metrics), indent=1, sort_keys=True, allow_nan=False)
    write_whole(folder / METRICS, text + "\n")


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read ``metrics.json`` of a run.

    Raises
    ------
    RunError
        E703 where the folder is no run, E705 where the file is damaged.
    """
    path = folder / METRICS
    if not (folder / MARK).is_file() or not path.is_file():
        raise RunError(
            "E703", "not a run", layer=str(folder), fix="Name the folder of an earlier run"
        )
    try:
        metrics = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise RunError("E705", "damaged run folder", layer=str(path), cause=str(error)) from error
    if not isinstance(metrics, dict):
        raise RunError("E705", "damaged run folder", layer=str(path), cause="It is no table")
    return metrics
