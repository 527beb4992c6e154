"""A board without hardware: the driver's other end, down to caches and DMA registers.

Owns ``SimulatedBoard``, its memory and channels, and ``NumpyEngine``, which reads the very bytes
that the driver packed. `gateformer.host.rtl_engine` puts the generated Verilog in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gateformer.host.board import DMA_RESET, FRAME_ERROR, SOFT_RESET, STATUS
from gateformer.host.description import Description, Stream
from gateformer.host.packing import from_memory, mask_from_memory, to_memory
from gateformer.hw.dataflow.words import Words
from gateformer.quant.graph import Graph
from gateformer.quant.types import IntArray
from gateformer.sim.rtl.streams import ByteArray

PAGE = 4096
"""Bytes to which memory for a DMA is aligned."""


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """What an output gave.

    Attributes
    ----------
    octets : ndarray of uint8
        The bytes of its words.
    ended : bool
        Whether the last of them came with ``tlast``.
    """

    octets: ByteArray
    ended: bool


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What the design did with one packet an input.

    Attributes
    ----------
    packets : mapping of str to Packet
        By the output's port name.
    frame_error : bool
        Whether a frame was dropped.
    """

    packets: Mapping[str, Packet]
    frame_error: bool


class Engine(Protocol):
    """Whatever stands for the design."""

    def run(self, packets: Mapping[str, ByteArray]) -> Answer:
        """Take one packet an input, by port name, and answer; the design starts empty."""
        ...


class NumpyEngine:
    """The numpy executor behind the design's words.

    Parameters
    ----------
    description : Description
        The design's.
    execute : callable
        Raw inputs by value, (n, *shape), to raw outputs by value.
    """

    def __init__(
        self,
        description: Description,
        execute: Callable[[Mapping[str, IntArray]], Mapping[str, IntArray]],
    ) -> None:
        self.description, self.execute = description, execute

    @classmethod
    def of(cls, description: Description, graph: Graph) -> NumpyEngine:
        """Run a lowered graph."""
        from gateformer.quant.execute import run

        def execute(frames: Mapping[str, IntArray]) -> Mapping[str, IntArray]:
            shaped = {v: x.reshape(-1, *graph.values[v].shape) for v, x in frames.items()}
            values = run(graph, shaped)
            return {value: values[value] for value in graph.outputs}

        return cls(description, execute)

    def run(self, packets: Mapping[str, ByteArray]) -> Answer:
        """Take one packet an input."""
        whole, torn = {}, {}
        for stream in self.description.inputs:
            name, size = stream.port.name, stream.layout.frame_bytes
            whole[name], rest = divmod(len(packets[name]), size)
            torn[name] = rest != 0
        count = min(whole.values())
        # A torn frame is dropped once every input has something of its frame.
        dropped = all(whole[n] > count or torn[n] for n in whole) and any(
            torn[n] and whole[n] == count for n in whole
        )
        frames: dict[str, IntArray] = {}
        for stream in self.description.inputs:
            layout = stream.layout
            octets = packets[stream.port.name][: count * layout.frame_bytes]
            frames[stream.port.value] = from_memory_of_input(layout, octets)
            if stream.port.mask is not None:
                frames[stream.port.mask] = mask_from_memory(layout, octets)
        first = self.description.inputs[0].port.name
        ended = count > 0 and whole[first] == count and not torn[first]
        made = self.execute(frames) if count else {}
        empty = np.zeros(0, np.uint8)
        return Answer(
            {
                s.port.name: Packet(to_memory(s.layout, made) if count else empty, ended)
                for s in self.description.outputs
            },
            dropped,
        )


def from_memory_of_input(layout: Words, octets: ByteArray) -> IntArray:
    """Return an input's frames; what the sender left in the padding does not count."""
    beats = octets.reshape(-1, layout.beat_bytes)[:, : layout.data_bytes]
    plain = np.zeros((len(beats), layout.beat_bytes), np.uint8)
    plain[:, : layout.data_bytes] = beats
    return from_memory(layout, plain.reshape(-1))


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
    """One direction of an AXI DMA in its simple mode, with PYNQ's checks."""

    def __init__(self, board: SimulatedBoard, name: str, sends: bool, word_bytes: int) -> None:
        self._board, self.name, self._sends, self._align = board, name, sends, word_bytes
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
        self._board.work()

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
        return SimulatedChannel(self, stream.port.name, sends, stream.layout.word_bytes)

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
