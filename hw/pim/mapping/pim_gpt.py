"""The mapping of PIM-GPT (arXiv 2310.09385): all-bank MACs, heads concatenated in a row.

Owns ``POLICY``. Imports attention by heads, devices and the grid.

A token's keys are row-major, all heads one after another in a bank's row; values are column-major;
both have room for all tokens from the start. Matrices wider than the buffer are cut into tiles
whose sums the ASIC adds. How heads are dealt to channels is not published: ``heads`` says how it is
here.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.grid import Grid, mac
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.layout import Cache
from gateformer.hw.pim.mapping.heads import lay_heads
from gateformer.quant.decoder import Decoder


@dataclass(frozen=True, slots=True)
class PimGpt:
    """The policy."""

    name: str = "pim-gpt"

    def multiply(
        self, grid: Grid, index: int, count: int, slot: int, step: int
    ) -> list[Instruction]:
        """Multiply in all banks at once."""
        return mac(grid, index, count, slot, step)

    def cache(self, decoder: Decoder, device: Device, grid: Grid, tokens: int, start: int) -> Cache:
        """Lay out keys and values by heads."""
        return lay_heads(decoder, device, grid, tokens, start, self.multiply, opens=True)


POLICY = PimGpt()
