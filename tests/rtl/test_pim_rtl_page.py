"""The page of the memory in Verilog: its examples run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateformer.hw.pim.device import load, with_
from gateformer.hw.pim.isa import Instruction
from gateformer.sim.dram import engine

PAGE = (Path(__file__).parents[2] / "docs/pim_rtl.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.icarus
def test_the_bench_prints_what_the_page_says_and_what_the_simulator_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of the page, in the shell, in an empty folder."""
    (bench,), (console,) = blocks("verilog"), blocks("console")
    (tmp_path / "tb.v").write_text(bench)
    own = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = "\n".join(line[2:] for line in console.splitlines() if line.startswith("$ "))
    done = subprocess.run(
        ["bash", "-ec", words], cwd=tmp_path, env=dict(os.environ) | {"PATH": own},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [line for line in console.splitlines() if line[:1].isdigit()]
    assert done.stdout.splitlines()[-len(said) :] == said
    found = engine.run(
        [Instruction("MAC_ABK", 4, row=3)], with_(load("pim-rtl"), channels=1), log=True
    ).commands
    assert found is not None
    mine = [f"{clock} {one}" for clock, one in zip(found.clock, found.command, strict=True)]
    assert mine == said


@pytest.mark.icarus
def test_the_example_runs_where_the_reader_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/pim_rtl.md", "exec"), {"__name__": "example"})
    clocks, *commands = capsys.readouterr().out.splitlines()
    assert int(clocks) > 64
    assert sum(" MAC16 " in one for one in commands) == 64
    assert (tmp_path / "gf_pim_device.v").is_file()
    assert (tmp_path / "run/simulation.log").is_file()
    assert {path.parent.name for path in tmp_path.glob("builds/*/sources")} == {
        path.name for path in tmp_path.glob("builds/*") if path.is_dir()
    }
