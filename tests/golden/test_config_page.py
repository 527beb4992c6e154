"""docs/config.md is what the schema says."""

from __future__ import annotations

from pathlib import Path

from gateformer.config.document import page

PAGE = Path(__file__).parents[2] / "docs/config.md"


def test_page_is_the_schemas() -> None:
    assert PAGE.read_text("utf-8") == page(), (
        "python -m gateformer.config.document > docs/config.md"
    )


def test_every_key_has_a_meaning() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert all(len(row.split(" | ")[-1].strip(" |")) > 10 for row in rows)
