"""docs/install.md, pyproject.toml and doctor name the same extras."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from gateformer.quant.tools import TOOLS
from gateformer.toolchains.find import PACKAGES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/install.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ROWS = {
    name
    for line in PAGE.splitlines()
    if line.startswith("| `")
    for name in re.findall(r"`(\w+)`", line.split("|")[1])
}


def test_every_row_is_an_extra() -> None:
    assert set(PROJECT["optional-dependencies"]) >= ROWS


def test_every_extra_that_doctor_names_has_its_row() -> None:
    asked = "".join(tool.get for tool in TOOLS.values())
    extras = {extra for _, extra in PACKAGES.values() if extra} | set(
        re.findall(r"'\.\[(\w+)\]'", asked)
    )
    assert extras <= ROWS


def test_what_comes_without_an_extra_is_listed() -> None:
    core = next(line for line in PAGE.splitlines() if line.startswith("| (none)")).lower()
    for requirement in PROJECT["dependencies"]:
        assert re.split(r"[><=~]", requirement)[0] in core
