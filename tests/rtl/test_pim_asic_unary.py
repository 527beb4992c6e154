"""Every BF16 number through every unit of one number: the Verilog's bits are the model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateformer.hw.pim import functions
from gateformer.hw.pim.asic import ADD_LATENCY, EXP, MULTIPLY_LATENCY, RECIPROCAL
from gateformer.hw.pim.functions import Alu
from gateformer.sim.pim.asic_rtl import UNARY, unary

EVERY_BF16 = np.arange(1 << 16, dtype=np.uint32) << 16


def numbers() -> np.ndarray:
    """All of BF16, then FP32 numbers: any bits, usual ones, and the edges of exp and of FP32.

    Among the edges is where exp's power of two changes: a last bit of its constants shows there.
    """
    rng = np.random.default_rng(7)
    edges = np.array(
        [-104, 89, 88.72284, -87.33655, -103.97208, 2.0**-126, 2.0**-149, 3.4028235e38, 0.34657],
        np.float32,
    )
    turns = ((np.arange(-150, 128) + 0.5) * np.log(2)).astype(np.float32)
    edges = np.concatenate([edges, turns])
    near = (edges.view(np.uint32)[:, None] + np.arange(-4, 5)).astype(np.uint32).ravel()
    return np.concatenate(
        [
            EVERY_BF16,
            rng.integers(0, 1 << 32, 30_000, np.uint32),
            rng.normal(scale=10, size=20_000).astype(np.float32).view(np.uint32),
            near,
            near ^ np.uint32(1 << 31),
        ]
    )


@pytest.mark.verilator
def test_every_number_of_every_unit(tmp_path: Path, builds: Path) -> None:
    sent = numbers()
    found = unary(sent, work=tmp_path, cache=builds)
    for name in UNARY:
        model = getattr(functions, name)(Alu(), sent.view(np.float32))
        expected = np.where(np.isnan(model), np.uint32(0x7FC00000), model.view(np.uint32))
        wrong = np.flatnonzero(found[name] != expected)
        assert not len(wrong), (name, [hex(sent[at]) for at in wrong[:4]])


def test_latencies_are_those_of_the_operations_in_a_row() -> None:
    """That 1/sqrt(x) takes its half beside its first guess saves one product."""
    for name, count in (("exp", EXP), ("reciprocal", RECIPROCAL)):
        assert UNARY[name] == count.multiply * MULTIPLY_LATENCY + count.add * ADD_LATENCY
    assert UNARY["silu"] == UNARY["exp"] + ADD_LATENCY + UNARY["reciprocal"] + MULTIPLY_LATENCY
    assert UNARY["gelu"] == UNARY["silu"] + 3 * MULTIPLY_LATENCY + ADD_LATENCY
