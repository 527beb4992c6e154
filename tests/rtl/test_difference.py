"""The first layer that differs is named, with its index and both integers."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gateformer.hw.rtl.emit import Tap
from gateformer.sim.rtl.difference import first_difference, frame_of

TAPS = {
    "scale": Tap("scale", "scale_valid", 2, 2, 10, True, 1),
    "reverse": Tap("reverse", "reverse_valid", 2, 2, 10, True, 1),
    "y": Tap("out_y", "out_valid", 2, 2, 11, True, 1),
    "z": Tap("out_z", "out_z_valid", 1, 1, 20, True, 1),
    "elsewhere": Tap("no_such_signal", "no_such_valid", 1, 1, 1, True, 1),
}


@pytest.mark.icarus
@pytest.mark.parametrize("fault", ["", "scale", "reverse", "mix", "total"])
def test_the_faulty_layer_is_named(
    toys: ModuleType, fault: str, builds: Path, tmp_path: Path
) -> None:
    toy = toys.mixer(fault=fault)
    frames = {name: value[:1] for name, value in toy.frames(1).items()}
    frames["a"][0, 4, 1] = 5
    expected = toy.run(frames)
    found = first_difference(toy.design, toy.files, TAPS, frames, expected, tmp_path, cache=builds)
    if not fault:
        assert found is None
        return
    value = {"mix": "y", "total": "z"}.get(fault, fault)
    assert found is not None and found.value == value
    assert found.expected == expected[value][0][found.index]
    if fault == "scale":
        assert (found.index, found.expected, found.actual) == ((4, 1), 11, 12)
        assert str(found) == "'scale' element (4, 1): expected 11, got 12"


def test_a_frame_from_beats_whose_last_axis_comes_in_turns() -> None:
    wanted = np.arange(3 * 2 * 5).reshape(3, 2, 5)
    padded = np.zeros((4, 2, 6), np.int64)
    padded[:3, :, :5] = wanted
    beats = padded.reshape(2, 2, 2, 3, 2).transpose(0, 3, 1, 2, 4).reshape(6, -1)
    text = ["".join(f"{int(v):08b}" for v in beat[::-1]) for beat in beats]
    bits = np.array([np.frombuffer(t.encode(), np.uint8) for t in text])
    tap = Tap("s", "v", 2, 4, 8, False, 3)
    assert (frame_of(tap, bits, (3, 2, 5)) == wanted).all()
    short = frame_of(tap, bits[:5], (3, 2, 5))
    assert short[2, 1, 4] is None and short[2, 1, 3] == wanted[2, 1, 3]
