"""Folders that are named from where the caller stands: tools run in folders of their own."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gateformer.hw.pim.device import load
from gateformer.pim.area import synthesize
from gateformer.sim.pim.rtl.watching import watched
from gateformer.sim.rtl.bulk import bulk
from gateformer.sim.rtl.simulate import simulate
from gateformer.sim.rtl.vectors import Ports, stream

WORK, CACHE = Path("run"), Path("builds")


@pytest.fixture(autouse=True)
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.icarus
def test_icarus(toys: ModuleType) -> None:
    toy = toys.affine(2, 2, 1)
    frames = toy.frames(3)
    expected = toy.run(frames)
    assert simulate(toy.design, toy.files, frames, expected, work=WORK, cache=CACHE).passed
    module = {"inverter.v": "module inverter(input [3:0] x, output [3:0] y); assign y = ~x;"}
    module = {name: f"{text}\nendmodule\n" for name, text in module.items()}
    ports = Ports({"x": 4}, {"y": 4}, clock=False)
    found = stream("icarus", module, "inverter", ports, [(3,), (8,)], work=WORK, cache=CACHE)
    assert found == [(12,), (7,)]
    streams = [np.zeros((0, 5), np.int64)]
    assert watched(streams, load("pim-rtl"), work=WORK, cache=CACHE) == [[]]


@pytest.mark.verilator
def test_verilator(toys: ModuleType) -> None:
    toy = toys.affine(2, 2, 1)
    frames = toy.frames(3)
    expected = toy.run(frames)
    assert bulk(toy.design, toy.files, frames, expected, work=WORK, cache=CACHE).passed


@pytest.mark.synth
def test_yosys() -> None:
    assert synthesize("gf_pim_fp32_to_bf16", WORK).cells
