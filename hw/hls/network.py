"""The network of layers: forks where several read a stream, and the depth of every FIFO.

Owns ``Block``, ``Network`` and ``connect``. Imports units, phases and names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateformer.hw.hls.layers import Layer
from gateformer.hw.hls.phases import tokens
from gateformer.hw.hls.units import Unit
from gateformer.quant.graph import Graph

WAYS = 3
"""Most readers of one fork; gf_io.h has an overload for each number."""

SHALLOWEST = 2
"""Beats of a FIFO that is written and read in the same clock (UG1399, pragma HLS stream)."""


PIPELINE = 32
"""Clocks from a loop's reading to its writing that FIFOs allow for: a guess, as no vendor's
compiler has run. Beside a longer pipeline a skip still stops nothing, but may slow the frames."""


@dataclass(frozen=True, slots=True)
class Block:
    """One call in the top function.

    Attributes
    ----------
    name : str
        The hls4ml layer.
    layer : Layer or None
        None for a fork: of a stream to its readers, of an array to the port that it leaves by.
    inputs, outputs : tuple of str
        Wires: names of hls4ml tensors.
    """

    name: str
    layer: Layer | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """Blocks joined by wires, each wire with one writer and, between streams, one reader.

    Attributes
    ----------
    blocks : tuple of Block
        In topological order.
    values : mapping of str to str
        Wire -> value of the graph.
    outputs : tuple of str
        The wire of each output of the graph.
    depths : mapping of str to int
        Beats that each wire must hold.
    """

    blocks: tuple[Block, ...]
    values: Mapping[str, str]
    outputs: tuple[str, ...]
    depths: Mapping[str, int]


def connect(
    graph: Graph,
    units: Sequence[Unit],
    layers: Sequence[Layer],
    wires: Mapping[str, str],
    forked: bool,
) -> Network:
    """Join layers by wires.

    Parameters
    ----------
    graph : Graph
        The lowered network.
    units, layers : sequences
        Each unit and its text.
    wires : mapping of str to str
        Tensor of each value that passes between layers.
    forked : bool
        Whether a wire may have one reader only, as streams do. Of an array that layers read, the
        port alone is apart: a port that were read would need a way in.
    """
    values = {wire: value for value, wire in wires.items()}
    readers: dict[str, list[int]] = {value: [] for value in wires}
    for number, unit in enumerate(units):
        for value in unit.reads:
            readers[value].append(number)
    blocks: list[Block] = []
    taps: dict[tuple[str, int], str] = {}
    outputs = {value: wires[value] for value in graph.outputs}

    def tap(value: str) -> None:
        leaves = value in graph.outputs
        ends = [*readers[value], *([-1] if leaves else [])]
        wire = wires[value]
        if len(ends) < 2 or not (forked or leaves):
            taps.update({(value, end): wire for end in ends})
            return
        if not forked:
            taps.update({(value, end): wire for end in readers[value]})
            ends = [-1]
        number = 0
        while ends:
            more = len(ends) > WAYS
            now, ends = (ends[: WAYS - 1], ends[WAYS - 1 :]) if more else (ends, [])
            outs = []
            for end in now:
                number += 1
                outs.append(f"{wires[value]}_copy{number}")
                taps[value, end] = outs[-1]
            if more:
                outs.append(f"{wires[value]}_rest{number}")
            values.update(dict.fromkeys(outs, value))
            blocks.append(Block(f"{wire}_fork", None, (wire,), tuple(outs)))
            wire = outs[-1]
        if leaves:
            outputs[value] = taps[value, -1]

    for value in graph.inputs:
        tap(value)
    for number, (unit, layer) in enumerate(zip(units, layers, strict=True)):
        ins = tuple(taps[value, number] for value in unit.reads)
        outs = tuple(wires[value] for value in unit.writes)
        blocks.append(Block(layer.function, layer, ins, outs))
        for value in unit.writes:
            tap(value)
    depths = _depths(graph, blocks, values)
    return Network(tuple(blocks), values, tuple(outputs[v] for v in graph.outputs), depths)


def _depths(graph: Graph, blocks: Sequence[Block], values: Mapping[str, str]) -> dict[str, int]:
    """Beats of each FIFO.

    One frame; one more for each frame that the reader's other operands are held up for, so that
    no skip blocks; and what arrives while they pass through pipelines, so that no skip slows.
    """
    frames: dict[str, int] = {}
    clocks: dict[str, int] = {}
    depths: dict[str, int] = {}
    interval = max(tokens(graph.values[value]) for value in values.values())
    for block in blocks:
        gathered = max(frames.get(wire, 0) for wire in block.inputs)
        passed = max(clocks.get(wire, 0) for wire in block.inputs)
        for wire in block.inputs:
            held = 1 + gathered - frames.get(wire, 0)
            held += -(-(passed - clocks.get(wire, 0)) // interval)
            depths[wire] = max(SHALLOWEST, held * tokens(graph.values[values[wire]]))
        for wire in block.outputs:
            waits = block.layer.waits[values[wire]] if block.layer else 0
            frames[wire] = gathered + waits
            once = interval - 1 if tokens(graph.values[values[wire]]) == 1 else 0
            clocks[wire] = passed + (PIPELINE * (1 + waits) + once if block.layer else 0)
    return depths
