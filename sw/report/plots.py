"""The report's plots, as drawings that need no script: timeline, errors, outputs, ROC, costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from gateformer.report import svg
from gateformer.report.read import Array
from gateformer.report.svg import Scale

FRAMES = 3
"""Frames of the timeline."""
MOST_ROWS = 64
"""Stages that a timeline shows; of more, the layers."""
BINS = 56


def spans(design: Mapping[str, Any]) -> list[tuple[str, int, int, str]]:
    """Return each stage's name, the clocks of its first and last beat, and what it computes.

    Clocks are counted from the frame's first input handshake, as the latency is.
    """
    interval = int(design["beat_interval"])
    slots = max(-(-int(p["tokens"]) // int(p["lanes"])) for p in design["inputs"])
    rows = []
    for stage in design["stages"]:
        first = 1 + int(stage["offset"])
        if stage["paced"] == "frame":
            first += (slots - 1) * interval
        last = first + (int(stage["beats"]) - 1) * interval
        rows.append((str(stage["name"]), first, last, str(stage.get("formula", ""))))
    return rows


def by_layer(rows: Sequence[tuple[str, int, int, str]]) -> list[tuple[str, int, int, str]]:
    """Return one row a layer: from its first stage's first beat to its last one's last."""
    found: dict[str, tuple[str, int, int, str]] = {}
    for name, first, last, formula in rows:
        layer = name.partition("/")[0]
        old = found.get(layer)
        found[layer] = (
            (layer, min(old[1], first), max(old[2], last), old[3])
            if old
            else (layer, first, last, formula)
        )
    return list(found.values())


def timeline(design: Mapping[str, Any], latency: int, interval: int) -> Markup:
    """Return stages over clocks: one frame in full colour, the next ones behind it."""
    rows = spans(design)
    if len(rows) > MOST_ROWS:
        rows = by_layer(rows)
    slots = max(-(-int(p["tokens"]) // int(p["lanes"])) for p in design["inputs"])
    beat = int(design["beat_interval"])
    rows = [("input", 0, (slots - 1) * beat, "beats of the input"), *rows]
    rows.append(("output", latency, latency, "the last beat of the output"))
    step, top, left, width = 17.0, 34.0, 232.0, 1080.0
    height = top + step * len(rows) + 44
    x = Scale(0, latency + (FRAMES - 1) * interval + 2, left, width - 12)
    y_end = top + step * len(rows)
    parts: list[Markup] = []
    for tick in x.ticks(12):
        parts.append(svg.line(x(tick), top - 6, x(tick), y_end, "grid"))
        parts.append(svg.text(x(tick), y_end + 16, svg.label(tick), "tick", "middle"))
    for index, (name, first, last, formula) in enumerate(rows):
        y = top + step * index
        parts.append(svg.text(left - 8, y + 12, shortened(name, 34), "row", "end"))
        for frame in reversed(range(FRAMES)):
            start, end = first + frame * interval, last + frame * interval
            words = f"{name}, frame {frame + 1}: clocks {start} to {end}. {formula}"
            parts.append(
                svg.rect(
                    x(start), y + 3, max(x(end + 1) - x(start), 2.5), step - 6,
                    f"f{frame}", words, 2,
                )
            )  # fmt: skip
    mark = x(latency)
    parts.append(svg.line(mark, top - 6, mark, y_end, "mark"))
    parts.append(svg.text(mark, top - 12, f"latency {latency} clocks", "marked", "middle"))
    parts.append(svg.text((left + width) / 2, y_end + 34, "clock", "name", "middle"))
    words = f"Pipeline timeline of {FRAMES} frames, {interval} clocks apart"
    return svg.drawing(width, height, words, *parts)


def shortened(words: str, most: int) -> str:
    """Return words that fit, their middle left out where they are too long."""
    if len(words) <= most:
        return words
    return f"{words[: most // 2 - 1]}…{words[-(most - most // 2) :]}"


def errors(rows: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Return each value's error, relative to the size of what it stands for."""
    found = [
        (str(row["value"]), row["rms"] / row["reference"], row["largest"] / row["reference"])
        for row in rows
        if row.get("reference") and row.get("rms") is not None and row.get("largest")
    ]
    if not found:
        return None
    step, top, left, width = 18.0, 30.0, 232.0, 1080.0
    low = 10.0 ** np.floor(np.log10(max(min(rms for _, rms, _ in found if rms), 1e-9)))
    high = 10.0 ** np.ceil(np.log10(max(largest for _, _, largest in found)) + 1e-9)
    x = Scale(float(low), float(high), left, width - 20, logarithmic=True)
    bottom = top + step * len(found)
    parts: list[Markup] = []
    for tick in x.ticks(10):
        parts.append(svg.line(x(tick), top - 4, x(tick), bottom, "grid"))
        parts.append(svg.text(x(tick), bottom + 16, svg.label(tick), "tick", "middle"))
    for index, (name, rms, largest) in enumerate(found):
        y = top + step * index
        words = f"{name}: rms error {rms:.3g}, largest {largest:.3g} of the value's own rms"
        parts.append(svg.text(left - 8, y + 13, shortened(name, 34), "row", "end"))
        parts.append(svg.line(x(rms), y + 9, x(largest), y + 9, "whisker"))
        parts.append(svg.rect(left, y + 4, x(rms) - left, step - 8, "s0", words, 2))
        parts.append(svg.rect(x(largest) - 1.5, y + 4, 3, step - 8, "s1", words))
    parts.append(
        svg.text((left + width) / 2, bottom + 34, "error / rms of the value", "name", "middle")
    )
    words = "Error of each value against float: rms as a bar, the largest as a mark"
    return svg.drawing(width, bottom + 44, words, *parts)


def scatter(real: Array, integer: Array) -> Markup:
    """Return integer outputs over float ones, as a density."""
    low = float(min(real.min(), integer.min()))
    high = float(max(real.max(), integer.max()))
    high = high if high > low else low + 1.0
    counts, _, _ = np.histogram2d(
        real.ravel(), integer.ravel(), bins=BINS, range=((low, high), (low, high))
    )
    x, y = Scale(low, high, 60, 500), Scale(low, high, 470, 40)
    size = 440 / BINS
    top = np.log1p(counts.max())
    parts = list(svg.axes(x, y, "float output", "integer output"))
    for i, j in zip(*np.nonzero(counts), strict=True):
        share = np.log1p(counts[i, j]) / top
        words = f"{int(counts[i, j]):,} outputs"
        cell = svg.rect(60 + i * size, 470 - (j + 1) * 430 / BINS, size, 430 / BINS, "s0", words)
        parts.append(
            Markup(str(cell).replace("<rect", f'<rect opacity="{0.12 + 0.88 * share:.2f}"', 1))
        )
    parts.append(svg.line(x(low), y(low), x(high), y(high), "diagonal"))
    return svg.drawing(520, 515, "Integer outputs against float outputs, darker where more", *parts)


Curve = tuple[str, Array, Array, Array, Array, float, float]
"""Name; false and true positive rates in float and in integers; both areas."""


def curves(real: Array, integer: Array, labels: Array, names: Sequence[str] = ()) -> list[Curve]:
    """Return the ROC curves of every pair of classes, or of one output its own."""

    def pair(signal: int, background: int) -> str:
        both = (names[i] if i < len(names) else f"class {i}" for i in (signal, background))
        return " against ".join(both)

    if real.shape[1] == 1:
        if len(np.unique(labels == 1)) < 2:
            return []
        return [_curve(pair(1, 0), real[:, 0], integer[:, 0], labels == 1)]
    found = []
    classes = [int(c) for c in np.unique(labels) if 0 <= c < real.shape[1]]
    for place, background in enumerate(classes):
        for signal in classes[place + 1 :]:
            kept = (labels == signal) | (labels == background)
            scores = [_score(out[kept], signal, background) for out in (real, integer)]
            found.append(
                _curve(pair(signal, background), scores[0], scores[1], labels[kept] == signal)
            )
    return sorted(found, key=lambda curve: -curve[5])


def _score(outputs: Array, signal: int, background: int) -> Array:
    """Return what tells two classes apart: a ratio of probabilities, or a difference."""
    first, second = outputs[:, signal], outputs[:, background]
    if outputs.min() < 0:
        return np.asarray(first - second)
    return np.asarray(first / np.maximum(first + second, 1e-12))


def _curve(name: str, real: Array, integer: Array, positive: Array) -> Curve:
    before, after = roc(real, positive), roc(integer, positive)
    areas = [float(np.trapezoid(true, false)) for false, true in (before, after)]
    return (name, *before, *after, areas[0], areas[1])


def roc(score: Array, positive: Array) -> tuple[Array, Array]:
    """Return false and true positive rates at every distinct score, from 0 to 1."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.nonzero(np.diff(score[order]))[0], len(score) - 1)
    true, false = np.cumsum(positive[order])[ends], np.cumsum(~positive[order])[ends]
    rates = (false / max(false[-1], 1), true / max(true[-1], 1))
    return np.append(0.0, rates[0]), np.append(0.0, rates[1])


def roc_plot(found: Sequence[Curve]) -> Markup:
    """Return mistag rate over efficiency: float dashed, integers solid."""
    x, y = Scale(0, 1, 60, 500), Scale(1e-3, 1, 470, 40, logarithmic=True)
    parts = list(svg.axes(x, y, "signal efficiency", "background kept"))
    for index, (name, false0, true0, false1, true1, area0, area1) in enumerate(found):
        for kind, false, true in (("dashed", false0, true0), ("solid", false1, true1)):
            keep = np.unique(np.linspace(0, len(true) - 1, 300).astype(int))
            keep = keep[false[keep] >= 1e-3]
            points = [(x(float(true[i])), y(float(false[i]))) for i in keep]
            parts.append(svg.path(points, f"curve c{index % 6} {kind}", f"{name}, {kind}"))
        parts.append(svg.rect(60, 526 + 20 * index, 16, 4, f"s{index % 6}"))
        words = f"{name}: AUC {area1:.4f} in integers, {area0:.4f} in float"
        parts.append(svg.text(84, 532 + 20 * index, words, "row"))
    words = "ROC curves, float dashed and integer solid"
    return svg.drawing(520, 525 + 20 * len(found), words, *parts)


def costs(rows: Sequence[tuple[str, float, float, float | None]]) -> Markup:
    """Return predicted beside synthesized resources; the last entry is what the device has."""
    step, left, width, top = 58.0, 96.0, 1080.0, 12.0
    parts: list[Markup] = []
    for index, (name, predicted, made, there) in enumerate(rows):
        y = top + step * index
        x = Scale(0, max(predicted, made, 1.0), left, width - 250)
        parts.append(svg.text(left - 12, y + 27, name, "strong", "end"))
        for place, (words, value) in enumerate((("predicted", predicted), ("yosys", made))):
            bar = y + 4 + 20 * place
            parts.append(svg.rect(left, bar, max(x(value) - left, 1.0), 16, f"s{place}", words, 2))
            share = f" ({100 * value / there:.1f} % of the device)" if there else ""
            shown = f"{value:,.1f}" if name == "BRAM" else f"{value:,.0f}"
            parts.append(svg.text(x(value) + 8, bar + 12, f"{words} {shown}{share}", "row"))
    return svg.drawing(width, top + step * len(rows), "Predicted and synthesized resources", *parts)
