"""Programs in which every wait that can bind does so.

Owns ``programs``. Random ones find three quarters of the rules' faults; the others need a row that
stays open over a change of the mode, two banks of one group, or a refresh between two commands.
"""

from __future__ import annotations

from gateformer.hw.pim.isa import Instruction

Program = tuple[Instruction, ...]
ONE = ("MAC_SBK", "COPY_BKGB", "COPY_GBBK", "WR_SBK", "RD_SBK")
ALL = ("MAC_ABK", "EWMUL", "WR_ABK")
REGISTERS = ("WR_GB", "WR_BIAS", "RD_MAC", "RD_AF")


def everywhere(name: str, row: int = 1, size: int = 1) -> Instruction:
    """Return an instruction for all banks, AF in its own row."""
    return Instruction(name, size, 1, row=-1 if name == "AF" else row)


def here(name: str, bank: int, row: int = 1, size: int = 1) -> Instruction:
    """Return an instruction for one bank."""
    return Instruction(name, size, 1, bank, row)


def programs() -> list[Program]:
    """Return all of them, for one channel of two groups of three banks."""
    sync = Instruction("SYNC")
    found: list[Program] = []
    for name in (*ALL, "AF"):
        opens = "AF" if name == "AF" else "MAC_ABK"
        for register in REGISTERS:
            between = Instruction(register, 1, 1)
            found.append((everywhere(opens), between, everywhere(name), between, sync))
    for register in REGISTERS:
        for other in REGISTERS:
            found.append((Instruction(register, 1, 1), Instruction(other, 1, 1), sync))
        for one in ONE:
            between = Instruction(register, 1, 1)
            found.append((everywhere("MAC_ABK"), here(one, 1), between, here(one, 1), sync))
    for one in ONE:
        found.append((everywhere("EWMUL"), here(one, 4), sync))
        found.append((here(one, 0), sync, here(one, 0, 2), everywhere("MAC_ABK")))
        for name in ALL:
            found.append((everywhere("MAC_ABK"), here(one, 0), everywhere(name), sync))
            found.append((everywhere("MAC_ABK"), everywhere(name, 1, 2), here(one, 0), sync))
        for other in ONE:
            far = (here(one, 0), here(other, 4), here(one, 1), here(other, 2), here(one, 2))
            found.append((everywhere("MAC_ABK"), *far))
    # Banks that open and close all the time, so that refreshes come between all their commands;
    # with many accesses, the other bank is open for nRAS when one is closed.
    for shift in range(6):
        size = 8 if shift > 2 else 1
        turns = (here("RD_SBK", turn % 2, 1 + turn // 2 % 2, size) for turn in range(60))
        found.append((*(here("WR_SBK", 3) for _ in range(shift)), *turns))
    # Registers alone, so that refreshes find all banks closed and change the mode themselves.
    found.append((Instruction("RD_MAC", 1, 1),) * 60)
    found.append((here("RD_SBK", 5), *(Instruction("RD_AF", 1, 1),) * 60))
    return found
