"""Pages that show output of ``gateformer pim``: what they print is what the commands print."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateformer.cli import main

ROOT = Path(__file__).parents[2]
CUT = "..."
"""Stands in a page for lines that are left out."""
PAGE = (ROOT / "docs/pim.md").read_text("utf-8")


def sessions() -> Iterator[Any]:
    """Yield each command of the page, with the lines below it."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL):
        command, *lines = block.splitlines()
        yield pytest.param(command.removeprefix("$ "), lines, id=command)


@pytest.mark.parametrize(("command", "lines"), list(sessions()))
def test_page_shows_what_the_command_prints(
    command: str,
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    files = re.findall(r"^```text (\S+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    for name, text in files:
        (tmp_path / name).write_text(text)
    main(shlex.split(command)[1:])
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    place = 0
    for line in lines:
        if line == CUT:
            continue
        assert line in printed[place:], line
        place = printed.index(line, place) + 1


@pytest.mark.slow
def test_page_beside_the_paper_is_what_compare_writes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert main(["pim", "compare", "--tokens", "1024", "--out", str(page)]) == 0
    assert page.read_text("utf-8") == (ROOT / "docs/pim_replication.md").read_text("utf-8")
