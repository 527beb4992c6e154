"""A baseline: a matrix' columns interleaved over the banks, one bank's MAC at a time.

Owns ``POLICY``. Imports attention by heads, devices and the grid.

Numbers stand where ``pim-gpt`` puts them, neighbouring outputs in neighbouring banks, but no
command reaches all banks at once: the difference between both is what all-bank commands are worth.
Nor are rows opened together before values are written.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.grid import Grid, mac_by_bank
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.layout import Cache
from gateformer.hw.pim.mapping.heads import lay_heads
from gateformer.quant.decoder import Decoder


@dataclass(frozen=True, slots=True)
class Interleaved:
    """The policy."""

    name: str = "interleaved"

    def multiply(
        self, grid: Grid, index: int, count: int, slot: int, step: int
    ) -> list[Instruction]:
        """Multiply bank after bank."""
        return mac_by_bank(grid, index, count, slot, step)

    def cache(self, decoder: Decoder, device: Device, grid: Grid, tokens: int, start: int) -> Cache:
        """Lay out keys and values by heads."""
        return lay_heads(decoder, device, grid, tokens, start, self.multiply, opens=False)


POLICY = Interleaved()
