"""What every instruction does with numbers: the meaning that the memory's Verilog is held to.

Owns ``Numbers``. Imports the arithmetic, the instructions and how numbers are kept as bits. Where
``Banks`` obeys an instruction of a compiled program, both do the same. Besides it takes masks of
channels, biases, copies, element-wise products and writes of all banks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.arithmetic import accumulate, read, to_bf16
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.verilog import Shape
from gateformer.sim.pim import words
from gateformer.sim.pim.rtl.run import Place, Write

Bytes = NDArray[np.uint8]
STEP = {"bf16": 1, "int8": 1, "int4": 2}
"""Slots of the buffer that meet one access of weights."""


class Numbers:
    """Banks, buffers and sums of all channels.

    Parameters
    ----------
    device : Device
        Sizes.
    weights : {"bf16", "int8", "int4"}
        What MACs multiply.
    """

    def __init__(self, device: Device, weights: str = "bf16") -> None:
        sizes, shape = device.organization, Shape.of(device)
        self.weights = weights
        self.lanes = sizes.access_bits // 16
        self.in_group = sizes.banks_per_group
        self.cells = np.zeros(
            (sizes.channels, sizes.banks, sizes.rows, sizes.columns, self.lanes), np.uint16
        )
        self.buffer = np.full((sizes.channels, shape.slots, self.lanes), words.NAN, np.uint16)
        kind = np.float32 if weights == "bf16" else np.int32
        self.sums = np.zeros((sizes.channels, sizes.banks), kind)
        self.reads: list[list[words.Words]] = [[] for _ in range(sizes.channels)]
        self.results: list[list[words.Words]] = [[] for _ in range(sizes.channels)]

    def run(self, program: Iterable[Instruction], writes: Sequence[Iterable[Write]]) -> None:
        """Obey a program; ``reads`` and ``results`` then have what it read, by channel."""
        streams = [iter(own) for own in writes]
        for one in program:
            for channel, stream in enumerate(streams):
                if one.channels >> channel & 1:
                    for step in range(one.size):
                        self._request(one, channel, step, stream)

    def rows(self) -> dict[Place, Bytes]:
        """Return what stands in every row."""
        channels, banks, rows = self.cells.shape[:3]
        return {
            (c, b, r): self.cells[c, b, r].view(np.uint8).ravel()
            for c in range(channels)
            for b in range(banks)
            for r in range(rows)
        }

    def _request(self, one: Instruction, c: int, step: int, stream: Iterator[Write]) -> None:
        column, slot = one.column + step, one.slot + step
        match one.op:
            case "WR_GB":
                self.buffer[c, column] = self._words(next(stream).data)[: self.lanes]
            case "WR_BIAS":
                self._load(c, self._words(next(stream).data))
            case "RD_MAC":
                sums = self.sums[c].astype(np.float32)
                self.results[c].append(words.bits(read(sums)))
            case "RD_AF":
                self.results[c].append(np.full(self.sums.shape[1], words.NAN))
            case "MAC_ABK":
                self._multiply(c, slice(None), one.row, column, one.slot + step * self._step)
            case "MAC_SBK":
                own = slice(one.bank, one.bank + 1)
                self._multiply(c, own, one.row, column, one.slot + step * self._step)
            case "EWMUL":
                self._elementwise(c, one.row, column)
            case "WR_ABK":
                self._write(self.cells[c, :, one.row, column], next(stream))
            case "WR_SBK" | "WR_MEM":
                self._write(self.cells[c, one.bank, one.row, column], next(stream))
            case "RD_SBK" | "RD_MEM":
                self.reads[c].append(self.cells[c, one.bank, one.row, column].copy())
            case "COPY_BKGB":
                self.buffer[c, slot] = self.cells[c, one.bank, one.row, column]
            case "COPY_GBBK":
                self.cells[c, one.bank, one.row, column] = self.buffer[c, slot]
            case _:
                pass  # AF has its time only; the others are the host's

    @property
    def _step(self) -> int:
        return STEP[self.weights]

    def _words(self, data: Bytes) -> words.Words:
        """Return bytes as words, filled up with zeros."""
        whole = np.zeros(2 * max(self.lanes, self.sums.shape[1]), np.uint8)
        whole[: len(data)] = data
        return whole.view(np.uint16)

    def _load(self, c: int, biases: words.Words) -> None:
        own = biases[: self.sums.shape[1]]
        whole = self.weights != "bf16"
        self.sums[c] = own.view(np.int16).astype(np.int32) if whole else words.floats(own)

    def _multiply(self, c: int, banks: slice, row: int, column: int, slot: int) -> None:
        own = self.cells[c, banks, row, column]
        sent = self.buffer[c, slot : slot + self._step].reshape(-1)
        if self.weights == "bf16":
            found = accumulate(self.sums[c, banks], words.floats(own)[:, None], words.floats(sent))
            self.sums[c, banks] = found
            return
        numbers = words.whole(sent, "int8").astype(np.int32)
        products = words.whole(own, self.weights).astype(np.int32) * numbers
        self.sums[c, banks] += products.sum(axis=-1, dtype=np.int32)

    def _elementwise(self, c: int, row: int, column: int) -> None:
        """In each group, bank 0 times bank 1 into bank 2; nothing where there is no bank 2."""
        if self.in_group < 3:
            return
        own = self.cells[c, :, row, column].reshape(-1, self.in_group, self.lanes)
        with np.errstate(all="ignore"):
            own[:, 2] = words.bits(to_bf16(words.floats(own[:, 0]) * words.floats(own[:, 1])))
        self.cells[c, :, row, column] = own.reshape(-1, self.lanes)

    def _write(self, cells: words.Words, write: Write) -> None:
        """Write the bytes of a mask into one access, or into one of each bank."""
        data = self._words(write.data)[: self.lanes].view(np.uint8)
        if write.mask is None:
            cells[:] = data.view(np.uint16)
            return
        old = np.ascontiguousarray(cells).view(np.uint8)
        cells[:] = np.where(np.asarray(write.mask, bool), data, old).view(np.uint16)
