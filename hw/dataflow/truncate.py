"""Truncated sums: matrices whose additions leave out bits far below what a cast keeps.

Owns ``truncate``. Imports the adder-graph solver, rewriting and ``ShiftAdd``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log2
from pathlib import Path
from typing import Literal

import numpy as np

from gateformer.hw import cmvm
from gateformer.quant.expand.context import Note
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.cast import Cast, Constant, Rescale
from gateformer.quant.ops.dense import Dense, largest
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Layout
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.shift_add import ShiftAdd
from gateformer.quant.passes.rewrite import rebuilt, steps_of
from gateformer.quant.types import Fixed

WIDEST = 1 << 62
"""Weights that the solvers of adder graphs cannot hold."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A matrix with truncated sums.

    Attributes
    ----------
    op : ShiftAdd
        It.
    bits : int
        Low bits of the exact sum that it does not have.
    low, high : float
        Bounds of truncated minus exact sum, in steps of the truncated one.
    """

    op: ShiftAdd
    bits: int
    low: float
    high: float


def truncate(
    graph: Graph,
    guard: int,
    adders: Literal["auto", "da4ml", "csd"] = "auto",
    cache: Path | None = None,
) -> tuple[Graph, tuple[Note, ...]]:
    """Cut the sums of every Dense of which casts alone are left.

    A Dense over flattened tokens stays: multipliers take its beats as they come, and a cut one is
    adders on all of them at once.

    Parameters
    ----------
    graph : Graph
        Lowered.
    guard : int
        Bits that are kept below the last one of the finest cast that reads the sum, through
        products and sums with constants.
    adders : {"auto", "da4ml", "csd"}
        Who finds the adder graphs: part of the result's definition.
    cache : Path, optional
        Folder of solved graphs.

    Returns
    -------
    (Graph, tuple of Note)
        Each cut Dense is a ShiftAdd, whose integers every backend then computes; each note says by
        how much its sums can differ.
    """
    steps = steps_of(graph)
    notes: list[Note] = []
    readers, makers = graph.consumers(), graph.producers()
    for step in steps:
        if not isinstance(step.op, Dense) or _flattened(graph, step.inputs[0], makers):
            continue
        finest = _finest(graph, step.output, readers, makers)
        source = graph.values[step.inputs[0]].fixed
        bits = 0 if finest is None else step.op.result_frac(source) - finest - guard
        if bits <= 0 or largest(step.op.aligned(source)[0]) >= WIDEST:
            continue
        found = cut(step.op, source, bits, adders, cache)
        step.op = found.op
        scale = 2.0**-guard
        told = f"{bits} low bits of its sums are cut: they move by {found.low * scale:.3g} to "
        notes.append(
            Note(step.layer, "truncate", told + f"{found.high * scale:.3g} steps of what is kept")
        )
    return rebuilt(graph, steps, _indexed), tuple(notes)


def _indexed(op: Op) -> bool:
    """Whether an operation was made for its operand's type: a table has a row a number of it."""
    return isinstance(op, Lookup)


def _flattened(graph: Graph, name: str, makers: dict[str, Node]) -> bool:
    """Whether a vector holds the features of all tokens."""
    vector = len(graph.values[name].shape) == 1
    while len(graph.values[name].shape) == 1:
        node = makers.get(name)
        if node is None or not isinstance(node.op, Cast | Layout | Rescale):
            return False
        name = node.inputs[0]
    return vector


def _finest(
    graph: Graph, name: str, readers: dict[str, list[Node]], makers: dict[str, Node]
) -> int | None:
    """Fraction bits of a sum below which every cast behind it drops all; None without a cast."""
    found: list[int] = []
    if name in graph.outputs:
        return None
    for node in readers[name]:
        if isinstance(node.op, Cast):
            found.append(node.op.type.frac)
            continue
        others = [n for n in node.inputs if n != name]
        maker = makers.get(others[0]) if len(others) == 1 else None
        if maker is None or not isinstance(maker.op, Constant):
            return None
        behind = _finest(graph, node.output, readers, makers)
        if behind is None:
            return None
        if isinstance(node.op, Mul):
            most = largest(maker.op.raw) * 2.0**-maker.op.frac
            if most == 0:
                return None
            behind += floor(log2(most)) + 1
        elif not isinstance(node.op, Add):
            return None
        found.append(behind)
    return max(found, default=None)


def cut(
    dense: Dense,
    source: Fixed,
    bits: int,
    adders: Literal["auto", "da4ml", "csd"] = "auto",
    cache: Path | None = None,
) -> Cut:
    """A Dense without the lowest bits of its sums.

    Its adder graph stays, so what outputs share is added once. Each term keeps only bits that
    reach the kept ones of some output, and each operand of an addition is cut to what the
    addition keeps: errors are rounded down, at most one step an operand. Their mean, taking
    cut bits for uniform, joins the bias.
    """
    weight, bias = dense.aligned(source)
    graph = cmvm.solve(weight.astype(np.int64), adders, cache)
    levels = _levels(graph, bits)
    errors: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)] * graph.inputs
    steps: list[tuple[int, int, int, int, int]] = []
    for number, (a, b, shift, subtract) in enumerate(graph.steps):
        level = levels[graph.inputs + number]
        left_a, left_b = levels[a] - level, levels[b] + shift - level
        one, other = _cut_error(errors[a], left_a), _cut_error(errors[b], left_b)
        if subtract:
            other = (-other[1], -other[0], -other[2])
        errors.append((one[0] + other[0], one[1] + other[1], one[2] + other[2]))
        steps.append((a, b, left_a, left_b, int(subtract)))
    outputs: list[tuple[int, int, int]] = []
    offset = np.zeros(len(graph.outputs), np.int64)
    lows, highs = [0.0], [0.0]
    for row, (term, shift, negate) in enumerate(graph.outputs):
        error = (0.0, 0.0, 0.0)
        left = 0
        if term >= 0:
            left = levels[term] + shift - bits
            error = _cut_error(errors[term], left)
        if negate:
            error = (-error[1], -error[0], -error[2])
        wanted = int(bias[row]) / 2**bits
        offset[row] = round(wanted - error[2])
        moved = offset[row] - wanted
        lows.append(error[0] + moved)
        highs.append(error[1] + moved)
        outputs.append((term, left, int(negate)))
    frac = dense.result_frac(source) - bits - source.frac
    op = ShiftAdd(
        np.array(steps, np.int64).reshape(-1, 5),
        np.array(outputs, np.int64).reshape(-1, 3),
        offset,
        frac,
        dense.features,
        graph.inputs,
    )
    return Cut(op, bits, min(lows), max(highs))


def _levels(graph: cmvm.AdderGraph, bits: int) -> list[int]:
    """Power of two that one step of each term stands for: as large as its readers allow."""
    natural = [0] * graph.inputs
    for a, b, shift, _ in graph.steps:
        natural.append(min(natural[a], natural[b] + shift))
    wanted: list[list[int]] = [[] for _ in natural]
    for term, shift, _ in graph.outputs:
        if term >= 0:
            wanted[term].append(bits - shift)
    levels = list(natural)
    for number in range(len(graph.steps) - 1, -1, -1):
        own = graph.inputs + number
        levels[own] = max(natural[own], min(wanted[own], default=natural[own]))
        a, b, shift, _ = graph.steps[number]
        wanted[a].append(levels[own])
        wanted[b].append(levels[own] - shift)
    return levels


def _cut_error(error: tuple[float, float, float], left: int) -> tuple[float, float, float]:
    """Least, largest and mean error of a term that is shifted, in its new steps."""
    low, high, mean = (part * 2.0**left for part in error)
    lost = 1.0 - 2.0**left if left < 0 else 0.0
    return low - lost, high, mean - lost / 2
