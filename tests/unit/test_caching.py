"""The user's cache: one place for all that is kept, never in the working folder by chance."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateformer.quant.caching import user_cache
from gateformer.sim.dram import compiled


@pytest.mark.parametrize("given", ["relative", "", "../up", "~"])
def test_a_relative_folder_counts_for_nothing(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert user_cache("builds") == tmp_path / ".cache" / "gateformer" / "builds"
    assert compiled._folder().parent == tmp_path / ".cache" / "gateformer" / "pim"


def test_an_absolute_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache("pim") == tmp_path / "gateformer" / "pim" == compiled._folder().parent
