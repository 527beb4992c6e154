"""Every number of a memory's generated rules, a clock more and a clock less: each one is seen.

A wait that other rules always outlast can show in no program. ``OUTLASTED`` names those with a
shorter way that is longer than they are, and the test demands that no other fault stays unseen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rtl.pim_fault_memory_benches import ACTIVATES, chosen
from rtl.pim_memory import work
from rtl.pim_rule_faults import run
from rtl.pim_rule_programs import programs

from gateformer.hw.pim.device import Policy, with_
from gateformer.sim.dram.refresh import Refresh

OUTLASTED = {
    ("channel", "ACT", "ACT"): ("the bank's access comes first", "nRCDWR"),
    ("group", "ACT", "ACT"): ("the bank's access comes first", "nRCDWR"),
    ("channel", "PREA", "ACT"): ("ACT16 and its access, or REFab", "nRP + nRCDEWMUL"),
    ("channel", "PREA", "TMOD"): ("ACT16 and its access, or REFab", "nRP + nRCDEWMUL"),
    ("channel", "PREA", "PRE"): ("ACT16, open for nRAS", "nRP + nRAS"),
    ("bank", "PRE", "PRE"): ("ACT, open for nRAS", "nRP + nRAS"),
    ("channel", "REFAB", "PRE"): ("ACT, open for nRAS", "nRFC + nRAS"),
    ("channel", "REFAB", "PREA"): ("ACT, open for nRAS", "nRFC + nRAS"),
    ("channel", "ACT16", "RD"): ("EWMUL16 at the earliest, then nCCDL", "nRCDEWMUL + nCCDL"),
    ("channel", "ACT16", "WR"): ("EWMUL16 at the earliest, then nCCDL", "nRCDEWMUL + nCCDL"),
    ("channel", "ACT16", "WRCP"): ("EWMUL16 at the earliest, then nCCDL", "nRCDEWMUL + nCCDL"),
    ("channel", "WRA16", "RD"): ("all banks are closed", "nCWL + nBL + nWR + nRP + nRCDRD"),
    ("channel", "RDMAC16", "WR"): ("the host waits for its completion", "nCLREG + nBL + 1"),
    ("channel", "RDMAC16", "WRA16"): ("the host waits for its completion", "nCLREG + nBL + 1"),
    ("latency", "DEFAULT", ""): ("completions after 0 and 1 clocks are the same", "1"),
}
"""Level and commands of a wait; what must come between, and the clocks that it takes at least."""
OWN = {
    "all-bank": {},
    "per-bank": {("channel", "PRE", "PREA"): ("ACT or REFpb comes first", "nRP + 1")},
}
"""Those of one refresh policy alone: with REFab, a PREA may follow a PRE."""
SETTINGS: tuple[tuple[Policy, int, dict[str, int]], ...] = (
    ("all-bank", 1, {}),
    # Results that take long let refreshes come one behind another.
    ("per-bank", 3, {"nCLREG": 20, "nREFI": 600}),
)


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize(("policy", "postponed", "changes"), SETTINGS)
def test_every_wait_that_can_bind_is_seen(
    policy: Policy, postponed: int, changes: dict[str, int], tmp_path: Path
) -> None:
    one = chosen(Refresh(policy, postponed=postponed), **changes)
    one = replace(one, device=with_(one.device, channels=1))
    every = [work(seed, one, 40).program for seed in range(8)]
    every += [tuple(replace(each, channels=1) for each in program) for program in ACTIVATES]
    every += programs()
    found = run(one, every, tmp_path)
    assert not found.differs[0].any() and not found.violations[0].any()
    assert len(found.faults) > 200
    timing, outlasted = one.device.timing, OUTLASTED | OWN[policy]
    unexpected = []
    for fault, seen in zip(found.faults, found.differs[1:].any(1), strict=True):
        _, way = outlasted.get((fault.level, fault.after[0], fault.before), ("", "0"))
        least = sum(timing[part] if part in timing else int(part) for part in way.split(" + "))
        binds = least < fault.clocks + max(fault.change, 0)
        if binds != seen:
            unexpected.append((fault.name, bool(seen)))
    assert not unexpected, "\n".join(map(str, unexpected))
    # What comes too early by a rule of its own is seen by the watch too.
    early = [fault.change < 0 and fault.level != "latency" for fault in found.faults]
    watched = (found.violations[1:] > 0).any(1)
    assert watched[early].sum() > 60
    assert not (watched & ~found.differs[1:].any(1)).any()
