"""A study's plot: accuracy over area, a mark a variant and width, and the line of the best.

Owns ``plot`` and ``frontier``. Imports the report's drawing primitives.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from gateformer.report import svg
from gateformer.report.svg import Scale
from gateformer.study.rows import Row
from gateformer.study.schema import Study
from gateformer.study.summary import Summary, summaries

COLOURS = ("2f7fc1", "e08a1e", "2a9d78", "b8569b", "7a68c9", "9a8c2c", "c0392b", "566273")
"""Of the variants; the report's, and two. Where there are more, as squares in place of circles."""

WIDTH, TALL = 760.0, 420.0

STYLE = (
    "svg{background:#fff;font:13px system-ui,sans-serif}text{fill:#17202b}"
    ".grid{stroke:#dfe4ea}.axis{stroke:#566273}.tick{fill:#566273;font-size:12px}"
    ".best{fill:none;stroke:#566273;stroke-dasharray:5 4}.small{font-size:11px}"
    + "".join(f".m{i}{{fill:#{colour}}}" for i, colour in enumerate(COLOURS))
)
"""The file stands alone: no page gives it colours."""

Mark = tuple[float, float, Summary]


def plot(study: Study, rows: Sequence[Row]) -> str:
    """Return the plot as the text of an SVG file."""
    found = [
        (area, share, one)
        for one in summaries(rows)
        if (area := one.area(synthesized=False)) and (share := one.mean("integer")) is not None
    ]
    names = list(dict.fromkeys(one.variant for _, _, one in found))
    high = TALL + 60 + 18 * len(names)
    words = f"{study.title}: accuracy over area"
    parts: list[Markup] = [svg.el("style", Markup(STYLE))]
    if found:
        x = Scale(
            min(m[0] for m in found) * 0.9, max(m[0] for m in found) * 1.1, 70, WIDTH - 20, True
        )
        shares = [100 * m[1] for m in found]
        margin = max(0.5, 0.1 * (max(shares) - min(shares)))
        y = Scale(min(shares) - margin, min(100.0, max(shares) + margin), TALL, 30)
        parts += _axes(x, y)
        best = frontier(found)
        parts.append(svg.path([(x(a), y(100 * s)) for a, s, _ in best], "best"))
        for area, share, one in found:
            tip = f"{one.variant}, {one.bits} bits: {100 * share:.2f} %, {area:,.0f}"
            across, up = x(area), y(100 * share)
            parts.append(_mark(names.index(one.variant), across, up, tip))
            parts.append(svg.text(across + 7, up - 5, one.bits, "small"))
        for index, name in enumerate(names):
            row = TALL + 58 + 18 * index
            parts.append(_mark(index, 75, row - 4, name))
            parts.append(svg.text(88, row, name))
    drawn = str(svg.drawing(WIDTH, high, words, *parts))
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _mark(index: int, x: float, y: float, tip: str) -> Markup:
    """Return the mark of a variant."""
    again, colour = divmod(index, len(COLOURS))
    if again:
        return svg.rect(x - 4.5, y - 4.5, 9, 9, f"m{colour}", tip)
    return svg.el("circle", svg.el("title", tip), cx=x, cy=y, r=5.0, cls=f"m{colour}")


def frontier(marks: Sequence[Mark]) -> list[Mark]:
    """Return the marks that none beats in both accuracy and area, by rising area."""
    best: list[Mark] = []
    for mark in sorted(marks, key=lambda m: (m[0], -m[1])):
        if not best or mark[1] > best[-1][1]:
            best.append(mark)
    return best


def _axes(x: Scale, y: Scale) -> list[Markup]:
    """Return both axes; less than a decade of area has ticks at 1, 2, 3 and 5 of each power."""
    found = []
    for value in (m * 10.0**power for power in range(9) for m in (1, 2, 3, 5, 7)):
        if x.low <= value <= x.high:
            found.append(svg.line(x(value), y.start, x(value), y.end, "grid"))
            words = f"{value / 1000:,.0f}k" if value >= 1000 else f"{value:,.0f}"
            found.append(svg.text(x(value), y.start + 16, words, "tick", "middle"))
    for value in y.ticks():
        found.append(svg.line(x.start, y(value), x.end, y(value), "grid"))
        found.append(svg.text(x.start - 6, y(value) + 4, svg.label(value), "tick", "end"))
    found.append(svg.line(x.start, y.start, x.end, y.start, "axis"))
    found.append(svg.line(x.start, y.start, x.start, y.end, "axis"))
    middle = (x.start + x.end) / 2
    words = "predicted LUT + 140.6 DSP; the number at a mark is its bits"
    found.append(svg.text(middle, y.start + 34, words, "name", "middle"))
    found.append(svg.text(x.start, y.end - 12, "test samples told right, in integers [%]", "name"))
    return found
