"""Which class was taken for which: the table of a classifier of many classes, as a drawing.

Owns ``confusion`` and ``counts``. Imports the drawing primitives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from gateformer.report import svg
from gateformer.report.read import Array

CELL, LEFT, TOP = 44.0, 110.0, 58.0


def counts(outputs: Array, labels: Array) -> Array:
    """Return how often each class (row) was taken for each (column); labels beyond are left out."""
    classes = outputs.shape[1]
    known = (labels >= 0) & (labels < classes)
    taken = labels[known].astype(np.int64) * classes + outputs[known].argmax(1)
    return np.bincount(taken, minlength=classes * classes).reshape(classes, classes)


def confusion(outputs: Array, labels: Array, names: Sequence[str] = ()) -> Markup:
    """Return the table: one row a class, its samples by the class of their largest output.

    Parameters
    ----------
    outputs : ndarray, (n, classes)
        What the network gives.
    labels : ndarray of int, (n,)
        Classes.
    names : sequence of str
        Their names; numbers stand for those that have none.
    """
    found = counts(outputs, labels)
    classes = len(found)
    words = [names[i] if i < len(names) else str(i) for i in range(classes)]
    parts = [
        svg.text(LEFT + CELL * classes / 2, 18, "class of the largest output", "tick", "middle")
    ]
    for i, row in enumerate(found):
        y = TOP + CELL * i
        parts.append(svg.text(LEFT - 10, y + CELL / 2 + 5, words[i][:14], "row", "end"))
        parts.append(svg.text(LEFT + CELL * (i + 0.5), TOP - 10, words[i][:6], "tick", "middle"))
        for j, times in enumerate(row):
            x, share = LEFT + CELL * j, times / max(row.sum(), 1)
            tip = f"{words[i]} taken for {words[j]}: {times} of {row.sum()}"
            parts.append(
                svg.el(
                    "rect", svg.el("title", tip), x=x + 1, y=y + 1, width=CELL - 2, height=CELL - 2,
                    rx=3, cls="s2" if i == j else "s1", fill_opacity=round(float(share), 3) * 0.8,
                )
            )  # fmt: skip
            if times:
                parts.append(svg.text(x + CELL / 2, y + CELL / 2 + 5, times, "row", "middle"))
    size = CELL * classes
    return svg.drawing(LEFT + size + 8, TOP + size + 8, "Classes taken for one another", *parts)
