"""Traces, drawings, tables and the page of a simulated memory."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from gateformer.pim import perfetto, plots
from gateformer.pim.plots import Bar
from gateformer.sim.pim.parts import Slice

HOSTILE = "<script>alert(1)</script>\"'&"
SLICES = [
    Slice("tokens", "token 0", 0, 100),
    Slice("memory", "block0/qkv", 0, 60),
    Slice("ASIC", HOSTILE, 60, 40),
    Slice("memory", "block0/up", 100, 25),
    Slice("tokens", "token 1", 100, 25),
]


def read(path: Path) -> list[dict[str, Any]]:
    raw = path.read_bytes()
    events: list[dict[str, Any]] = json.loads(
        gzip.decompress(raw) if path.suffix == ".gz" else raw
    )["traceEvents"]
    return events


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_slices_of_a_track_add_up_and_touch(tmp_path: Path, name: str) -> None:
    tally = perfetto.write(tmp_path / name, SLICES, 0.5, {"model": HOSTILE})
    assert tally.slices == len(SLICES)
    assert tally.clocks == {"tokens": 125, "memory": 85, "ASIC": 40}
    events = read(tmp_path / name)
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    for track, clocks in tally.clocks.items():
        found = [e for e in events if e["ph"] == "X" and tracks[e["tid"]] == track]
        assert sum(e["args"]["clocks"] for e in found) == clocks
        for event in found:
            assert event["ts"] * 1000 / 0.5 == pytest.approx(event["args"]["clock"])
            assert event["dur"] * 1000 / 0.5 == pytest.approx(event["args"]["clocks"])
    assert not list(tmp_path.glob(".*"))


def test_same_slices_same_bytes(tmp_path: Path) -> None:
    for name in ("one.json.gz", "two.json.gz"):
        perfetto.write(tmp_path / name, SLICES, 0.5, {})
    assert (tmp_path / "one.json.gz").read_bytes() == (tmp_path / "two.json.gz").read_bytes()


def test_a_trace_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        yield SLICES[0]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        perfetto.write(tmp_path / "trace.json", broken(), 0.5, {})
    assert not list(tmp_path.iterdir())


XS = np.arange(10.0)
DRAWINGS = {
    "bars": plots.bars([Bar(HOSTILE, 3, HOSTILE), Bar("zero", 0, "0")], HOSTILE),
    "no bars": plots.bars([], "nothing"),
    "ranges": plots.bars([Bar("a", 41, "x", "s1", 137)], "r", logarithmic=True, name="times"),
    "curve": plots.curves([(HOSTILE, XS, XS)], "x", "y", "one"),
    "curves": plots.curves([(HOSTILE, XS, XS), ("b", XS[:1], XS[:1])], "x", "y", "two"),
    "stack": plots.stacked(XS, [(HOSTILE, XS), ("b", XS)], "x", "y", "stack"),
    "one token": plots.stacked(XS[:1], [("a", XS[:1] + 1)], "x", "y", "stack"),
    "banks": plots.banks(np.linspace(0, 1, 32).reshape(2, 16), HOSTILE),
    "many banks": plots.banks(np.zeros((64, 16)), "idle"),
    "tornado": plots.tornado([(HOSTILE, -0.1, 0.2), ("b", 0.0, 0.0)], "t", "%"),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_are_whole_and_escaped(name: str) -> None:
    text = str(DRAWINGS[name])
    tree = ElementTree.fromstring(text)
    assert tree.tag == "svg"
    assert "<script" not in text
    assert "nan" not in text


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    places = plots.sampled(5000)
    assert len(places) <= plots.POINTS
    assert (places[0], places[-1]) == (0, 4999)
    assert list(plots.sampled(3)) == [0, 1, 2]
