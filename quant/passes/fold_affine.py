"""Fold affine maps into the linear layers beside them: a batch normalization that costs nothing.

Owns ``fold_affine``. Imports rewriting and composites.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gateformer.quant.expand.affine import Affine
from gateformer.quant.expand.context import Note
from gateformer.quant.expand.linear import Linear
from gateformer.quant.expand.settings import DYADIC_BITS
from gateformer.quant.graph import Graph
from gateformer.quant.passes.rewrite import Step, rebuilt, steps_of
from gateformer.quant.types import FloatArray, dyadic


def fold_affine(graph: Graph) -> tuple[Graph, tuple[Note, ...]]:
    """Multiply every ``s x + o`` into the Linear before it, or into all Linears behind it.

    Equal on reals: ``s (x W g + b) + o = x W (s g) + (s b + o)``, g the Linear's scales, and
    ``(s x + o) W g + b = x (s W) g + (o W g + b)``. Weights that are integers times a power of two
    stay so: before the map, its scale joins the Linear's scales; behind it, it is folded only where
    the products are such integers too. So a normalization whose statistics are fixed, and PRepBN
    after training (Guo et al., arXiv 2405.11582), take no hardware of their own.

    Parameters
    ----------
    graph : Graph
        As imported.

    Returns
    -------
    (Graph, tuple of Note)
        The graph and, a map, where it went.
    """
    notes: list[Note] = []
    while (found := _fold_one(graph)) is not None:
        graph, told = found
        notes += told
    return graph, tuple(notes)


def _fold_one(graph: Graph) -> tuple[Graph, list[Note]] | None:
    """The graph without one of its affine maps, and where that went; None where none can go."""
    steps = steps_of(graph)
    made = {step.output: step for step in steps}
    for step in steps:
        if not isinstance(step.op, Affine):
            continue
        source, readers = made.get(step.inputs[0]), _readers(steps, step.output)
        if (
            source is not None
            and isinstance(source.op, Linear)
            and _readers(steps, source.output) == [step]
            and source.output not in graph.outputs
        ):
            source.op, source.output = _behind(source.op, step.op), step.output
            steps.remove(step)
            return rebuilt(graph, steps), [_told(source, "behind")]
        if readers and step.output not in graph.outputs and _fits(step.op, readers):
            for reader in readers:
                assert isinstance(reader.op, Linear)
                reader.op, reader.inputs = _before(step.op, reader.op), step.inputs
            steps.remove(step)
            return rebuilt(graph, steps), [_told(reader, "before") for reader in readers]
    return None


def _readers(steps: list[Step], name: str) -> list[Step]:
    return [step for step in steps if name in step.inputs]


def _told(step: Step, where: str) -> Note:
    return Note(step.layer, "fold", f"takes in the affine map {where} it")


def _behind(linear: Linear, op: Affine) -> Linear:
    """``op(linear(x))``."""
    outputs = linear.kernel.shape[1]
    scale, offset = (np.tile(x, outputs // x.size) for x in (op.scale, op.offset))
    bias = offset if linear.bias is None else linear.bias * scale + offset
    kernel = linear.kernel * scale
    if linear.scale is None and (not _whole(linear.kernel) or _whole(kernel)):
        return replace(linear, kernel=kernel, bias=bias)
    given = np.ones(outputs) if linear.scale is None else linear.scale
    return replace(linear, scale=given * scale, bias=bias)


def _before(op: Affine, linear: Linear) -> Linear:
    """``linear(op(x))``."""
    rows = linear.kernel.shape[0]
    scale, offset = (np.tile(x, rows // x.size) for x in (op.scale, op.offset))
    moved = offset @ linear.kernel
    if linear.scale is not None:
        moved = moved * linear.scale
    bias = moved if linear.bias is None else linear.bias + moved
    return replace(linear, kernel=linear.kernel * scale[:, None], bias=bias)


def _fits(op: Affine, readers: list[Step]) -> bool:
    """Whether every reader is a Linear that stays as exact as it was."""
    for reader in readers:
        linear = reader.op
        if not isinstance(linear, Linear) or linear.kernel.shape[0] % op.scale.size:
            return False
        if _whole(linear.kernel) and not _whole(_before(op, linear).kernel):
            return False
    return True


def _whole(kernel: FloatArray) -> bool:
    """Whether a kernel is held as exact integers."""
    return dyadic(kernel, DYADIC_BITS) is not None
