"""The network's drawing: layers from top to bottom, skips and whole-frame links as arcs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from gateformer.report import svg
from gateformer.report.plots import shortened

ROW, BOX, LEFT, TALL = 62.0, 470.0, 20.0, 42.0
"""Height of a row, width of a box, left margin, height of a box."""


@dataclass(slots=True)
class Group:
    """A layer that has hardware of its own.

    Attributes
    ----------
    name : str
        The layer.
    stages : list of str
        Its stages, without the layer's name.
    operations : list of str
        What its stages compute, each kind once.
    result : str
        Shape and type of what leaves it.
    fused : list of str
        Layers that are computed inside it.
    """

    name: str
    stages: list[str] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    result: str = ""
    fused: list[str] = field(default_factory=list)


def layer_of(stage: str) -> str:
    """Return the layer that a stage or a value belongs to."""
    return stage.partition("/")[0]


def groups(
    design: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], types: Mapping[str, str]
) -> list[Group]:
    """Return inputs and layers with stages, in the pipeline's order."""
    found: dict[str, Group] = {}
    shapes = {str(row.get("name")): row.get("shape") or [] for row in layers}
    for port in design["inputs"]:
        found[str(port["value"])] = Group(str(port["value"]), operations=["Input"])
    for stage in design["stages"]:
        layer, _, part = str(stage["name"]).partition("/")
        group = found.setdefault(layer, Group(layer))
        group.stages.append(part or layer)
        chain = str(stage.get("formula", "")).partition(": ")[2].partition("; ")[0]
        for operation in chain.split(" -> "):
            if operation and operation not in group.operations:
                group.operations.append(operation)
    waiting: list[str] = []
    for name, shape in shapes.items():
        if name not in found:
            waiting.append(name)
            continue
        found[name].fused, waiting = waiting, []
        size = " × ".join(str(one) for one in shape)
        found[name].result = "  ".join(one for one in (size, types.get(name, "")) if one)
    return list(found.values())


def links(design: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return the links between layers: source, target, and whether a whole frame is awaited."""
    found: dict[tuple[str, str], bool] = {}
    for stage in design["stages"]:
        target = layer_of(str(stage["name"]))
        for one in stage["links"]:
            source = layer_of(str(one["source"]))
            if source != target:
                whole = one["kind"] == "frame"
                found[source, target] = found.get((source, target), False) or whole
    return [(source, target, whole) for (source, target), whole in found.items()]


def network(
    design: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], types: Mapping[str, str]
) -> Markup:
    """Return the drawing."""
    nodes = groups(design, layers, types)
    places = {node.name: index for index, node in enumerate(nodes)}
    edges = [(places[a], places[b], w) for a, b, w in links(design) if a in places and b in places]
    tracks = _tracks([(a, b) for a, b, _ in edges if b != a + 1])
    parts: list[Markup] = []
    for start, end, whole in edges:
        cls = "edge whole" if whole else "edge"
        y1, y2 = ROW * start + TALL + 8, ROW * end + 8
        if end == start + 1:
            middle = LEFT + BOX / 2
            parts.append(svg.line(middle, y1, middle, y2 - 6, cls))
            parts.append(_arrow(middle, y2, 0))
            continue
        side, out = LEFT + BOX, LEFT + BOX + 22 + 15 * tracks[start, end]
        y1, y2 = y1 - TALL / 2 + 8, y2 + TALL / 2 - 8
        d = f"M{side} {y1} H{out - 8} q8 0 8 8 V{y2 - 8} q0 8 -8 8 H{side + 7}"
        words = f"{nodes[start].name} to {nodes[end].name}"
        parts.append(svg.el("path", svg.el("title", words), d=d, cls=cls))
        parts.append(_arrow(side, y2, 90))
    right = LEFT + BOX + 40 + 15 * max(tracks.values(), default=0)
    for index, node in enumerate(nodes):
        parts += _box(node, ROW * index + 8, right)
    words = f"Network of {len(nodes)} layers and {len(edges)} links"
    return svg.drawing(1080, ROW * len(nodes) + 4, words, *parts)


def _arrow(x: float, y: float, turned: float) -> Markup:
    shape = f"translate({svg.number(x)} {svg.number(y)}) rotate({svg.number(turned)})"
    return svg.el("path", d="M0 0 L-4.5 -8 L4.5 -8 Z", transform=shape, cls="arrow")


def _box(node: Group, y: float, right: float) -> list[Markup]:
    parts = [
        svg.rect(LEFT, y, BOX, TALL, "node input" if not node.stages else "node", node.name, 7),
        svg.text(LEFT + 14, y + 18, shortened(node.name, 40), "strong"),
        svg.text(LEFT + BOX - 12, y + 18, node.result, "tick", "end"),
        svg.text(LEFT + 14, y + 34, shortened(" → ".join(node.operations), 74), "tick"),
    ]
    if len(node.stages) > 1:
        parts.append(svg.text(right, y + 18, shortened(" · ".join(node.stages), 72), "row"))
    if node.fused:
        words = f"with {', '.join(node.fused)}"
        parts.append(svg.text(right, y + 34, shortened(words, 76), "tick"))
    return parts


def _tracks(edges: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return a track for each arc, so that none lies upon another; short ones inside."""
    taken: list[list[tuple[int, int]]] = []
    found = {}
    for edge in sorted(set(edges), key=lambda e: (e[1] - e[0], e)):
        for number, others in enumerate(taken):
            if all(edge[1] <= a or b <= edge[0] for a, b in others):
                others.append(edge)
                found[edge] = number
                break
        else:
            found[edge] = len(taken)
            taken.append([edge])
    return found
