"""Every seeded fault of the memory's Verilog is seen by a bench that passes without it."""

from __future__ import annotations

from pathlib import Path

import pytest
from rtl.pim_fault_benches import BENCHES, FOUND, Place
from rtl.pim_faults import NUMBERS, Fault
from rtl.pim_faults_asic import ASIC

FAULTS = (*NUMBERS, *ASIC)
QUICK = {
    "ties away from zero", "carry of the sum is dropped", "x - x has x's sign", "BF16 ties up",
    "sum is a bit too narrow",
}  # fmt: skip


@pytest.mark.icarus
@pytest.mark.slow
@pytest.mark.parametrize("bench", BENCHES)
def test_control(bench: str, tmp_path: Path) -> None:
    """Each bench passes where nothing is altered."""
    BENCHES[bench](Place(dict, tmp_path))


@pytest.mark.icarus
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(one, id=one.id, marks=() if one.name in QUICK else pytest.mark.slow)
        for one in FAULTS
    ],
)
def test_seen(fault: Fault, tmp_path: Path) -> None:
    """A mismatch, and nothing else: an altered circuit that does not build is an error."""
    with pytest.raises(FOUND):
        BENCHES[fault.bench](Place(fault.applied, tmp_path))
