"""The page of the memory in Verilog: its example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/pim_rtl.md").read_text("utf-8")


@pytest.mark.icarus
def test_the_example_runs_where_the_reader_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
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
