"""What the tests of the command line share: one small model, and a way to call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flows.tiny import Answer, Call, write_model

from gateformer.cli import main


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run the command line in a folder with net.h5; as JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_model(tmp_path / "net.h5")

    def do(*arguments: object) -> Answer:
        capsys.readouterr()
        code = main([*map(str, arguments), "--json"])
        out, said = capsys.readouterr()
        assert "Traceback" not in said
        assert code != 70, said
        return code, json.loads(out) if out else {}, said

    return do
