"""docs/hls.md: its example runs as shown, its excerpts are generated, its table has every key."""

from __future__ import annotations

import re
import shlex
from importlib import util
from pathlib import Path

import h5py
import pytest

from gateformer.cli import main
from gateformer.config.hls4ml_keys import MAPPED
from gateformer.config.read import load
from gateformer.flow.steps.hls import project_of
from gateformer.flow.view import Memory

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/hls.md").read_text("utf-8")
CUT = "..."
"""Stands in a page for lines that are left out."""

_spec = util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
assert _spec is not None
assert _spec.loader is not None
tiny = util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)


def blocks(kind: str) -> dict[str, str]:
    """The page's blocks of a language that name a file."""
    return dict(re.findall(rf"^```{kind} (\S+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))


def test_the_example_gives_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "jets").mkdir()
    path = tiny.write_model(tmp_path / "jets/keras_model.keras")
    with h5py.File(path, "r+") as file:
        for layer in ("up", "down"):
            file[f"model_weights/{layer}/{layer}/kernel:0"][...] += 0.0123
    for name, text in blocks("yaml").items():
        (tmp_path / name).write_text(text)
    found = re.search(
        r"^```console\n\$ (gateformer import-config .*?)\n(.*?)^```", PAGE, re.M | re.S
    )
    assert found is not None
    assert main(shlex.split(found[1])[1:]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    place = 0
    for line in found[2].splitlines():
        if line != CUT:
            assert line in printed[place:], "\n".join(printed)
            place = printed.index(line, place) + 1
    for name, text in blocks("toml").items():
        assert (tmp_path / name).read_text("utf-8") == text


def test_the_table_has_every_key_that_is_carried_over() -> None:
    table = PAGE.partition("## What differs")[0]
    for key in {key for scope in MAPPED.values() for key in scope} - {"HLSConfig"}:
        assert f"`{key}`" in table, key


@pytest.mark.hls
def test_excerpts_are_generated() -> None:
    """Every line of an excerpt is in the file, one after another."""
    config = load(ROOT / "fpga_projects/btag")
    files = project_of(Memory(config)).files
    for name, text in blocks("cpp").items():
        assert text in files[name], name
