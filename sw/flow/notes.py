"""Choices that passes made, kept for the report."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from gateformer.flow.files import write_whole
from gateformer.quant.expand.context import Note

NOTES = "notes.json"


def write_notes(folder: Path, notes: Iterable[Note]) -> None:
    """Write the choices into a step's folder."""
    text = json.dumps([asdict(note) for note in notes], indent=1)
    write_whole(folder / NOTES, text + "\n")
