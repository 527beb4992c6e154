"""What stands for the design behind a simulated board: packets of bytes in, packets out.

Owns ``Packet``, ``Answer``, the protocol ``Engine``, and ``NumpyEngine``, which reads the very
bytes that the driver packed. `gateformer.host.rtl_engine` puts the generated Verilog there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gateformer.host.description import Description
from gateformer.host.packing import from_memory, mask_from_memory, to_memory
from gateformer.hw.dataflow.words import Words
from gateformer.quant.graph import Graph
from gateformer.quant.types import IntArray
from gateformer.sim.rtl.streams import ByteArray


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
