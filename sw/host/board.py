"""What the driver asks of a board: PYNQ's objects have it, so has the simulated board.

Owns the protocols ``Channel``, ``Dma``, ``Registers`` and ``Board``, and the registers' addresses.
"""

from __future__ import annotations

from typing import Protocol

from gateformer.sim.rtl.streams import ByteArray

STATUS, SOFT_RESET = 0x0, 0x8
"""The GPIO block's two data registers (AMD PG144): what the design says, and its reset."""
FRAME_ERROR = 1
"""Bit of `STATUS`; the identity is above it."""
SEND_CONTROL, RECEIVE_CONTROL = 0x00, 0x30
"""Control registers of a DMA's channels (AMD PG021)."""
DMA_RESET = 1 << 2
"""Bit of a control register: resets both channels, reads as 1 until that is done."""


class Channel(Protocol):
    """One direction of a DMA, as ``pynq.lib.dma`` has it since PYNQ 2.6."""

    transferred: int
    """Bytes moved, known once ``wait`` has returned."""

    @property
    def idle(self) -> bool:
        """Whether the transfer is complete."""
        ...

    @property
    def error(self) -> bool:
        """Whether an error has halted it."""
        ...

    def start(self) -> None:
        """Make it ready for a transfer."""
        ...

    def transfer(self, array: ByteArray, start: int, nbytes: int) -> None:
        """Begin to move ``nbytes`` bytes from or to ``array[start:]``."""
        ...

    def wait(self) -> None:
        """Return once the transfer is complete and the processor's caches know of it."""
        ...


class Registers(Protocol):
    """A block's registers."""

    def read(self, offset: int) -> int:
        """Return the register at a byte offset."""
        ...

    def write(self, offset: int, value: int) -> None:
        """Set the register at a byte offset."""
        ...


class Dma(Registers, Protocol):
    """An AXI DMA; a channel that it lacks is not asked for."""

    @property
    def sendchannel(self) -> Channel:
        """Memory to stream."""
        ...

    @property
    def recvchannel(self) -> Channel:
        """Stream to memory."""
        ...


class Board(Protocol):
    """A programmed board."""

    @property
    def status(self) -> Registers:
        """The GPIO block."""
        ...

    def dma(self, name: str) -> Dma:
        """Return a DMA block."""
        ...

    def allocate(self, nbytes: int) -> ByteArray:
        """Return memory that the DMA can reach."""
        ...

    def release(self, buffer: ByteArray) -> None:
        """Give such memory back."""
        ...
