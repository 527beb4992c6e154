"""Scalable drawings as text: elements, scales, axes. Colours come from the page's style.

Owns the primitives that plots and drawings are made of. Every text and attribute is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


def number(value: float) -> str:
    """Return a coordinate, to a hundredth."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def el(tag: str, *children: object, **attributes: object) -> Markup:
    """Return an element; ``cls`` is its class, ``_`` in an attribute's name stands for ``-``."""
    parts = []
    for key, value in attributes.items():
        if value is None:
            continue
        name = "class" if key == "cls" else key.replace("_", "-")
        text = number(value) if isinstance(value, float) else str(value)
        parts.append(f' {name}="{escape(text)}"')
    inner = Markup("").join(escape(child) for child in children)
    return Markup(f"<{tag}{''.join(parts)}>{inner}</{tag}>")


def drawing(width: float, height: float, title: str, *children: object) -> Markup:
    """Return a drawing that scales to its place and reads out its title."""
    return el(
        "svg",
        el("title", title),
        *children,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=title,
        style=f"max-width:{number(width)}px",
        preserveAspectRatio="xMidYMin meet",
    )


def text(x: float, y: float, words: object, cls: str = "", anchor: str = "start") -> Markup:
    """Return a line of text."""
    return el("text", words, x=x, y=y, cls=cls or None, text_anchor=anchor)


def rect(x: float, y: float, w: float, h: float, cls: str, tip: str = "", r: float = 0) -> Markup:
    """Return a rectangle, with a tip where the pointer rests."""
    inner = (el("title", tip),) if tip else ()
    return el(
        "rect", *inner, x=x, y=y, width=max(w, 0.0), height=max(h, 0.0), rx=r or None, cls=cls
    )


def line(x1: float, y1: float, x2: float, y2: float, cls: str) -> Markup:
    """Return a line."""
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, cls=cls)


def path(points: Iterable[tuple[float, float]], cls: str, tip: str = "") -> Markup:
    """Return a line through points."""
    steps = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return el("polyline", *((el("title", tip),) if tip else ()), points=steps, cls=cls)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to places along an axis."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return a value's place, held inside the axis."""
        low, high = self.low, self.high
        if self.logarithmic:
            value = math.log10(max(value, 1e-300))
            low, high = math.log10(low), math.log10(high)
        share = (value - low) / ((high - low) or 1.0)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, about: int = 6) -> list[float]:
        """Return round values along the axis."""
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high))
            each = max(1, (last - first) // about + 1)
            return [10.0**power for power in range(first, last + 1, each)]
        span = (self.high - self.low) or 1.0
        step = 10.0 ** math.floor(math.log10(span / about))
        step *= next((m for m in (1, 2, 5) if span / (step * m) <= about), 10)
        begin = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(begin, math.floor(self.high / step + 1e-9) + 1)]


def label(value: float) -> str:
    """Return a tick's words."""
    if value == 0:
        return "0"
    power = math.log10(abs(value))
    if abs(power) >= 4 and abs(power - round(power)) < 1e-9:
        exponent = str(round(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"10{exponent}"
    if abs(value) >= 10_000:
        return f"{value / 1000:,.0f}k" if value % 1000 == 0 else f"{value:,.0f}"
    return f"{value:.6g}"


def axes(x: Scale, y: Scale, x_words: str, y_words: str) -> Sequence[Markup]:
    """Return grid, ticks and names of two axes."""
    found = []
    for tick in x.ticks():
        place = x(tick)
        found += [line(place, y.start, place, y.end, "grid")]
        found += [text(place, y.start + 16, label(tick), "tick", "middle")]
    for tick in y.ticks():
        place = y(tick)
        found += [line(x.start, place, x.end, place, "grid")]
        found += [text(x.start - 6, place + 4, label(tick), "tick", "end")]
    found.append(line(x.start, y.start, x.end, y.start, "axis"))
    found.append(line(x.start, y.start, x.start, y.end, "axis"))
    found.append(text((x.start + x.end) / 2, y.start + 34, x_words, "name", "middle"))
    found.append(text(x.start, y.end - 10, y_words, "name"))
    return found
