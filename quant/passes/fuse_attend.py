"""Fuse attention that a file spells out: softmax, what quantizes its shares, and the weighted sum.

Owns ``fuse_attend``. Imports rewriting and composites.
"""

from __future__ import annotations

from gateformer.quant.expand.affine import Affine
from gateformer.quant.expand.attend import Attend
from gateformer.quant.expand.elementwise import Elementwise
from gateformer.quant.expand.log_quantize import LogSqrt2
from gateformer.quant.expand.shares import PLAIN, Shares
from gateformer.quant.expand.softmax import Softmax
from gateformer.quant.graph import Graph
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.rewrite import Step, rebuilt, steps_of


def fuse_attend(graph: Graph) -> Graph:
    """Turn ``MatMul(tokens)(f(Softmax(x)), v)`` into ``Attend(x, v)``, equal on reals.

    f is nothing, ``LogSqrt2``, or an Affine of one scale and offset with a clip to 0..1 behind it.
    The division then comes after the weighted sum, or not at all. Nothing else may read what is in
    between; shares with any other quantizer stay as they are. The result keeps its name and layer.
    """
    steps = steps_of(graph)
    made = {step.output: step for step in steps}
    readers = {name: len(nodes) for name, nodes in graph.consumers().items()}

    def behind(name: str) -> Step | None:
        alone = readers[name] == 1 and name not in graph.outputs
        return made.get(name) if alone else None

    for step in steps:
        if not isinstance(step.op, MatMul) or step.op.contract != "tokens":
            continue
        shares, source = PLAIN, behind(step.inputs[0])
        if source and isinstance(source.op, LogSqrt2):
            shares = Shares("log_sqrt2", bits=source.op.bits)
            source = behind(source.inputs[0])
        elif source and isinstance(source.op, Elementwise) and _clips(source.op):
            source, affines = behind(source.inputs[0]), []
            while source and isinstance(source.op, Affine):
                affines.append(source.op)
                source = behind(source.inputs[0])
            found = _clipped(affines)
            if found is None:
                continue
            shares = found
        if source is None or not isinstance(source.op, Softmax):
            continue
        step.inputs = (source.inputs[0], step.inputs[1])
        step.op = Attend(source.op.scale, shares, source.op.causal)
    return rebuilt(graph, steps)


def _clips(op: Elementwise) -> bool:
    """Whether it is a clip to 0..1, at unit scale."""
    if (op.scale, op.step) != (1.0, 1.0):
        return False
    given = dict(op.parameters)
    if op.function == "relu":
        return given == {"max_value": 1.0}
    return op.function == "clip" and given == {"low": 0.0, "high": 1.0}


def _clipped(affines: list[Affine]) -> Shares | None:
    """``(zeta - gamma) p + gamma``, where its numbers are ones that Shares takes."""
    scale, low = 1.0, 0.0
    for op in reversed(affines):
        if (op.scale != op.scale.flat[0]).any() or (op.offset != op.offset.flat[0]).any():
            return None
        by = float(op.scale.flat[0])
        scale, low = scale * by, low * by + float(op.offset.flat[0])
    zeta = scale + low
    # The sum of two numbers of a file may miss 1 by its last bits.
    zeta = 1.0 if abs(zeta - 1.0) < 1e-6 else zeta
    if not (-1.0 <= low <= 0.0 and 1.0 <= zeta <= 2.0):
        return None
    return Shares("clipped", gamma=low, zeta=zeta)
