"""Every seeded fault of the memory's Verilog is seen by a bench that passes without it."""

from __future__ import annotations

from pathlib import Path

import pytest
from rtl.pim_fault_benches import BENCHES
from rtl.pim_fault_memory_benches import NEVER, chosen
from rtl.pim_fault_place import FOUND, Place
from rtl.pim_fault_table import FAULTS, table
from rtl.pim_faults import Fault

from gateformer.hw.pim.verilog import emit
from gateformer.sim.pim.asic_rtl import sources

QUICK = {
    "ties away from zero", "carry of the sum is dropped", "x - x has x's sign", "BF16 ties up",
    "sum is a bit too narrow", "a clock too many", "every wait ends a clock early",
}  # fmt: skip


def test_no_fault_is_stale() -> None:
    """Each text stands in its file exactly once; no two faults are the same."""
    files = {**sources("gf_pim_asic"), **emit(chosen(NEVER).device, strict=True)}
    for one in FAULTS:
        one.applied(files)
    assert len({one.id for one in FAULTS}) == len({(f.file, f.old, f.new) for f in FAULTS})
    assert {one.bench for one in FAULTS} == {*BENCHES}


def test_the_page_lists_them() -> None:
    page = (Path(__file__).parents[2] / "docs/pim_rtl.md").read_text("utf-8")
    assert table(FAULTS) in page, "run python tests/rtl/pim_fault_table.py"


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
