"""Operation: one node of a netlist, with its exact range. Imports nothing of gateformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "input",
    "const",
    "add",
    "sum",
    "mul",
    "gate",
    "max",
    "choose",
    "cast",
    "lookup",
    "zeros",
    "shift",
]


@dataclass(frozen=True, slots=True)
class Operation:
    """One scalar operation on nodes given by index.

    ``parameters`` by kind: input (port, index); const (value,); add (shift a, shift b,
    negate a, negate b); sum (three shifts, three signs); cast (drop, rounding, mode,
    lower limit, upper limit); lookup (table number, index bits); zeros (width, even).
    """

    kind: Kind
    args: tuple[int, ...]
    parameters: tuple[int | str, ...]
    lo: int
    hi: int
    note: str = ""

    @property
    def width(self) -> int:
        """Bits in two's complement."""
        return max(self.hi.bit_length(), (-self.lo - 1).bit_length() if self.lo < 0 else 0) + 1

    @property
    def bits(self) -> int:
        """Bits that can change: no sign bit where the value is never negative."""
        return max(self.width - (self.lo >= 0), 1) if self.lo != self.hi else 0
