"""Drawings for the page of a simulated memory: bars, curves, stacks, a map of banks, a tornado.

Owns what is drawn from plain numbers. Imports the report's primitives and how numbers are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from gateformer.pim.screen import digits
from gateformer.report import svg
from gateformer.report.plots import shortened
from gateformer.report.svg import Scale

Array = NDArray[np.float64]
POINTS = 360
"""Points of a curve: more are not seen."""
WIDTH = 1080.0
MARGIN = 1.2
"""How far a logarithmic axis goes beyond its bars."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar.

    Attributes
    ----------
    name : str
        At its left.
    value : float
        Its length.
    words : str
        At its right.
    cls : str
        Colour class of the page.
    until : float or None
        Where the bar spans a range: its far end.
    """

    name: str
    value: float
    words: str
    cls: str = "s0"
    until: float | None = None


def bars(found: Sequence[Bar], title: str, *, logarithmic: bool = False, name: str = "") -> Markup:
    """Return bars below one another, with their numbers; ranges float.

    Where the axis is logarithmic, bars start at 1: more than that to the right, less to the left.
    """
    step, left, top, right = 24.0, 290.0, 6.0, 250.0
    ends = [one.value if one.until is None else one.until for one in found]
    high = max([*ends, 1e-30])
    low = 0.0
    if logarithmic:
        low = min([one.value for one in found if one.value > 0] + [1.0]) / MARGIN
        high = max(high, 1.0) * MARGIN
    x = Scale(low, high, left, WIDTH - right, logarithmic)
    origin = x(1.0) if logarithmic else left
    bottom = top + step * len(found)
    parts: list[Markup] = []
    if logarithmic:
        for tick in x.ticks(10):
            parts.append(svg.line(x(tick), top - 2, x(tick), bottom, "grid"))
            parts.append(svg.text(x(tick), bottom + 15, f"{digits(tick)}x", "tick", "middle"))
        parts.append(svg.text((left + WIDTH - right) / 2, bottom + 32, name, "name", "middle"))
    for index, one in enumerate(found):
        y = top + step * index
        begin, end = sorted((origin if one.until is None else x(one.until), x(one.value)))
        tip = f"{one.name}: {one.words}"
        parts.append(svg.text(left - 10, y + 16, shortened(one.name, 34), "row", "end"))
        parts.append(svg.rect(begin, y + 4, max(end - begin, 1.5), step - 9, one.cls, tip, 2))
        parts.append(svg.text(max(end, begin + 1.5) + 8, y + 16, one.words, "row"))
    if logarithmic:
        parts.append(svg.line(origin, top - 2, origin, bottom, "axis"))
    return svg.drawing(WIDTH, bottom + (40 if logarithmic else 4), title, *parts)


def curves(
    series: Sequence[tuple[str, Array, Array]], x_words: str, y_words: str, title: str
) -> Markup:
    """Return curves over a common axis that starts at zero."""
    wide = len(series) == 1
    far = max(float(xs.max()) for _, xs, _ in series if xs.size)
    near = min(float(xs.min()) for _, xs, _ in series if xs.size)
    top = max(float(ys.max()) for _, _, ys in series if ys.size)
    x = Scale(near, max(far, near + 1), 70, WIDTH - 20)
    y = Scale(0, top * 1.05 or 1.0, 300, 30)
    parts = list(svg.axes(x, y, x_words, y_words))
    for index, (name, xs, ys) in enumerate(series):
        keep = sampled(len(xs))
        points = [(x(float(xs[i])), y(float(ys[i]))) for i in keep]
        if len(points) == 1:
            points = [(points[0][0], points[0][1]), (WIDTH - 20, points[0][1])]
        parts.append(svg.path(points, f"curve c{index % 6}", name))
        if not wide:
            parts.append(
                svg.rect(70 + 230 * (index % 4), 346 + 20 * (index // 4), 16, 4, f"s{index % 6}")
            )
            parts.append(svg.text(92 + 230 * (index % 4), 352 + 20 * (index // 4), name, "row"))
    rows = 0 if wide else -(-len(series) // 4)
    return svg.drawing(WIDTH, 342 + 20 * rows, title, *parts)


def sampled(size: int, most: int = POINTS) -> NDArray[np.int64]:
    """Return the places of at most ``most`` points, first and last among them."""
    return np.unique(np.linspace(0, max(size - 1, 0), min(size, most)).round().astype(np.int64))


def stacked(
    xs: Array, layers: Sequence[tuple[str, Array]], x_words: str, y_words: str, title: str
) -> Markup:
    """Return areas upon one another, the first at the bottom."""
    keep = sampled(len(xs))
    total = np.sum([ys for _, ys in layers], axis=0)
    near, far = float(xs.min()), float(xs.max())
    x = Scale(near, max(far, near + 1), 70, WIDTH - 20)
    y = Scale(0, float(total.max()) * 1.05 or 1.0, 300, 30)
    parts, areas = list(svg.axes(x, y, x_words, y_words)), []
    below = np.zeros_like(total)
    for index, (name, ys) in enumerate(layers):
        above = below + ys
        places = [float(xs[i]) for i in keep]
        if len(places) == 1:
            places, keep = [near, max(far, near + 1)], np.array([0, 0])
        upper = [(x(at), y(float(above[i]))) for at, i in zip(places, keep, strict=True)]
        lower = [(x(at), y(float(below[i]))) for at, i in zip(places, keep, strict=True)]
        outline = " ".join(f"{svg.number(a)},{svg.number(b)}" for a, b in [*upper, *lower[::-1]])
        areas.append(
            svg.el(
                "polygon", svg.el("title", name), points=outline, cls=f"s{index % 6}", opacity=0.85
            )
        )
        left, row = 70 + 250 * (index % 4), 346 + 20 * (index // 4)
        parts.append(svg.rect(left, row - 4, 14, 10, f"s{index % 6}"))
        parts.append(svg.text(left + 21, row + 5, shortened(name, 32), "row"))
        below = above
    rows = -(-len(layers) // 4)
    return svg.drawing(WIDTH, 342 + 20 * rows, title, *areas, *parts)


def banks(values: Array, title: str, unit: str = "%") -> Markup:
    """Return a map: channels from top to bottom, banks from left to right, darker where busier.

    Parameters
    ----------
    values : ndarray, shape (channels, banks)
        What each bank does, 0 to 1.
    title, unit : str
        What is shown.
    """
    channels, across = values.shape
    left, top = 90.0, 36.0
    wide, tall = min(56.0, (WIDTH - left - 20) / across), 22.0 if channels <= 16 else 11.0
    middle = left + wide * across / 2
    parts = [svg.text(middle, 14, "bank", "name", "middle")]
    parts.append(svg.text(left - 12, top - 2, "channel", "name", "end"))
    for bank in range(across):
        parts.append(svg.text(left + (bank + 0.5) * wide, top - 2, bank, "tick", "middle"))
    most = float(values.max()) or 1.0
    for channel in range(channels):
        y = top + 6 + channel * tall
        if tall > 12 or channel % 4 == 0:
            parts.append(svg.text(left - 12, y + tall * 0.68, channel, "tick", "end"))
        for bank in range(across):
            share = float(values[channel, bank])
            tip = f"channel {channel}, bank {bank}: {100 * share:.2f} {unit}"
            cell = svg.rect(left + bank * wide + 1, y + 1, wide - 2, tall - 2, "s0", tip, 2)
            faded = f'<rect opacity="{0.08 + 0.92 * share / most:.3f}"'
            parts.append(Markup(str(cell).replace("<rect", faded, 1)))
            if tall > 12 and wide > 40:
                ink = "cell" if share / most > 0.55 else "tick"
                middle = left + (bank + 0.5) * wide
                parts.append(svg.text(middle, y + 15, f"{100 * share:.1f}", ink, "middle"))
    return svg.drawing(left + wide * across + 20, top + 12 + channels * tall, title, *parts)


def tornado(rows: Sequence[tuple[str, float, float]], title: str, words: str) -> Markup:
    """Return how far a result moves when each constant is lowered and raised.

    Parameters
    ----------
    rows : sequence of (name, low, high)
        Relative change of the result, such as -0.03 and 0.02.
    title, words : str
        What is shown, and the axis's name.
    """
    step, left, top = 24.0, 300.0, 10.0
    most = max([abs(side) for _, low, high in rows for side in (low, high)] + [1e-6]) * 1.1
    x = Scale(-100 * most, 100 * most, left, WIDTH - 110)
    bottom = top + step * len(rows)
    parts: list[Markup] = []
    for tick in x.ticks(8):
        parts.append(svg.line(x(tick), top - 4, x(tick), bottom, "grid"))
        parts.append(
            svg.text(x(tick), bottom + 15, f"{tick:+.3g}" if tick else "0", "tick", "middle")
        )
    for index, (name, low, high) in enumerate(rows):
        y = top + step * index
        parts.append(svg.text(left - 10, y + 16, shortened(name, 44), "row", "end"))
        for place, (side, cls, tip) in enumerate(((low, "s1", "-20 %"), (high, "s0", "+20 %"))):
            begin, end = sorted((x(0), x(100 * side)))
            tip = f"{name} {tip}: {100 * side:+.3f} %"
            parts.append(svg.rect(begin, y + 4 + 8 * place, max(end - begin, 1.0), 7, cls, tip, 1))
        parts.append(svg.text(WIDTH - 100, y + 16, f"{100 * low:+.2f} / {100 * high:+.2f}", "tick"))
    parts.append(svg.line(x(0), top - 4, x(0), bottom, "axis"))
    parts.append(svg.text((left + WIDTH - 110) / 2, bottom + 32, words, "name", "middle"))
    return svg.drawing(WIDTH, bottom + 40, title, *parts)
