"""Drawings of a comparison: bars with their error bars, energy over time, time over models.

Owns what is drawn from rows. Imports the report's primitives. Colours are kinds: what was measured
never looks like what was modelled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gateformer.comparing.rows import Row, energy_ends
from gateformer.comparing.tables import quantity
from gateformer.energy.figure import Kind
from gateformer.pim.screen import amount
from gateformer.report import svg
from gateformer.report.plots import shortened
from gateformer.report.svg import Scale

WIDTH = 1080.0
COLOURS: dict[Kind, str] = {
    "measured": "s0", "simulated": "s2", "modelled": "s1", "published": "s4",
}  # fmt: skip
"""Fills of the page's style; as the words' own colours in its tables."""
CURVES: dict[Kind, str] = {kind: fill.replace("s", "c") for kind, fill in COLOURS.items()}
PREFIXES = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar, and a line to where its error or its 99th percentile ends.

    Attributes
    ----------
    name, words : str
        At its left, and at its right.
    value : float
        Its length, above zero.
    kind : str
        Of the value.
    low, high : float
        Ends of the line; both the value where there is none.
    """

    name: str
    words: str
    value: float
    kind: Kind
    low: float
    high: float


def time_bars(rows: Sequence[Row], *, models: bool) -> Markup:
    """Return the median time of each row, with a line to its 99th percentile."""
    found = [
        Bar(
            _name(row, models),
            quantity(row.median, "s", row.kind)
            + ("" if row.p99 is None else f"; p99 {amount(row.p99, 's')}"),
            row.median,
            row.kind,
            row.low or row.median,
            row.p99 or row.high or row.median,
        )
        for row in rows
    ]
    return bars(found, "s", "Median time; the line ends at the 99th percentile or the error bar")


def energy_bars(rows: Sequence[Row], *, models: bool) -> Markup | None:
    """Return the energy of each row that has one, with its error bar; None where none has."""
    found = [
        Bar(
            _name(row, models),
            f"{'<= ' if row.energy_bound else ''}{quantity(joules.value, 'J', joules.kind)}, "
            f"{joules.boundary}",
            joules.value,
            joules.kind,
            *energy_ends(joules),
        )
        for row in rows
        if (joules := row.lone) is not None
    ]
    title = "Energy of an inference alone; the line is the error bar"
    return bars(found, "J", title) if found else None


def bars(found: Sequence[Bar], unit: str, title: str) -> Markup:
    """Return bars below one another on a logarithmic axis."""
    step, left, top, right = 24.0, 330.0, 6.0, 230.0
    x = _decades([end for one in found for end in (one.value, one.low, one.high)], left, right)
    bottom = top + step * len(found)
    parts = _grid(x, top, bottom, unit)
    for index, one in enumerate(found):
        y = top + step * index
        tip = f"{one.name}: {one.words}, {one.kind}"
        parts.append(svg.text(left - 10, y + 16, shortened(one.name, 46), "row", "end"))
        parts.append(
            svg.rect(
                left, y + 4, max(x(one.value) - left, 1.5), step - 9, COLOURS[one.kind], tip, 2
            )
        )
        end = x(max(one.value, one.high))
        if one.high > one.low:
            for place in (one.low, one.high):
                parts.append(svg.line(x(place), y + 7, x(place), y + step - 8, "axis"))
            parts.append(svg.line(x(one.low), y + 11.5, x(one.high), y + 11.5, "axis"))
        parts.append(svg.text(end + 8, y + 16, one.words, "row"))
    return svg.drawing(WIDTH, bottom + 26, title, *parts)


def field(rows: Sequence[Row], *, models: bool) -> Markup | None:
    """Return energy over time, with lines of equal energy times delay; None below two points.

    Both of an inference alone; upper bounds are no points.
    """
    shown = [
        (row, joules) for row in rows if (joules := row.lone) is not None and not row.energy_bound
    ]
    if len(shown) < 2:
        return None
    x = _decades([row.median for row, _ in shown], 76, 290)
    y = _decades([joules.value for _, joules in shown], 470, WIDTH - 20)
    parts: list[Markup] = []
    for tick in x.ticks(12):
        parts.append(svg.line(x(tick), y.end, x(tick), y.start, "grid"))
        parts.append(svg.text(x(tick), y.start + 16, _tick(tick, "s"), "tick", "middle"))
    for tick in y.ticks(12):
        parts.append(svg.line(x.start, y(tick), x.end, y(tick), "grid"))
        parts.append(svg.text(x.start - 6, y(tick) + 4, _tick(tick, "J"), "tick", "end"))
    parts += _equal_products(x, y)
    named: list[tuple[float, float, str, Kind]] = []
    for row, joules in shown:
        at, height = x(row.median), y(joules.value)
        low, high = energy_ends(joules)
        tip = f"{_name(row, True)}: {amount(row.median, 's')}, {amount(joules.value, 'J')}"
        if high > low:
            parts.append(svg.line(at, y(low), at, y(high), "axis"))
        parts.append(svg.rect(at - 5, height - 5, 10, 10, COLOURS[joules.kind], tip, 5))
        named.append((height, at + 5, _name(row, models), joules.kind))
    labels, last = _labels(named, x.end)
    parts.append(svg.text((x.start + x.end) / 2, y.start + 34, "median time", "name", "middle"))
    parts.append(svg.text(x.start, y.end - 8, "energy", "name"))
    bottom = max(y.start + 44, last + 12)
    words = "Energy over time; dashed: equal products"
    return svg.drawing(WIDTH, bottom, words, *labels, *parts)


def _labels(
    named: Sequence[tuple[float, float, str, Kind]], right: float
) -> tuple[list[Markup], float]:
    """Return names at the right of points (height, place, name, kind), none upon another."""
    parts: list[Markup] = []
    last = -math.inf
    for height, at, name, kind in sorted(named):
        last = max(height, last + 14)
        parts.append(svg.line(at, height, right + 12, last, "grid"))
        parts.append(svg.rect(right + 16, last - 4, 8, 8, COLOURS[kind], kind, 4))
        parts.append(svg.text(right + 30, last + 4, shortened(name, 38), "row"))
    return parts, last


def over_models(
    series: Sequence[tuple[str, Kind, Sequence[float | None]]], names: Sequence[str]
) -> Markup:
    """Return times over models, a line a system.

    Parameters
    ----------
    series : sequence of (name, kind, seconds a model)
        None where a system has no row.
    names : sequence of str
        The models.
    """
    values = [one for _, _, seconds in series for one in seconds if one is not None]
    y = _decades(values, 380, WIDTH - 20)
    left, right = 76.0, WIDTH - 270
    step = (right - left - 60) / max(len(names) - 1, 1)
    places = [left + 30 + step * index for index in range(len(names))]
    parts: list[Markup] = []
    for tick in y.ticks(10):
        parts.append(svg.line(left, y(tick), right, y(tick), "grid"))
        parts.append(svg.text(left - 6, y(tick) + 4, _tick(tick, "s"), "tick", "end"))
    for place, name in zip(places, names, strict=True):
        parts.append(svg.text(place, y.start + 18, name, "tick", "middle"))
    ends: list[tuple[float, float, str, Kind]] = []
    for name, kind, seconds in series:
        points = [(a, y(b)) for a, b in zip(places, seconds, strict=True) if b is not None]
        if not points:
            continue
        parts.append(svg.path(points, f"curve {CURVES[kind]}", f"{name}, {kind}"))
        parts += [
            svg.rect(a - 3.5, b - 3.5, 7, 7, COLOURS[kind], f"{name}, {kind}", 3.5)
            for a, b in points
        ]
        ends.append((points[-1][1], points[-1][0] + 5, name, kind))
    labels, last = _labels(ends, right)
    parts += labels
    bottom = max(y.start + 28, last + 12)
    return svg.drawing(WIDTH, bottom, "Median time of one token over models", *parts)


def _name(row: Row, models: bool) -> str:
    return f"{row.model}: {row.platform} {row.name}" if models else f"{row.platform} {row.name}"


def _decades(values: Sequence[float], start: float, right: float) -> Scale:
    """Return a logarithmic scale over whole decades; ``right`` is what it leaves free."""
    low = 10.0 ** math.floor(math.log10(min(values)) - 0.01)
    high = 10.0 ** math.ceil(math.log10(max(values)) + 0.01)
    return Scale(low, high, start, WIDTH - right, logarithmic=True)


def _grid(x: Scale, top: float, bottom: float, unit: str) -> list[Markup]:
    parts: list[Markup] = []
    for tick in x.ticks(10):
        parts.append(svg.line(x(tick), top - 2, x(tick), bottom, "grid"))
        parts.append(svg.text(x(tick), bottom + 16, _tick(tick, unit), "tick", "middle"))
    return parts


def _tick(value: float, unit: str) -> str:
    power = math.floor(math.log10(value) / 3 + 1e-9) * 3
    prefix = PREFIXES.get(power)
    if prefix is None:
        return f"{svg.label(value)} {unit}"
    return f"{value / 10.0**power:.3g} {prefix}{unit}"


def _equal_products(x: Scale, y: Scale) -> list[Markup]:
    """Return a dashed line for every third decade of energy times delay, inside the axes."""
    parts: list[Markup] = []
    lowest = math.ceil(math.log10(x.low * y.low))
    highest = math.floor(math.log10(x.high * y.high))
    for power in range(lowest, highest + 1):
        if power % 3:
            continue
        product = 10.0**power
        near, far = max(x.low, product / y.high), min(x.high, product / y.low)
        if near < far:
            ends = [(x(at), y(product / at)) for at in (near, far)]
            parts.append(svg.path(ends, "curve diagonal", _tick(product, "J s")))
    return parts
