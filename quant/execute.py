"""The executors: integers (the definition of every result) and reals (the framework's meaning).

Owns ``run`` and ``run_reals``. Imports the graph, ops and types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.errors import DataError
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Primitive, Probe, Value
from gateformer.quant.ops.dense import narrow
from gateformer.quant.types import FloatArray, IntArray


def run(graph: Graph, inputs: Mapping[str, IntArray], keep: bool = False) -> dict[str, IntArray]:
    """Run a typed graph on raw integers; int64, or Python integers where a range needs it.

    Parameters
    ----------
    graph : Graph
        Primitives only.
    inputs : mapping of str to ndarray of int, (n, *shape)
        Raw integers of every input, inside its type.
    keep : bool
        Return every value, not the outputs alone.

    Returns
    -------
    dict of str to ndarray of int, (n, *shape)

    Raises
    ------
    DataError
        E610, E611 for missing inputs, wrong shapes or values beyond the type.
    """
    held: dict[str, IntArray] = {}
    for name in graph.inputs:
        held[name] = _checked(graph.values[name], inputs, integers=True)
    left = {name: len(nodes) for name, nodes in graph.consumers().items()}
    for node in graph.nodes:
        op = node.op
        if not isinstance(op, Primitive):
            raise DataError("E612", f"{type(op).__name__} is not lowered", fix="lower the graph")
        value = graph.values[node.output]
        operands = [held[n] for n in node.inputs]
        lo, hi = value.bounds
        if max(abs(int(lo.min())), abs(int(hi.max()))) >= 1 << 62:
            operands = [x.astype(object) for x in operands]
        result = op.execute(tuple(graph.values[n].fixed for n in node.inputs), *operands)
        held[node.output] = narrow(result) if value.fixed.width < 63 else result
        for name in dict.fromkeys(node.inputs):
            left[name] -= 1
            if not keep and left[name] == 0 and name not in graph.outputs:
                del held[name]
    return held if keep else {name: held[name] for name in graph.outputs}


def run_reals(
    graph: Graph,
    inputs: Mapping[str, FloatArray],
    probe: Probe | None = None,
    keep: bool = False,
) -> dict[str, FloatArray]:
    """Run a graph in float64 by each operation's reference meaning.

    Parameters
    ----------
    graph : Graph
        As imported or folded.
    inputs : mapping of str to ndarray of float64, (n, *shape)
        Reals of every input, as the model takes them.
    probe : callable, optional
        Called with ``<layer>/<point>`` or a value's name, and the reals there, in the graph's
        own units (``Graph.scales``).
    keep : bool
        Return every value, not the outputs alone; in the model's units.

    Returns
    -------
    dict of str to ndarray of float64, (n, *shape)
    """
    held: dict[str, FloatArray] = {}
    for name in graph.inputs:
        given = _checked(graph.values[name], inputs, integers=False)
        held[name] = given / graph.scales.get(name, 1.0)
        if probe:
            probe(name, held[name])
    for node in graph.nodes:
        layer = graph.values[node.output].layer

        def inner(point: str, reals: FloatArray, layer: str = layer) -> None:
            if probe:
                probe(f"{layer}/{point}", reals)

        held[node.output] = node.op.reference(*(held[n] for n in node.inputs), probe=inner)
        if probe:
            probe(node.output, held[node.output])
    wanted = held if keep else graph.outputs
    return {
        name: held[name] * graph.scales[name] if name in graph.scales else held[name]
        for name in wanted
    }


def _checked(value: Value, inputs: Mapping[str, NDArray[Any]], integers: bool) -> NDArray[Any]:
    if value.name not in inputs:
        raise DataError("E610", f"no data for input '{value.name}'", fix="pass every input")
    data = np.asarray(inputs[value.name])
    if data.shape[1:] != value.shape:
        raise DataError(
            "E611",
            f"input '{value.name}' has shape {data.shape[1:]}",
            cause=f"the model takes {value.shape}",
            fix="reshape the data",
        )
    if not integers:
        return data.astype(np.float64)
    if data.size and (data.min() < value.fixed.min or data.max() > value.fixed.max):
        raise DataError(
            "E611",
            f"input '{value.name}' leaves {value.fixed}",
            fix="quantize it with the input's type (it saturates)",
        )
    return data.astype(np.int64 if value.fixed.width < 63 else object)
