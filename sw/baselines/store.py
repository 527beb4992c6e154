"""Files of records: read as data, all faults named; written whole; found by machine and workload.

Owns ``read``, ``keep``, ``ready``, ``find``, ``look`` and ``Stored``. Imports the records. A
machine's own files stand in ``runs/baselines/<hardware id>/<workload>.json``, those that come with
the package in its ``recorded`` folder; where both have a setup, the machine's own counts.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from gateformer.baselines.record import Record
from gateformer.energy.figure import Plain
from gateformer.flow.files import write_whole
from gateformer.quant.errors import BaselineError, Problems

OWN = Path("runs") / "baselines"
LARGEST = 16 << 20
"""Bytes of a file of records; a machine's eight decoders in twenty setups take a tenth of one."""
MOST = 20
"""Faults of one file that are named."""


class File(Plain):
    """What a file holds."""

    spec_version: Literal[1] = 1
    records: list[Record]


@dataclass(frozen=True, slots=True)
class Stored:
    """A record and where it is from.

    Attributes
    ----------
    record : Record
        It.
    path : Path
        Its file.
    shipped : bool
        Whether it came with the package: another machine's, as a rule.
    """

    record: Record
    path: Path
    shipped: bool


def shipped() -> Path:
    """Return the folder of the records that come with the package."""
    return Path(str(files("gateformer.baselines"))) / "recorded"


def read(path: Path) -> list[Record]:
    """Return a file's records.

    Raises
    ------
    BaselineError, Problems
        E850 for each fault: a file that cannot be read, is too large or no JSON, each wrong key.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise _malformed(path, f"It has {size:,} bytes, of {LARGEST:,} at most")
        content = path.read_bytes()
        records = File.model_validate_json(content).records
        # Pydantic takes the last of two equal keys.
        json.loads(content, object_pairs_hook=_once)
        return records
    except _TwiceError as error:
        raise _malformed(path, str(error)) from error
    except OSError as error:
        raise _malformed(path, f"It cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise Problems(
            _malformed(path, f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}")
            for one in faults[:MOST]
        ) from error


def key(record: Record) -> tuple[str | int | bool, ...]:
    """Return what makes two records one setup of one workload on one machine."""
    work, setup = record.workload, record.setup
    pages = setup.options.get("GLIBC_TUNABLES", "")
    return (
        record.hardware.id, work.kind, work.name, work.fingerprint, work.batch, work.context,
        setup.runtime, setup.precision, setup.tier, setup.threads, pages, record.transfer,
    )  # fmt: skip


def place(record: Record, folder: Path = OWN) -> Path:
    """Return the file that a record belongs in."""
    return folder / record.hardware.id / f"{_plain(record.workload.name)}.json"


def keep(records: Iterable[Record], folder: Path = OWN) -> list[Path]:
    """Write records into their files; an older one of the same setup makes way.

    Parameters
    ----------
    records : iterable of Record
        Of any machines and workloads.
    folder : Path
        Holds a folder a machine.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    BaselineError, Problems
        E850 where a file that is there is malformed: it is left as it is.
    """
    groups: dict[Path, list[Record]] = {}
    for record in records:
        groups.setdefault(place(record, folder), []).append(record)
    for path, fresh in groups.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.parent):
            held = {key(one): one for one in (read(path) if path.exists() else [])}
            held |= {key(one): one for one in fresh}
            ordered = sorted(held.values(), key=lambda one: [str(part) for part in key(one)])
            text = json.dumps(File(records=ordered).model_dump(mode="json"), indent=1)
            write_whole(path, text + "\n")
    return list(groups)


def ready(folder: Path = OWN) -> None:
    """Raise where records could not be written: better before measuring than after.

    Raises
    ------
    OSError
        The system's own reason.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    with tempfile.TemporaryFile(dir=there) as file:
        file.write(b"{}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process changes a folder's files: what it adds is not to be lost."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems have no locks; a single user of theirs loses nothing.
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def find(
    *,
    workload: str | None = None,
    hardware: str | None = None,
    fingerprint: str | None = None,
    own: Path = OWN,
    package: Path | None = None,
) -> list[Stored]:
    """Return stored records, the machine's own in place of shipped ones of the same setup.

    Parameters
    ----------
    workload, hardware, fingerprint : str, optional
        Only those of this name, of this machine's id, of these weights.
    own, package : Path
        Folders that are looked through.

    Raises
    ------
    BaselineError, Problems
        E850 for each fault of all files.
    """
    found, faults = look(
        workload=workload, hardware=hardware, fingerprint=fingerprint, own=own, package=package
    )
    Problems.raise_if_any(faults)
    return found


def look(
    *,
    workload: str | None = None,
    hardware: str | None = None,
    fingerprint: str | None = None,
    own: Path = OWN,
    package: Path | None = None,
) -> tuple[list[Stored], list[BaselineError]]:
    """Return what ``find`` returns, and the faults of the files that were passed over."""
    found: dict[tuple[str | int | bool, ...], Stored] = {}
    faults: list[BaselineError] = []
    for folder, comes_along in ((package or shipped(), True), (own, False)):
        for path in _files(folder, hardware, workload):
            try:
                records = read(path)
                _placed(records, path)
            except Problems as several:
                faults += [one for one in several.errors if isinstance(one, BaselineError)]
                continue
            except BaselineError as error:
                faults.append(error)
                continue
            for record in records:
                if fingerprint in (None, record.workload.fingerprint):
                    found[key(record)] = Stored(record, path, comes_along)
    return list(found.values()), _few(faults)


def _placed(records: Iterable[Record], path: Path) -> None:
    """Raise where a file holds another machine's records: a copy in a wrong place tells lies."""
    for record in records:
        name = record.hardware.id
        if name != path.parent.name:
            raise _malformed(path, f"It holds a record of {name}, whose folder is another one")


def _few(faults: list[BaselineError]) -> list[BaselineError]:
    """Return the first faults, and how many more there are."""
    if len(faults) <= MOST:
        return faults
    more = f"{len(faults) - MOST} more faults are not named"
    return [*faults[:MOST], BaselineError("E850", "malformed record", cause=more)]


class _TwiceError(ValueError):
    """A key stands twice."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"The key {twice!r} stands twice in it")
    return found


def _files(folder: Path, hardware: str | None, workload: str | None) -> Iterator[Path]:
    machine = hardware or "*"
    name = "*" if workload is None else _plain(workload)
    yield from sorted(path for path in folder.glob(f"{machine}/{name}.json") if path.is_file())


def _plain(name: str) -> str:
    """Return a workload's name as a file's: nothing that leads elsewhere or that glob reads."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "_"


def _malformed(path: Path, cause: str) -> BaselineError:
    return BaselineError(
        "E850", "malformed record", layer=str(path), cause=cause,
        fix="Measure anew, or take the file away",
    )  # fmt: skip
