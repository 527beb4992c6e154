"""Calibration: types of every unquantized value and internal point, from data.

Owns ``calibrate`` and ``observe``. Imports lowering, comparison and metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, log2
from types import MappingProxyType
from typing import Literal

import numpy as np

from gateformer.quant.compare import LayerError, chunks, compare
from gateformer.quant.errors import DataError, TypeRangeError
from gateformer.quant.execute import run_reals
from gateformer.quant.expand.attend import Attend
from gateformer.quant.expand.attention import Attention
from gateformer.quant.expand.context import LIMITS, Note, Options, Types
from gateformer.quant.expand.elementwise import Elementwise
from gateformer.quant.expand.exponential import DISTANCE_NATS
from gateformer.quant.expand.folded_attention import FoldedAttention
from gateformer.quant.expand.functions import FLAT_BEYOND
from gateformer.quant.expand.log_shares import reach
from gateformer.quant.expand.softmax import Softmax
from gateformer.quant.graph import Graph
from gateformer.quant.lower import lower_noted
from gateformer.quant.metrics import METRICS, worth
from gateformer.quant.types import Fixed, FloatArray, IntArray

WIDTHS: Mapping[str, int] = MappingProxyType(
    {"score": 12, "relative": 12, "distance": 10, "index": 12}
)
"""Width of the points that index tables, where activations have no less."""

RELATIVE_WIDTH = 16
"""Widest scores from which the row's largest is subtracted; they index no table themselves."""

TABLE_WIDTH = 8
"""Least width of those points in a search."""

LARGEST = 1e100
"""Magnitude whose squares can still be summed."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Budget:
    """What the types may cost, and how they are searched.

    Attributes
    ----------
    kind : {"max", "rms", "auc", "accuracy"}
        Output error, or the relative loss of a metric (which needs labels).
    limit : float or None
        Most that it may be; None takes the starting widths.
    width : int
        Width of an activation to start from.
    narrowest, widest : int
        Bounds of that width in the search.
    margin : float
        Factor on the observed range before it is rounded up to a power of two.
    samples : int
        Most samples that are used.
    """

    kind: Literal["max", "rms", "auc", "accuracy"] = "max"
    limit: float | None = None
    width: int = 16
    narrowest: int = 6
    widest: int = 24
    margin: float = 1.25
    samples: int = 2000


@dataclass(frozen=True, slots=True)
class Calibration:
    """Types and what they cost on the calibration data.

    Attributes
    ----------
    types : Types
        For ``lower``.
    rows : tuple of LayerError
        A value or point each.
    notes : tuple of Note
        Choices of the lowering.
    width : int
        Width of activations that was settled on.
    cost : float
        The budget's kind of cost.
    metric : mapping of str to float
        ``float`` and ``integer`` value of the metric, where it is one.
    """

    types: Types
    rows: tuple[LayerError, ...]
    notes: tuple[Note, ...]
    width: int
    cost: float
    metric: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


def observe(graph: Graph, data: Mapping[str, FloatArray]) -> dict[str, Range]:
    """Smallest and largest real of every value and internal point."""
    ranges: dict[str, Range] = {}

    def probe(name: str, reals: FloatArray) -> None:
        check_reals(name, reals)
        low, high = ranges.get(name, (np.inf, -np.inf))
        ranges[name] = (
            min(low, float(reals.min(initial=np.inf))),
            max(high, float(reals.max(initial=-np.inf))),
        )

    for part in chunks(data):
        with np.errstate(over="ignore", invalid="ignore"):  # what they lead to is told above
            run_reals(graph, part, probe)
    if not ranges:
        raise DataError("E604", "no data to calibrate on", fix="give at least one sample")
    return ranges


def check_reals(name: str, reals: FloatArray) -> None:
    """Refuse what no type can be chosen for: NaN, infinity, numbers beyond ``LARGEST`` (E603)."""
    if not np.isfinite(reals).all():
        raise DataError("E603", "NaN or infinite value", layer=name, fix="clean the data")
    most = float(np.abs(reals).max(initial=0.0))
    if most > LARGEST:
        what, cause = "number too large to quantize", f"it reaches {most:.3g}"
        raise DataError("E603", what, layer=name, cause=cause, fix="scale the data")


def type_for(low: float, high: float, width: int, margin: float = 1.0) -> Fixed:
    """Type of a width with the most fraction bits that holds a range times the margin.

    A range of zeros gets one integer bit.
    """
    low, high = low * margin, high * margin
    signed = low < 0
    top = max(abs(low), abs(high))
    whole = ceil(log2(top)) if top > 0 else 0
    while True:
        kind = Fixed(signed, width, width - whole - signed)
        if high <= kind.max * kind.scale and low >= kind.min * kind.scale:
            return kind
        whole += 1


def choose(
    graph: Graph, ranges: Mapping[str, Range], width: int, margin: float
) -> dict[str, Fixed]:
    """A type for every observed name: activations of a width, points at most at their limit."""
    caps = _caps(graph)
    chosen: dict[str, Fixed] = {}
    for name, (low, high) in ranges.items():
        point = name.rsplit("/", 1)[-1] if name not in graph.values else ""
        bits = min(LIMITS.get(point, width), width)
        if point in WIDTHS:
            bits = min(WIDTHS[point], max(width, TABLE_WIDTH))
        cap = caps.get(name, np.inf)
        chosen[name] = type_for(max(low, -cap), min(high, cap), bits, margin)
    for name in [n for n in chosen if n.endswith("/relative")]:
        step = chosen[name.removesuffix("relative") + "distance"].frac + 1
        chosen[name] = _at_step(chosen[name], *ranges[name], step, margin)
    return chosen


def _at_step(kind: Fixed, low: float, high: float, frac: int, margin: float) -> Fixed:
    """The range's type with given fraction bits, of at most ``RELATIVE_WIDTH`` bits."""
    whole = type_for(low, high, RELATIVE_WIDTH, margin).integer
    width = max(2, min(RELATIVE_WIDTH, whole + frac))
    return Fixed(kind.signed, width, width - whole)


def _caps(graph: Graph) -> dict[str, float]:
    """Magnitudes beyond which a table no longer changes."""
    caps: dict[str, float] = {}
    for node in graph.nodes:
        layer, op = graph.values[node.output].layer, node.op
        if isinstance(op, Softmax):
            caps[f"{layer}/distance"] = DISTANCE_NATS / op.scale
        elif isinstance(op, Attend | Attention | FoldedAttention):
            caps[f"{layer}/distance"] = reach(op.shares) / op.scale
            caps[f"{layer}/index"] = FLAT_BEYOND["sigmoid"]
        elif isinstance(op, Elementwise) and op.function in FLAT_BEYOND:
            caps[f"{layer}/index"] = FLAT_BEYOND[op.function] / op.scale
    return caps


def calibrate(
    graph: Graph,
    data: Mapping[str, FloatArray],
    base: Types | None = None,
    options: Options | None = None,
    budget: Budget | None = None,
    labels: IntArray | None = None,
) -> Calibration:
    """Choose types from data, as narrow as the error budget allows.

    Integer bits come from the observed ranges. One width of all activations is searched: up
    until the budget holds, then down by bisection. With a default type in ``base`` activations keep
    that, and only the points that it is too wide for (scores, table indices) are calibrated.

    Parameters
    ----------
    graph : Graph
        As imported or folded.
    data : mapping of str to ndarray of float64, (n, *shape)
        Reals of every input.
    base : Types, optional
        Given types, which win, and the default.
    options : Options, optional
        For the lowering.
    budget : Budget, optional
        What the types may cost.
    labels : ndarray of int, (n,), optional
        True classes, for a metric's budget.

    Raises
    ------
    TypeRangeError
        E205 where no width up to the widest meets the budget.
    DataError
        E603, E604 for unusable data, and for labels that are missing or not the model's.
    """
    base, options, budget = base or Types(), options or Options(), budget or Budget()
    data = {name: np.asarray(x)[: budget.samples] for name, x in data.items()}
    if budget.kind in METRICS and budget.limit is not None and labels is None:
        raise DataError("E604", f"a budget of {budget.kind} needs labels", fix="give labels")
    ranges = observe(graph, data)

    def attempt(width: int) -> Calibration:
        chosen = choose(graph, ranges, width, budget.margin)
        if base.default is not None:
            wide = base.default.width
            chosen = {n: k for n, k in chosen.items() if _point_limit(graph, n) < wide}
        types = replace(base, calibrated=MappingProxyType(chosen))
        done = lower_noted(graph, types, options)
        rows, exact, integer = compare(graph, done.graph, data)
        cost, metric = _cost(budget, exact, integer, labels)
        return Calibration(types, rows, done.notes, width, cost, metric)

    return _search(attempt, budget, fixed=base.default is not None)


def _search(attempt: Callable[[int], Calibration], budget: Budget, fixed: bool) -> Calibration:
    best = attempt(budget.width)
    limit = budget.limit
    if limit is None:
        return best
    while best.cost > limit and best.width < budget.widest and not fixed:
        best = attempt(min(best.width + 2, budget.widest))
    if best.cost > limit:
        raise TypeRangeError(
            "E205",
            "error budget not met",
            cause=f"{budget.kind} {best.cost:.3g} at {best.width} bits exceeds {limit:.3g}",
            fix="raise the budget, or give wider types to the layers with the largest errors",
        )
    too_narrow = best.width if fixed else budget.narrowest - 1
    while best.width - too_narrow > 1:
        narrower = attempt((best.width + too_narrow) // 2)
        if narrower.cost > limit:
            too_narrow = narrower.width
        else:
            best = narrower
    return best


def _cost(
    budget: Budget,
    exact: Mapping[str, FloatArray],
    integer: Mapping[str, FloatArray],
    labels: IntArray | None,
) -> tuple[float, dict[str, float]]:
    """The budget's cost over all outputs, and the metric's two values."""
    if budget.kind in METRICS and labels is not None:
        (name, *_) = exact
        measure, truth = METRICS[budget.kind], np.asarray(labels)[: len(exact[name])]
        before, after = worth(budget.kind, exact[name], truth), measure(integer[name], truth)
        return 1.0 - after / before, {"float": before, "integer": after}
    errors = [np.abs(integer[name] - exact[name]).ravel() for name in exact]
    error = np.concatenate(errors)
    if budget.kind == "rms":
        return float(np.sqrt((error**2).mean())), {}
    return float(error.max()), {}


def _point_limit(graph: Graph, name: str) -> int:
    point = name.rsplit("/", 1)[-1]
    known = {**LIMITS, **WIDTHS}
    return 1 << 16 if name in graph.values else known.get(point, 1 << 16)
