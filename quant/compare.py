"""Integers against reals, value by value: errors and saturation counts for the report.

Owns ``compare`` and ``LayerError``. Imports the executors and the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gateformer.quant.execute import run, run_reals
from gateformer.quant.graph import Graph
from gateformer.quant.ops.cast import Cast, roomy, round_shift
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow

CHUNK = 250
"""Samples that are run at once."""


@dataclass(frozen=True, slots=True)
class LayerError:
    """How far one value is from the model on reals.

    Attributes
    ----------
    value, layer : str
        Its name and its source layer.
    type : Fixed
        Its type.
    largest, rms : float
        Largest and root-mean-square error; NaN for a point that has no reals to compare with.
    reference : float
        Root mean square of the reals.
    saturated, elements : int
        Elements beyond the type's range, and all elements, over the data.
    """

    value: str
    layer: str
    type: Fixed
    largest: float
    rms: float
    reference: float
    saturated: int
    elements: int


def chunks(data: Mapping[str, FloatArray], size: int = CHUNK) -> Iterator[dict[str, FloatArray]]:
    """Slices of every input along the batch axis."""
    count = min((len(x) for x in data.values()), default=0)
    for start in range(0, count, size):
        yield {name: np.asarray(x)[start : min(start + size, count)] for name, x in data.items()}


def to_integers(graph: Graph, data: Mapping[str, FloatArray]) -> dict[str, IntArray]:
    """Quantize every input as the host does: to the nearest step, saturating."""
    return {name: graph.from_real(name, data[name]) for name in graph.inputs}


def to_reals(graph: Graph, raw: Mapping[str, IntArray]) -> dict[str, FloatArray]:
    """Real values of raw integers by name."""
    return {name: graph.to_real(name, x) for name, x in raw.items()}


@dataclass(slots=True)
class _Sums:
    largest: float = 0.0
    square: float = 0.0
    reference: float = 0.0
    saturated: int = 0
    elements: int = 0


def compare(
    graph: Graph, lowered: Graph, data: Mapping[str, FloatArray]
) -> tuple[tuple[LayerError, ...], dict[str, FloatArray], dict[str, FloatArray]]:
    """Run both graphs on the same data.

    Parameters
    ----------
    graph : Graph
        As imported or folded.
    lowered : Graph
        The same, lowered.
    data : mapping of str to ndarray of float64, (n, *shape)
        Reals of every input.

    Returns
    -------
    rows : tuple of LayerError
        For every input, every value that both graphs name, and every saturating Cast.
    exact, integer : dict of str to ndarray of float64
        Outputs of the model on reals and of the integer graph.
    """
    sums: dict[str, _Sums] = {}
    outputs: tuple[list[dict[str, FloatArray]], list[dict[str, FloatArray]]] = ([], [])
    shared = [name for name in lowered.values if name in graph.values]
    for part in chunks(data):
        reals = run_reals(graph, part, keep=True)
        raw = run(lowered, to_integers(lowered, part), keep=True)
        found = to_reals(lowered, {name: raw[name] for name in shared})
        for name in shared:
            row = sums.setdefault(name, _Sums())
            error = np.abs(found[name] - reals[name])
            row.largest = max(row.largest, float(error.max(initial=0.0)))
            row.square += float((error**2).sum())
            row.reference += float((reals[name] ** 2).sum())
            row.elements += error.size
        _saturation(lowered, part, raw, sums)
        outputs[0].append({name: reals[name] for name in graph.outputs})
        outputs[1].append({name: found[name] for name in graph.outputs})
    rows = tuple(_row(lowered, name, sums[name], name in shared) for name in sums)
    exact, integer = (
        {name: np.concatenate([p[name] for p in parts]) for name in graph.outputs}
        for parts in outputs
    )
    return rows, exact, integer


def _saturation(
    lowered: Graph,
    data: Mapping[str, FloatArray],
    raw: Mapping[str, IntArray],
    sums: dict[str, _Sums],
) -> None:
    for name in lowered.inputs:
        kind = lowered.values[name].fixed
        units = np.asarray(data[name], dtype=np.float64) / lowered.scales.get(name, 1.0)
        steps = np.rint(np.ldexp(units, kind.frac))
        sums[name].saturated += int(((steps < kind.min) | (steps > kind.max)).sum())
    for node in lowered.nodes:
        if not isinstance(node.op, Cast) or node.op.overflow is Overflow.WRAP:
            continue
        source, kind = lowered.values[node.inputs[0]].fixed, node.op.type
        drop = source.frac - kind.frac
        held = roomy(raw[node.inputs[0]], source.width, drop)
        steps = round_shift(held, drop, node.op.rounding)
        low, high = kind.limits(node.op.overflow)
        beyond = steps > high
        if kind.signed or not source.signed:  # a ReLU means to cut what is negative
            beyond = beyond | (steps < low)
        row = sums.setdefault(node.output, _Sums())
        row.saturated += int(beyond.sum())
        row.elements += 0 if row.square or row.reference else beyond.size


def _row(lowered: Graph, name: str, row: _Sums, shared: bool) -> LayerError:
    value = lowered.values[name]
    count = max(1, row.elements)
    return LayerError(
        name,
        value.layer,
        value.fixed,
        row.largest if shared else float("nan"),
        (row.square / count) ** 0.5 if shared else float("nan"),
        (row.reference / count) ** 0.5 if shared else float("nan"),
        row.saturated,
        row.elements,
    )
