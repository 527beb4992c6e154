"""What a quantized graph computes: lowered as the flow will, run on integers or on reals.

Owns ``lowered``, ``Evaluated`` and ``outputs``. Imports calibration, passes and lowering.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gateformer.quant.calibrate import choose, observe, type_for
from gateformer.quant.compare import chunks, to_integers, to_reals
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.graph import Graph
from gateformer.quant.lower import Lowered, lower_noted
from gateformer.quant.passes.prepare import prepare
from gateformer.quant.ptq.apply import Quantized
from gateformer.quant.types import Fixed, FloatArray

OUTPUT_BITS = 16
"""Bits of the network's results: they leave the hardware once a frame and cost no product."""

MARGIN = 1.25
"""Factor on an observed range, as calibration has it."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A quantized graph as integers.

    Attributes
    ----------
    lowered : Lowered
        The typed graph, and the choices made.
    given : mapping of str to Fixed
        Types that a design gives: of points and of outputs.
    """

    lowered: Lowered
    given: Mapping[str, Fixed]


def lowered(
    quantized: Quantized,
    data: Mapping[str, FloatArray],
    options: Options,
    width: int,
    types: Mapping[str, Fixed] = MappingProxyType({}),
) -> Evaluated:
    """Lower with types from data for all that has none: as a run of the design does.

    Parameters
    ----------
    quantized : Quantized
        From ``quantize``.
    data : mapping of str to ndarray of float64, (n, *shape)
        The calibration inputs.
    options : Options
        For the lowering.
    width : int
        Bits of what indexes a table or is normalized.
    types : mapping of str to Fixed
        The user's own, which win.
    """
    graph, _ = prepare(quantized.graph, heads=False)
    ranges = observe(graph, data)
    given = {
        **{name: type_for(*ranges[name], OUTPUT_BITS, MARGIN) for name in graph.outputs},
        **quantized.points,
        **types,
    }
    chosen = MappingProxyType(choose(graph, ranges, width, MARGIN))
    found = lower_noted(graph, Types(MappingProxyType(given), chosen), options)
    idle = {str(error.layer).removeprefix("types.") for error in found.idle}
    if idle:
        given = {name: kind for name, kind in given.items() if name not in idle}
        found = lower_noted(graph, Types(MappingProxyType(given), chosen), options)
    return Evaluated(found, MappingProxyType(given))


def outputs(graph: Graph, data: Mapping[str, FloatArray]) -> FloatArray:
    """All outputs side by side, (n, elements): of integers where the graph is typed, else reals."""
    parts = []
    for part in chunks(data, 1000):
        if graph.typed:
            found = to_reals(graph, run(graph, to_integers(graph, part)))
        else:
            found = run_reals(graph, part)
        count = len(next(iter(part.values())))
        parts.append(np.concatenate([found[n].reshape(count, -1) for n in graph.outputs], axis=1))
    return np.concatenate(parts)
