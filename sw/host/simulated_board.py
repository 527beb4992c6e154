"""A board without hardware: the driver's other end, down to caches and registers.

Owns ``SimulatedBoard`` and its GPIO block. Imports simulated DMAs, and an engine's interface.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gateformer.host.board import FRAME_ERROR, SOFT_RESET, STATUS
from gateformer.host.description import Description, Stream
from gateformer.host.engine import Engine
from gateformer.host.simulated_dma import Memory, SimulatedChannel, SimulatedDma
from gateformer.sim.rtl.streams import ByteArray

PAGE = 4096
"""Bytes to which memory for a DMA is aligned."""


@dataclass(slots=True)
class SimulatedGpio:
    """The GPIO block: status in, soft reset out."""

    identity: int
    frame_error: bool = False
    held: bool = False

    def read(self, offset: int) -> int:
        """Return a register."""
        return self.identity << 1 | FRAME_ERROR * self.frame_error if offset == STATUS else 0

    def write(self, offset: int, value: int) -> None:
        """Set a register."""
        if offset == SOFT_RESET:
            self.held = bool(value & 1)
            self.frame_error = self.frame_error and not self.held


@dataclass(slots=True)
class SimulatedBoard:
    """A board.

    Attributes
    ----------
    description : Description
        The design's.
    engine : Engine
        What computes.
    """

    description: Description
    engine: Engine
    status: SimulatedGpio = field(init=False)
    buffers: list[Memory] = field(init=False, default_factory=list)
    _dmas: dict[str, SimulatedDma] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.status = SimulatedGpio(self.description.identity)
        senders = {s.dma: s for s in self.description.inputs}
        receivers = {s.dma: s for s in self.description.outputs}
        for name in self.description.dmas:
            self._dmas[name] = SimulatedDma(
                self._channel(senders.get(name), True), self._channel(receivers.get(name), False)
            )

    def _channel(self, stream: Stream | None, sends: bool) -> SimulatedChannel | None:
        if stream is None:
            return None
        return SimulatedChannel(self.work, stream.port.name, sends, stream.layout.word_bytes)

    def dma(self, name: str) -> SimulatedDma:
        """Return a DMA block."""
        return self._dmas[name]

    def allocate(self, nbytes: int) -> Memory:
        """Return memory, full of what was there before."""
        buffer = np.full(nbytes, 0xA5, np.uint8).view(Memory)
        buffer.dram = np.full(nbytes, 0x5A, np.uint8)
        buffer.physical_address = 0x10_0000 + sum(-(-b.nbytes // PAGE) * PAGE for b in self.buffers)
        self.buffers.append(buffer)
        return buffer

    def release(self, buffer: ByteArray) -> None:
        """Give it back."""
        assert isinstance(buffer, Memory)
        buffer.freebuffer()

    def work(self) -> None:
        """Compute, once every input has its packet and every output its buffer."""
        sends = [self._dmas[s.dma].sendchannel for s in self.description.inputs]
        receives = [self._dmas[s.dma].recvchannel for s in self.description.outputs]
        if self.status.held or not all(c.pending for c in (*sends, *receives)):
            return
        answer = self.engine.run({c.name: c.sent() for c in sends})
        self.status.frame_error = self.status.frame_error or answer.frame_error
        for channel in sends:
            channel.finish(len(channel.sent()))
        for channel in receives:
            channel.receive(answer.packets[channel.name])
