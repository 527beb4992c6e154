"""The instruction set of the memory: what a host sends, and the commands that each becomes.

Owns ``Instruction``, ``OPS`` and the commands' names. Imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["register", "array", "none"]
"""What the channel must be switched to: its registers, its arrays, or it does not matter."""
Rows = Literal["all", "one", "none"]
"""Which rows must be open: the same one in every bank, one bank's, or none."""

COMMANDS = (
    "ACT", "ACT4", "ACT16", "PRE", "PRE4", "PREA", "RD", "RDA", "WR", "WRA", "MAC", "MAC16", "AF16",
    "EWMUL16", "RDCP", "WRCP", "WRGB", "RDMAC16", "RDAF16", "WRMAC16", "WRA16", "REFab", "REFpb",
    "TMOD", "SYNC", "EOC",
)  # fmt: skip
"""All commands, as the public AiM simulator names them."""


Scope = Literal["channel", "bankgroup", "bank"]
SCOPES: dict[str, Scope] = {
    **dict.fromkeys((name for name in COMMANDS if name not in ("SYNC", "EOC")), "channel"),
    **dict.fromkeys(("ACT4", "PRE4"), "bankgroup"),
    **dict.fromkeys(("ACT", "PRE", "RD", "RDA", "WR", "WRA", "MAC", "RDCP"), "bank"),
    **dict.fromkeys(("WRCP", "REFpb"), "bank"),
}  # fmt: skip
"""Command to the level that it addresses; it counts, and is checked, there and above."""


@dataclass(frozen=True, slots=True)
class Op:
    """What an instruction becomes.

    Attributes
    ----------
    command : str or None
        The command of each request; None where the host alone acts.
    mode : {"register", "array", "none"}
        Channel mode that it needs.
    rows : {"all", "one", "none"}
        Rows that must be open.
    blocks : bool
        Whether the next instruction waits until this one has completed.
    closes : bool
        Whether it leaves the banks closed.
    """

    command: str | None
    mode: Mode = "none"
    rows: Rows = "none"
    blocks: bool = False
    closes: bool = False


OPS: dict[str, Op] = {
    "WR_GB": Op("WRGB", "register"),
    "WR_BIAS": Op("WRMAC16", "register"),
    "RD_MAC": Op("RDMAC16", "register", blocks=True),
    "RD_AF": Op("RDAF16", "register", blocks=True),
    "MAC_ABK": Op("MAC16", "array", "all"),
    "EWMUL": Op("EWMUL16", "array", "all"),
    "AF": Op("AF16", "array", "all"),
    "WR_ABK": Op("WRA16", "array", "all", closes=True),
    "MAC_SBK": Op("MAC", "array", "one"),
    "COPY_BKGB": Op("RDCP", "array", "one"),
    "COPY_GBBK": Op("WRCP", "array", "one"),
    "WR_SBK": Op("WR", "array", "one"),
    "RD_SBK": Op("RD", "array", "one"),
    "RD_MEM": Op("RD", "array", "one"),
    "WR_MEM": Op("WR", "array", "one"),
    "SYNC": Op("SYNC", blocks=True),
    "EOC": Op("EOC"),
    "W_CFR": Op(None),
    "R_GPR": Op(None),
    "W_GPR": Op(None),
    "EWADD": Op(None),
}
"""Instruction name to its meaning. ``R MEM`` of a trace is RD_MEM here, ``W GPR`` is W_GPR."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes
    ----------
    op : str
        A key of ``OPS``.
    size : int
        Requests: columns ``column`` to ``column + size - 1``.
    channels : int
        Bit c set: channel c takes part (a trace's own mask counts from the top; its reader turns
        it round). SYNC and EOC go to all channels whatever it says.
    bank : int
        Bank within the channel, -1 where all or none take part.
    row : int
        Row, -1 where none is addressed.
    value : int
        For W_CFR, the register's new value; else 0.
    address : int
        For W_CFR, the register: 0 broadcast, 1 EWMUL_BG, 2 AFM; else 0.
    line : int
        Line of the trace that it came from; 0 if it came from none.
    column : int
        First column; for WR_GB the first slot of the global buffer. A trace always starts at 0.
    slot : int
        First slot of the global buffer that a MAC multiplies its first column with; it has no
        part in timing.
    """

    op: str
    size: int = 1
    channels: int = 1
    bank: int = -1
    row: int = -1
    value: int = 0
    address: int = 0
    line: int = 0
    column: int = 0
    slot: int = 0
