"""Predicted resources of whole stages: circuits times copies, buffers, delay lines, control.

Owns ``stage_cost``. Imports the stages and the cost of single operations.
"""

from __future__ import annotations

import numpy as np

from gateformer.hw.dataflow.classify import Facts
from gateformer.hw.dataflow.design import Cost
from gateformer.hw.dataflow.stages import (
    AccumulateStage,
    DotStage,
    Feed,
    GatherStage,
    HwStage,
    LaneStage,
    MacStage,
)
from gateformer.hw.netlist import costs
from gateformer.quant.graph import Graph


def stage_cost(graph: Graph, facts: Facts, stage: HwStage) -> tuple[Cost, int]:
    """``(cost, multipliers)`` of a stage, the alignment of its inputs included."""
    total = Cost()
    for feed in stage.feeds:
        total = total + feed_cost(graph, facts, feed)
    if isinstance(stage, LaneStage):
        copies = stage.circuit.cost.times(stage.lanes)
        return total + copies, int(copies.dsp)
    if isinstance(stage, DotStage):
        cost, count = _dot_cost(graph, facts, stage)
        return total + cost, count
    if isinstance(stage, MacStage):
        cost, count = _mac_cost(graph, facts, stage)
        return total + cost, count
    bits = beat_bits(graph, facts, stage.feeds[0].value)
    if isinstance(stage, GatherStage):
        return total + Cost(ff=bits * stage.beats), 0
    assert isinstance(stage, AccumulateStage)
    value = graph.values[stage.node.output]
    sums = int(np.prod(value.shape[1:])) if len(value.shape) > 1 else value.shape[0]
    out = sums * value.fixed.width
    total = total + Cost(lut=out * stage.lanes, ff=out * stage.lanes)
    if stage.circuit:
        total = total + stage.circuit.cost.times(stage.lanes)
    return total, 0


def beat_bits(graph: Graph, facts: Facts, name: str) -> int:
    """Bits of one beat (or one key group of it) of a value."""
    return int(np.prod(facts.features(name))) * facts.lanes(name) * graph.values[name].fixed.width


def feed_cost(graph: Graph, facts: Facts, feed: Feed) -> Cost:
    """Delay line, FIFO and hold register of one input."""
    bits = beat_bits(graph, facts, feed.value)
    cost = costs.delay_line(bits, feed.delay)
    if feed.depth:
        cost = cost + Cost(lut=bits * -(-feed.depth // 64) * 1.15, ff=bits)
    if feed.hold:
        cost = cost + Cost(ff=bits)
    return cost


def _dot_cost(graph: Graph, facts: Facts, stage: DotStage) -> tuple[Cost, int]:
    total = Cost()
    for index, circuit in enumerate(stage.circuits):
        copies = int((stage.pick == index).sum()) * stage.lanes
        total = total + circuit.cost.times(copies)
    multipliers = int(total.dsp)
    for feed in stage.keys:
        total = total + feed_cost(graph, facts, feed)
    if stage.buffered:
        name = stage.node.inputs[1]
        frame = facts.tokens(name) * int(np.prod(facts.features(name)))
        bits = frame * graph.values[name].fixed.width
        beat = beat_bits(graph, facts, name)
        total = total + Cost(lut=bits if stage.fold > 1 else 0.0, ff=2.0 * bits - beat)
    if stage.accumulate:
        value = graph.values[stage.node.output]
        bits = value.shape[1] * value.shape[2] * value.fixed.width * stage.lanes
        total = total + Cost(lut=bits, ff=bits)
    return total, multipliers


def _mac_cost(graph: Graph, facts: Facts, stage: MacStage) -> tuple[Cost, int]:
    parts = stage.parts
    phases, outputs, chunk = parts.weights.shape
    lanes = 1 if parts.beats > 1 else facts.lanes(stage.result)
    total = parts.dot.cost.times(outputs * lanes)
    multipliers = int(total.dsp)
    width = parts.dot.net.operations[int(parts.dot.outputs["y"][0])].width
    accumulator = graph.values[stage.node.output].fixed.width
    span = max(abs(int(parts.weights.min())), abs(int(parts.weights.max())), 1)
    bits = outputs * chunk * (span.bit_length() + 1)
    if phases > 64 and phases * bits > 1 << 14:
        total = total + Cost(bram=max(1.0, bits / 72) * -(-phases // 512))
    else:
        total = total + Cost(lut=bits * min(1.0, phases / 32) * max(1, phases / 64), ff=bits)
    total = total + Cost(lut=accumulator, ff=accumulator).times(outputs * lanes)
    total = total + Cost(ff=float(beat_bits(graph, facts, parts.source)), lut=float(width))
    if parts.post:
        total = total + parts.post.cost.times(lanes)
    return total, multipliers
