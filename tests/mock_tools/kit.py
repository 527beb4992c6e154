"""A PATH with fake tools on it, and what they recorded."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
REPORTS = HERE / "reports"
NEEDED = ("sh", "make", "env")
"""Real programs that the fake ones call."""


@dataclass(frozen=True)
class Bench:
    """Fake tools in a folder of their own.

    Attributes
    ----------
    bin : Path
        All that is on PATH.
    record : Path
        Where calls are written.
    patch : MonkeyPatch
        Undoes it all.
    """

    bin: Path
    record: Path
    patch: pytest.MonkeyPatch

    def has(self, *tools: str) -> Bench:
        """Put tools onto PATH."""
        for tool in tools:
            (self.bin / tool).symlink_to(HERE / tool)
        return self

    def behaves(self, mode: str) -> None:
        """Say how the tools go wrong."""
        self.patch.setenv("MOCK_MODE", mode)

    def calls(self) -> list[tuple[str, ...]]:
        """Each call of a tool: its name and its arguments."""
        return [(one["tool"], *one["arguments"]) for one in self._lines()]

    def folders(self) -> set[str]:
        """Where tools were called."""
        return {one["folder"] for one in self._lines()}

    def tcl(self) -> list[str]:
        """Each command of the vendor's that a script ran, as a Tcl list."""
        return Path(f"{self.record}.tcl").read_text("utf-8").splitlines()

    def _lines(self) -> list[dict[str, Any]]:
        if not self.record.is_file():
            return []
        return [json.loads(line) for line in self.record.read_text("utf-8").splitlines()]


def bench(folder: Path, patch: pytest.MonkeyPatch) -> Bench:
    """Return an empty bench; nothing else is on PATH but what fake tools need."""
    place = folder / "bin"
    place.mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        assert found, name
        (place / name).symlink_to(found)
    (place / "python3").symlink_to(sys.executable)
    if tclsh := shutil.which("tclsh"):
        (place / "tclsh").symlink_to(tclsh)
    patch.setenv("PATH", str(place))
    record = folder / "calls.jsonl"
    patch.setenv("MOCK_CALLS", str(record))
    patch.delenv("MOCK_MODE", raising=False)
    return Bench(place, record, patch)
