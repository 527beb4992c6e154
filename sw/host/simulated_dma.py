"""An AXI DMA without hardware, as PYNQ shows it: channels, registers, and memory behind caches.

Owns ``Memory``, ``SimulatedChannel`` and ``SimulatedDma``. Imports packets and addresses only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gateformer.host.board import DMA_RESET
from gateformer.host.engine import Packet
from gateformer.sim.rtl.streams import ByteArray


class Memory(np.ndarray[Any, np.dtype[np.uint8]]):
    """A buffer of which the processor and the DMA each see their own copy, until told."""

    physical_address: int
    dram: ByteArray
    freed: bool

    def __array_finalize__(self, source: Any) -> None:
        """Views are plain."""
        self.freed = False

    def flush(self) -> None:
        """Write the processor's cache to memory."""
        self.dram[:] = np.asarray(self)

    def invalidate(self) -> None:
        """Read memory anew."""
        self[:] = self.dram

    def freebuffer(self) -> None:
        """Give it back."""
        self.freed = True


class SimulatedChannel:
    """One direction of an AXI DMA in its simple mode, with PYNQ's checks.

    Parameters
    ----------
    work : callable
        Called when a transfer begins: the board sees whether it has all that it waits for.
    name : str
        The stream's port.
    sends : bool
        Memory to stream, or back.
    word_bytes : int
        To which addresses are aligned.
    """

    def __init__(self, work: Callable[[], None], name: str, sends: bool, word_bytes: int) -> None:
        self._work, self.name, self._sends, self._align = work, name, sends, word_bytes
        self.transferred = 0
        self.halt()

    def halt(self) -> None:
        """As after a reset."""
        self.running = self.idle = self.error = False
        self._fresh = True
        self._task: tuple[Memory, int, int] | None = None

    @property
    def pending(self) -> bool:
        """Whether a transfer waits."""
        return self._task is not None and not self.idle and not self.error

    def start(self) -> None:
        """Make it ready."""
        self.running = self._fresh = True

    def transfer(self, array: ByteArray, start: int = 0, nbytes: int = 0) -> None:
        """Begin a transfer; it is done when the board has all that it waits for."""
        if not self.running:
            raise RuntimeError("DMA channel not started")
        if not self.idle and not self._fresh:
            raise RuntimeError("DMA channel not idle")
        assert isinstance(array, Memory) and not array.freed
        if (array.physical_address + start) % self._align:
            raise RuntimeError("DMA does not support unaligned transfers")
        size = nbytes or array.nbytes - start
        assert start + size <= array.nbytes, "a transfer beyond its buffer"
        if self._sends:
            array.flush()
        self.idle = self._fresh = False
        self.transferred = 0
        self._task = (array, start, size)
        self._work()

    def sent(self) -> ByteArray:
        """The packet in memory."""
        assert self._task is not None
        array, start, size = self._task
        return array.dram[start : start + size].copy()

    def finish(self, moved: int) -> None:
        """The transfer is complete."""
        self.idle, self.moved = True, moved

    def receive(self, packet: Packet) -> None:
        """Write a packet to memory; one that is too long halts the channel (AMD PG021)."""
        assert self._task is not None
        array, start, size = self._task
        fits = packet.octets[:size]
        array.dram[start : start + len(fits)] = fits
        if len(packet.octets) > size or (len(packet.octets) == size and not packet.ended):
            self.error, self.running = True, False
        elif packet.ended:
            self.finish(len(fits))

    def wait(self) -> None:
        """Return when done; on hardware it would wait for ever where nothing comes."""
        if not self.running or not self.idle:
            raise RuntimeError("DMA channel not done")
        assert self._task is not None
        if not self._sends:
            self._task[0].invalidate()
        self.transferred = self.moved


class SimulatedDma:
    """An AXI DMA."""

    def __init__(self, sends: SimulatedChannel | None, receives: SimulatedChannel | None) -> None:
        self._sends, self._receives = sends, receives

    @property
    def sendchannel(self) -> SimulatedChannel:
        """Memory to stream."""
        assert self._sends is not None, "a DMA without this channel"
        return self._sends

    @property
    def recvchannel(self) -> SimulatedChannel:
        """Stream to memory."""
        assert self._receives is not None, "a DMA without this channel"
        return self._receives

    def read(self, offset: int) -> int:
        """Control registers: the reset is done at once."""
        return 0

    def write(self, offset: int, value: int) -> None:
        """Control registers: a reset halts both channels."""
        if value & DMA_RESET:
            for channel in (self._sends, self._receives):
                if channel is not None:
                    channel.halt()
