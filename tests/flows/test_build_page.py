"""docs/build.md names every toolchain with its flows and strategies, and errors that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateformer.cli.build import Tool
from gateformer.quant.error_codes import MEANINGS
from gateformer.toolchains.registry import ENTRIES, toolchain

PAGE = (Path(__file__).parents[2] / "docs/build.md").read_text("utf-8")
NAMES = set(re.findall(r"`([^`\n]+)`", PAGE))


@pytest.mark.parametrize("name", ENTRIES)
def test_the_page_says_what_a_toolchain_does(name: str) -> None:
    chosen = toolchain(name)
    assert {name, *chosen.flows, *chosen.strategies} <= NAMES


def test_every_tool_is_there() -> None:
    assert {str(tool) for tool in Tool} <= NAMES


def test_every_error_of_the_page_is_one() -> None:
    assert set(re.findall(r"\bE\d{3}\b", PAGE)) <= set(MEANINGS)
