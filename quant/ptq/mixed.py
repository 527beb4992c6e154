"""Mixed precision: fewer bits where they are least missed.

Owns ``Goal``, ``allocate``, ``sensitivities`` and ``Choice``. Imports the quantizer and metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from gateformer.quant.errors import ConfigError, DataError, TypeRangeError
from gateformer.quant.expand.context import Options
from gateformer.quant.graph import Graph
from gateformer.quant.metrics import METRICS, worth
from gateformer.quant.ptq.apply import quantize
from gateformer.quant.ptq.evaluate import lowered, outputs
from gateformer.quant.ptq.observe import Seen
from gateformer.quant.ptq.places import Place, places
from gateformer.quant.ptq.ranges import Steps
from gateformer.quant.ptq.settings import Recipe
from gateformer.quant.types import FloatArray, IntArray

CANDIDATES = (2, 3, 4, 5, 6, 7, 8, 10)
"""Widths that are tried at each place."""

APART = 12
"""Bits of all other places while one is tried."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Goal:
    """What the widths must reach; both may be asked for.

    Attributes
    ----------
    bits : float or None
        Most bits of a weight in the mean, and of an activation.
    loss : float or None
        Most that the metric may fall by, relative to the model on reals; or, without labels, most
        root mean square error of the outputs relative to theirs.
    metric : {"auc", "accuracy", "rms"}
        What is measured.

    Raises
    ------
    ConfigError
        E022 for bits and losses out of range.
    """

    bits: float | None = None
    loss: float | None = None
    metric: Literal["auc", "accuracy", "rms"] = "accuracy"

    def __post_init__(self) -> None:
        least, most = min(CANDIDATES), max(CANDIDATES)
        if self.bits is not None and not least <= self.bits <= most:
            raise ConfigError(
                "E022",
                f"a mean of {self.bits:g} bits",
                layer="bits",
                fix=f"give one of {least} to {most}",
            )
        if self.loss is not None and not 0.0 <= self.loss < np.inf:
            raise ConfigError(
                "E022", f"a loss of {self.loss:g}", layer="loss", fix="give a share of 0 or more"
            )


@dataclass(frozen=True, slots=True)
class Choice:
    """Widths of all places, and what they were chosen by.

    Attributes
    ----------
    recipe : Recipe
        With the widths.
    sensitivity : mapping of str to mapping of int to float
        Relative squared error of the outputs with that place alone at that width.
    """

    recipe: Recipe
    sensitivity: Mapping[str, Mapping[int, float]]


class Trial:
    """Runs quantized forms of one graph on the calibration data.

    Parameters
    ----------
    graph : Graph
        On reals.
    seen : mapping of str to Seen
        From ``observe``.
    data : mapping of str to ndarray of float64
        Calibration inputs.
    options : Options
        For the lowering.
    labels : ndarray of int or None
        Classes of the samples.

    Notes
    -----
    All recipes of one trial differ in widths alone: matrices are kept by place and bits.
    """

    def __init__(
        self,
        graph: Graph,
        seen: Mapping[str, Seen],
        data: Mapping[str, FloatArray],
        options: Options,
        labels: IntArray | None,
    ) -> None:
        self.graph = graph
        self.seen = seen
        self.data = data
        self.options = options
        self.labels = labels
        self.exact = outputs(graph, data)
        self.known: dict[tuple[str, int], Steps] = {}

    def check(self, goal: Goal) -> None:
        """Refuse a goal whose loss cannot be measured, before anything takes time (E604)."""
        if goal.loss is None or goal.metric == "rms":
            return
        if self.labels is None:
            raise DataError("E604", f"a loss of {goal.metric} needs labels", fix="give labels")
        if len(self.graph.outputs) > 1:
            raise DataError(
                "E604", f"a loss of {goal.metric} needs one output", fix="measure it by rms"
            )
        worth(goal.metric, self.exact, self.labels)

    def outputs(self, recipe: Recipe) -> FloatArray:
        """Results of the integers, as reals."""
        quantized = quantize(self.graph, self.seen, recipe, self.known)
        made = lowered(quantized, self.data, self.options, recipe.table_bits)
        return outputs(made.lowered.graph, self.data)

    def error(self, recipe: Recipe) -> float:
        """Squared error of the outputs, relative to their variance."""
        spread = float(((self.exact - self.exact.mean(0)) ** 2).sum()) or 1.0
        return float(((self.outputs(recipe) - self.exact) ** 2).sum()) / spread

    def loss(self, recipe: Recipe, metric: str) -> float:
        """Relative fall of the metric."""
        if metric == "rms" or self.labels is None:
            return float(self.error(recipe) ** 0.5)
        before = worth(metric, self.exact, self.labels)
        return 1.0 - METRICS[metric](self.outputs(recipe), self.labels) / before


def sensitivities(
    trial: Trial, recipe: Recipe, progress: Progress | None = None
) -> dict[str, dict[int, float]]:
    """Error of the outputs with one place at a width and all others wide, for every place.

    As the sensitivity of ZeroQ (Cai et al., arXiv 2001.00281, equation 3), with squared errors of
    the outputs for divergences, and measured on integers: tables, softmax and divisions take part.
    """
    found: dict[str, dict[int, float]] = {}
    where = places(trial.graph)
    wide = {place.name: APART for place in where}
    tables = recipe.table_bits
    base = trial.error(replace(recipe, tables=tables, widths=wide))
    total, done = len(where) * len(CANDIDATES), 0
    for place in where:
        errors: dict[int, float] = {}
        for bits in CANDIDATES:
            alone = replace(recipe, tables=tables, widths={**wide, place.name: bits})
            errors[bits] = max(0.0, trial.error(alone) - base)
            done += 1
            if progress is not None:
                progress(done, total)
        found[place.name] = monotone(errors)
    return found


def monotone(errors: Mapping[int, float]) -> dict[int, float]:
    """Errors that do not rise with the width: noise of few samples is smoothed from the right."""
    held, least = dict(errors), 0.0
    for bits in sorted(errors, reverse=True):
        least = max(least, errors[bits])
        held[bits] = least
    return held


def steps_down(
    where: tuple[Place, ...], sensitivity: Mapping[str, Mapping[int, float]]
) -> list[tuple[float, str, int]]:
    """Narrowing steps ``(error a bit, place, new width)``, the cheapest first.

    Each place goes down the lower convex hull of (bits, error), so that greedy steps are the best
    for their sum (Shoham and Gersho, IEEE Trans. ASSP 36(9), 1988).
    """
    steps = []
    for place in where:
        errors = sensitivity[place.name]
        at = max(errors)
        while narrower := [bits for bits in errors if bits < at]:
            price, to = min(
                ((errors[b] - errors[at]) / ((at - b) * place.elements), b) for b in narrower
            )
            steps.append((price, place.name, to))
            at = to
    return sorted(steps, key=lambda step: step[0])


def allocate(trial: Trial, recipe: Recipe, goal: Goal, progress: Progress | None = None) -> Choice:
    """Choose the width of every place.

    From the widest candidates on, steps are taken in the order of their price: weights and
    activations each until their mean is at most ``goal.bits``; with ``goal.loss`` alone, both
    together as far as the loss, measured on integers, allows (by bisection).

    Raises
    ------
    TypeRangeError
        E205 where the widths that reach the bits, or the widest of all, lose more than
        ``goal.loss``, and where given widths leave no way to the bits.
    DataError
        E604 where the metric needs labels, and there are none or others than the model's.
    """
    trial.check(goal)
    sensitivity = sensitivities(trial, recipe, progress)
    where = places(trial.graph)
    steps = [step for step in steps_down(where, sensitivity) if step[1] not in recipe.widths]
    widest = {place.name: max(CANDIDATES) for place in where} | dict(recipe.widths)

    def at(widths: Mapping[str, int]) -> Recipe:
        return replace(recipe, tables=recipe.table_bits, widths=MappingProxyType(dict(widths)))

    if goal.bits is not None:
        widths = _until(where, steps, widest, goal.bits)
    else:
        widths = _while(steps, widest, lambda w: trial.loss(at(w), goal.metric), goal.loss or 0.0)
    _check_reached(trial, at(widths), goal)
    return Choice(at(widths), MappingProxyType(sensitivity))


def _check_reached(trial: Trial, recipe: Recipe, goal: Goal) -> None:
    """E205 where widths are not what was asked for."""
    means = mean_bits(places(trial.graph), recipe.widths)
    if goal.bits is not None and max(means) > goal.bits:
        raise TypeRangeError(
            "E205",
            "error budget not met",
            cause=f"{max(means):.3g} bits in the mean are left, not {goal.bits:g}",
            fix="allow more bits, or narrow the widths that are given",
        )
    lost = 0.0 if goal.loss is None else trial.loss(recipe, goal.metric)
    if goal.loss is not None and lost > goal.loss:
        raise TypeRangeError(
            "E205",
            "error budget not met",
            cause=f"{goal.metric} loses {lost:.3g} at {max(means):.3g} bits, not {goal.loss:g}",
            fix="allow more bits, or more loss",
        )


def _until(
    where: tuple[Place, ...],
    steps: list[tuple[float, str, int]],
    widest: Mapping[str, int],
    mean: float,
) -> dict[str, int]:
    """Narrow each kind until its mean is low enough."""
    widths = dict(widest)
    for weights in (True, False):
        names = {p.name: p.elements for p in where if (p.kind == "weights") is weights}
        total = sum(names.values())
        for _, name, bits in steps:
            if sum(widths[n] * size for n, size in names.items()) <= mean * total:
                break
            if name in names:
                widths[name] = bits
    return widths


def _while(
    steps: list[tuple[float, str, int]],
    widest: Mapping[str, int],
    loss: Callable[[Mapping[str, int]], float],
    limit: float,
) -> dict[str, int]:
    """Take as many steps as a loss allows, found by bisection."""

    def after(count: int) -> dict[str, int]:
        widths = dict(widest)
        for _, name, bits in steps[:count]:
            widths[name] = bits
        return widths

    good, bad = 0, len(steps) + 1
    while bad - good > 1:
        middle = (good + bad) // 2
        if loss(after(middle)) <= limit:
            good = middle
        else:
            bad = middle
    return after(good)


def mean_bits(where: tuple[Place, ...], widths: Mapping[str, int]) -> tuple[float, float]:
    """Mean bits of weights and of activations over places; an upper bound of ``average_bits``."""
    means = []
    for weights in (True, False):
        kept = [p for p in where if (p.kind == "weights") is weights]
        total = sum(p.elements for p in kept)
        means.append(float(np.sum([widths[p.name] * p.elements for p in kept])) / max(1, total))
    return means[0], means[1]
