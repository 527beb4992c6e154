"""docs/build.md lists every toolchain with its families, flows and strategies, and the errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateformer.cli.build import Tool
from gateformer.quant.error_codes import MEANINGS
from gateformer.toolchains.registry import ENTRIES, toolchain

PAGE = (Path(__file__).parents[2] / "docs/build.md").read_text("utf-8")
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in PAGE.splitlines()
    if line.startswith("| `") and "--tool" not in line
    for cells in [line.strip("| \n").split(" | ")]
}


def named(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


@pytest.mark.parametrize("name", ENTRIES)
def test_the_table_says_what_a_toolchain_does(name: str) -> None:
    sources, families, flows, strategies = ROWS[name]
    chosen = toolchain(name)
    assert sources == ("RTL" if chosen.backend is None else "HLS")
    assert named(families) == chosen.families
    assert named(flows) == chosen.flows
    assert named(strategies) == chosen.strategies


def test_every_tool_has_its_row() -> None:
    assert set(ROWS) == {str(tool) for tool in Tool}


def test_every_error_of_the_page_is_one() -> None:
    assert set(re.findall(r"E\d{3}", PAGE)) <= set(MEANINGS)
