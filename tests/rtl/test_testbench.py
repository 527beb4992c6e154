"""The plain-Verilog testbench passes on a right design and fails on a wrong one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gateformer.sim.rtl.testbench import testbench as written  # pytest would collect its name

pytestmark = pytest.mark.icarus


def _verdict(toy: Any, folder: Path, *options: str, off_by: int = 0) -> str:
    frames = toy.frames(9)
    expected = toy.run(frames)
    expected["z" if "z" in expected else "y"].reshape(-1)[-1] += off_by
    files = {**toy.files, **written(toy.design, frames, expected)}
    for name, text in files.items():
        (folder / name).write_text(text)
    top = f"tb_{toy.design.name}"
    sources = [name for name in files if name.endswith(".v")]
    command = ["iverilog", "-g2001", "-s", top, "-o", "tb.vvp", *options, *sources]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run(
        ["vvp", "-n", "tb.vvp"], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("stalls", [0, 1])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tokens": 5, "lanes": 3, "other": 2, "interval": 4, "masked": True},
        {"tokens": 1, "lanes": 1, "other": None, "capacity": 12},
        {"tokens": 12, "lanes": 12, "other": 1, "masked": True, "capacity": 12},
    ],
)
def test_it_passes(toys: ModuleType, settings: dict[str, Any], stalls: int, tmp_path: Path) -> None:
    toy = toys.mixer(**settings)
    told = _verdict(toy, tmp_path, f"-Ptb_mixer.Stalls={stalls}")
    assert told.startswith("PASS: 9 frames")
    if not stalls:
        cycles = f"latency {toy.design.latency_cycles}, interval {toy.design.interval_cycles}"
        assert cycles in told


def test_it_fails_on_a_wrong_integer(toys: ModuleType, tmp_path: Path) -> None:
    assert _verdict(toys.mixer(), tmp_path, off_by=1) == "FAIL: 1 of 45 beats differ"


def test_it_fails_on_a_wrong_clock(toys: ModuleType, tmp_path: Path) -> None:
    toy = toys.affine()
    text = toy.files["gf_affine.v"]
    slow = text.replace(".Depth(3)", ".Depth(8)")
    assert slow != text
    toy = toys.Toy(toy.design, {**toy.files, "gf_affine.v": slow}, toy.run)
    told = _verdict(toy, tmp_path)
    assert told == f"FAIL: latency {toy.design.latency_cycles + 5} in place of " + (
        f"{toy.design.latency_cycles} clocks"
    )


def test_wide_and_unsigned_words(toys: ModuleType, tmp_path: Path) -> None:
    toy = toys.affine(3, 3, 2, width=70, signed=False)
    assert np.asarray(toy.frames(1)["x"]).dtype == object
    assert _verdict(toy, tmp_path).startswith("PASS")
