"""The benches that seeded faults of the memory are shown to, on Icarus.

Owns ``MEMORY_BENCHES``: random programs on few and small banks against the event simulator and the
model, the edges of queue and host, and the watch on streams that are wrong on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rtl import test_pim_memory, test_pim_watch
from rtl.pim_fault_place import Place
from rtl.pim_memory import Memory, work

from gateformer.hw.pim import verilog
from gateformer.hw.pim.device import load, with_
from gateformer.hw.pim.isa import COMMANDS, Instruction
from gateformer.quant.errors import GateformerError, MismatchError
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.rtl import run as running
from gateformer.sim.pim.rtl import watching

SIZES = {"bank_groups": 2, "banks_per_group": 3, "rows": 4, "row_bytes": 32, "access_bits": 32}
"""Eight columns of two BF16 numbers in each of four rows."""
TIMING = {
    "nBL": 2, "nCL": 11, "nRCDRD": 9, "nRCDRDMAC": 14, "nRCDEWMUL": 7, "nRCDRDAF": 17,
    "nRCDRDCP": 13, "nRCDWR": 8, "nRCDWRCP": 10, "nRP": 12, "nRAS": 24, "nRC": 37, "nWR": 15,
    "nRTP": 6, "nCWL": 4, "nCCDS": 2, "nCCDL": 3, "nRRDS": 3, "nRRDL": 5, "nWTRS": 7, "nWTRL": 10,
    "nFAW": 43, "nRFC": 31, "nREFI": 400, "nRREFD": 5, "nRFCpb": 18, "nCLREG": 1, "nCLGB": 2,
    "nCWLREG": 1, "nCWLGB": 2, "nWPRE": 1, "nMODCH": 8,
}  # fmt: skip
"""As a GDDR6's in order, but short and all different; nFAW is one that binds."""
ACTIVATES = (
    # Four activates in nFAW, and a fifth; one in the clock in which another is no longer counted.
    tuple(Instruction("RD_SBK", 1, 3, bank, 1) for bank in range(5)),
    tuple(Instruction("COPY_BKGB", 1, 3, bank, 1) for bank in range(6)),
)
"""Programs that open one bank after another from reset."""
BARRIERS = (
    # Whoever waits for a SYNC waits for both channels, and for no clock more or less.
    (
        Instruction("RD_SBK", 1, 1, 0, 1), Instruction("SYNC", channels=2),
        Instruction("RD_SBK", 1, 2, 1, 1), Instruction("SYNC", channels=1), Instruction("SYNC"),
        Instruction("MAC_ABK", 8, 3, row=2), Instruction("SYNC"), Instruction("RD_SBK", 1, 3, 2, 2),
    ),
    # AF opens the row that AFM names, and its results are read.
    (
        Instruction("W_CFR", address=1, value=3), Instruction("AF", 1, 3),
        Instruction("W_CFR", address=2, value=1), Instruction("MAC_ABK", 1, 3, row=1),
        Instruction("AF", 1, 3), Instruction("AF", 1, 3), Instruction("MAC_ABK", 1, 3, row=0),
        Instruction("RD_AF", 1, 3), Instruction("W_CFR", address=2, value=0),
        Instruction("AF", 1, 3), Instruction("MAC_ABK", 1, 3, row=0), Instruction("RD_AF", 1, 3),
    ),
    # Copies of several columns into slots that are none of them, multiplied and read back.
    (
        Instruction("COPY_BKGB", 4, 3, 1, 2, column=1, slot=11), Instruction("SYNC"),
        Instruction("COPY_GBBK", 4, 3, 2, 3, column=3, slot=11),
        Instruction("RD_SBK", 5, 3, 2, 3, column=2),
    ),
)  # fmt: skip
"""Programs of what random ones seldom have."""
QUEUES = tuple(
    # A channel's queue fills while the other one waits behind it.
    (
        Instruction("MAC_ABK", 8, 3, row=1), Instruction("RD_SBK", 1, 3, 0, 0),
        *(Instruction("MAC_SBK", 8, 1, 1, row % 2) for row in range(4)),
        Instruction("MAC_SBK", size, 1, 0, 3), Instruction("RD_SBK", 2, 2, 0, 2),
        Instruction("RD_SBK", 3, 2, 0, 1), Instruction("MAC_SBK", 8, 1, 1, 0),
        Instruction("RD_SBK", 1, 2, 0, 2),
    )
    for size in (1, 2, 3)
)  # fmt: skip
"""Programs in which the room for 33 requests is what decides when a command comes."""
NEVER = Refresh("none")


def memory(
    refresh: Refresh, place: Place, *, queue: int = 33, weights: str = "bf16", length: int = 25
) -> None:
    """Random programs, command by command and bit by bit."""
    one = chosen(refresh, queue, weights)
    works = [work(seed, one, length) for seed in (1, 2)]
    works += [
        replace(works[0], program=program, writes=[[], []])
        for program in (*ACTIVATES, *BARRIERS, *QUEUES)
    ]
    with memories(place, running):
        test_pim_memory.compare(one, works, place.work, place.cache)


def chosen(refresh: Refresh, queue: int = 33, weights: str = "bf16", **timing: int) -> Memory:
    """Return two channels of ``SIZES`` and ``TIMING``, the strict rules in force."""
    changes = {"nREFI": 480 if refresh.policy == "per-bank" else 400, **timing}
    device = with_(load("gddr6-aim"), channels=2, **SIZES, **{**TIMING, **changes})
    assert device.mac is not None
    mac = replace(device.mac, lanes=2, buffer_bytes=64)
    return Memory(replace(device, mac=mac), refresh, True, queue, weights)


@contextmanager
def memories(place: Place, *modules: ModuleType) -> Iterator[None]:
    """Have memories built from altered Verilog; what fails behind a build is a finding."""
    built: list[str] = []

    def emit(*arguments: Any, **options: Any) -> dict[str, str]:
        return place.alter(verilog.emit(*arguments, **options))

    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            build = module.build  # type: ignore[attr-defined]

            def note(*arguments: Any, build: Any = build) -> Any:
                done = build(*arguments)
                built.append(done.top)
                return done

            patch.setattr(module, "emit", emit)
            patch.setattr(module, "build", note)
        try:
            yield
        except GateformerError as problem:
            if not built:
                raise
            raise MismatchError("E405", str(problem)) from problem


def edges(place: Place) -> None:
    """Full queues, empty masks, blocking, barriers, pseudo rows."""
    with memories(place, running):
        test_pim_memory.test_edges_of_queue_blocking_and_barriers(place.work, place.cache)


def refuses(place: Place) -> None:
    """What the host must refuse."""
    with memories(place, running):
        try:
            test_pim_memory.test_the_host_refuses_by_name(place.work, place.cache)
        except ValueError as problem:  # fewer refusals than there should be
            raise AssertionError(str(problem)) from problem


def watch(place: Place) -> None:
    """Streams of commands, most of them illegal."""
    with memories(place, watching):
        for seed in (3, 4):
            test_pim_watch.compare(seed, 25, 30, place.work, place.cache)


ILLEGAL = (
    [(5, "RD", 0, 1, 0)],  # closed
    [(1, "ACT", 0, 1, 0), (99, "ACT", 0, 1, 0)],  # open
    [(1, "ACT", 0, 4, 0)],  # no such row
    [(1, "ACT", 1, 1, 0), (50, "PRE", 1, 1, 0), (61, "ACT", 1, 1, 0)],  # nRP is 12
    [(1, "ACT", 5, 1, 0), (50, "RD", 5, 2, 0)],  # another row
    [(1, "ACT", 5, 1, 0), (50, "WRGB", 0, 0, 0)],  # the other mode
)
"""Streams whose last command alone is illegal: clock, command, bank, row, column."""


def forced(place: Place) -> None:
    """Streams by hand, each illegal at its end and one clock, row or mode from being legal."""
    one = with_(chosen(NEVER).device, channels=1)
    streams = [
        np.array([[row[0], COMMANDS.index(row[1]), *row[2:]] for row in stream], np.int64)
        for stream in ILLEGAL
    ]
    with memories(place, watching):
        found = watching.watched(
            streams, one, strict=True, work=place.work / "forced", cache=place.cache
        )
    assert found == [[stream[-1][0]] for stream in ILLEGAL]


MEMORY_BENCHES: Mapping[str, Callable[[Place], None]] = {
    "memory": partial(memory, NEVER),
    "memory refresh": partial(memory, Refresh("all-bank", postponed=1)),
    "memory per bank": partial(memory, Refresh("per-bank")),
    "memory queue": partial(memory, NEVER, queue=2),
    "memory int8": partial(memory, NEVER, weights="int8", length=15),
    "memory int4": partial(memory, NEVER, weights="int4", length=15),
    "memory edges": edges,
    "memory refuses": refuses,
    "watch": watch,
    "watch by hand": forced,
}
