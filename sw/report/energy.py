"""Where the energy of a frame goes, as a drawing and a table of the report.

Owns ``energy``. Imports the run's reader and the drawing primitives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from gateformer.report import svg
from gateformer.report.read import Run

NAMES = {
    "logic": "LUTs that change",
    "carries": "carry chains",
    "nets": "wires that change",
    "registers": "registers that change",
    "clock": "clock",
    "dsp": "DSP",
    "bram": "block RAM",
    "lutram": "LUTs as memory",
}
"""Parts that switch, in the order of the drawing; static power would dwarf them."""
SUMS = (
    "frame_j", "frame_low_j", "frame_high_j", "dynamic_j", "dynamic_low_j", "dynamic_high_j",
    "static_j", "power_w",
)  # fmt: skip
"""Metrics that the section tells."""
STEP, LEFT, WIDTH = 30.0, 170.0, 1080.0


@dataclass(frozen=True, slots=True)
class Line:
    """A module's row; J of a frame by part."""

    name: str
    parts: Mapping[str, float]
    share: float

    @property
    def joules(self) -> float:
        """All parts."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows of the energy.

    Attributes
    ----------
    bars : Markup
        Parts with their error bars.
    parts : list of str
        Those that any module has.
    lines : list of Line
        Modules, the largest first.
    """

    bars: Markup
    parts: list[str]
    lines: list[Line]


def energy(run: Run) -> Shown | None:
    """Return what there is to show, or None where no energy was modelled."""
    items = [item for item in run.energy if _whole(item)]
    switching = sum(item["joules"] for item in items)
    if not switching or any(run.metrics.get(f"energy.{name}") is None for name in SUMS):
        return None
    modules: dict[str, dict[str, float]] = {}
    for item in items:
        if item["module"]:
            parts = modules.setdefault(item["module"], {})
            parts[item["part"]] = parts.get(item["part"], 0.0) + item["joules"]
    lines = [Line(name, parts, sum(parts.values()) / switching) for name, parts in modules.items()]
    lines.sort(key=lambda line: -line.joules)
    used = [part for part in NAMES if any(part in line.parts for line in lines)]
    return Shown(_bars(items), used, lines)


def _whole(item: Mapping[str, Any]) -> bool:
    numbers = all(isinstance(item.get(key), int | float) for key in ("joules", "low", "high"))
    words = all(isinstance(item.get(key), str) for key in ("module", "part"))
    return numbers and words and item["part"] in NAMES


def _bars(items: Sequence[Mapping[str, Any]]) -> Markup:
    sums = {
        part: [sum(item[key] for item in items if item["part"] == part)
               for key in ("joules", "low", "high")]
        for part in NAMES
    }  # fmt: skip
    rows = [(part, *found) for part, found in sums.items() if found[0]]
    x = svg.Scale(0, 1e9 * max(high for *_, high in rows), LEFT, WIDTH - 190)
    drawn: list[Markup] = []
    for index, (part, joules, low, high) in enumerate(rows):
        y = 6 + STEP * index
        words = f"{1e9 * joules:,.3g} nJ, {1e9 * low:,.3g} to {1e9 * high:,.3g}"
        drawn += [
            svg.text(LEFT - 12, y + 14, NAMES[part], "row", "end"),
            svg.rect(LEFT, y, max(x(1e9 * joules) - LEFT, 1.0), 18, "s0", words, 2),
            svg.line(x(1e9 * low), y + 9, x(1e9 * high), y + 9, "mark"),
            svg.text(x(1e9 * high) + 10, y + 14, words, "row"),
        ]
    return svg.drawing(WIDTH, 12 + STEP * len(rows), "Energy of a frame by part", *drawn)
