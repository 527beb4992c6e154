"""Graphs as JSON: versioned, checked on reading, free of code.

Owns ``save``, ``load``, ``to_json``, ``from_json`` and the upgrade chain. A graph is rebuilt
through the builder, so that shapes, types and ranges are proven again and not believed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from gateformer.quant import expand
from gateformer.quant.encoding import decode, encode, malformed
from gateformer.quant.errors import GateformerError, ModelError
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.base import REGISTRY, Op, Value
from gateformer.quant.replacing import replacing
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow

SPEC_VERSION = 2
"""Version of the format that is written."""

Document = dict[str, Any]

NEW_IN_2: dict[str, Document] = {
    "Attention": {"shares": encode(expand.Shares()), "wg": None, "bg": None},
    "FoldedAttention": {"shares": encode(expand.Shares()), "wg": None, "bg": None},
    "Linear": {"scale": None},
    "Elementwise": {"scale": 1.0, "step": 1.0},
    "Softmax": {"scale": 1.0, "causal": False},
}
"""Operation -> attributes that files of version 1 lack, as they were understood there."""


def _to_2(document: Document) -> Document:
    """Version 2 has scales, and operations with more attributes."""
    nodes = document.get("nodes")
    for node in nodes if isinstance(nodes, list) else []:
        if isinstance(node, dict) and isinstance(held := node.get("attributes"), dict):
            held.update(NEW_IN_2.get(str(node.get("op")), {}))
    return {**document, "scales": {}, "spec_version": 2}


UPGRADES: dict[int, Callable[[Document], Document]] = {1: _to_2}
"""Version n -> a function from a file of version n to one of version n + 1."""

VOCABULARY = expand.__all__
"""Composites that the format knows, beside all primitives; imported with this module."""


def to_json(graph: Graph) -> dict[str, Any]:
    """The graph as JSON values; equal graphs give equal texts."""
    floors = {name: encode(overflow) for name, overflow in sorted(graph.floors.items())}
    return {
        "spec_version": SPEC_VERSION,
        "name": graph.name,
        "inputs": [_input(graph, graph.values[name]) for name in graph.inputs],
        "nodes": [
            {
                "op": type(node.op).__name__,
                "inputs": list(node.inputs),
                "output": node.output,
                "layer": graph.values[node.output].layer,
                "type": _type(graph.values[node.output]),
                "attributes": {
                    f.name: encode(getattr(node.op, f.name))
                    for f in fields(node.op)  # type: ignore[arg-type] # every op is a dataclass
                },
            }
            for node in graph.nodes
        ],
        "outputs": list(graph.outputs),
        "scales": {name: encode(scale) for name, scale in sorted(graph.scales.items())},
        **({"floors": floors} if floors else {}),
    }


def from_json(document: object) -> Graph:
    """Rebuild and verify a graph.

    Raises
    ------
    ModelError
        E111 for an unknown version, E115 for whatever is malformed, E110 and E130 as the
        builder finds them.
    """
    content = upgrade(document)
    try:
        return _build(content)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise malformed(f"{type(error).__name__}: {error}") from error


def upgrade(document: object) -> dict[str, Any]:
    """Bring a document of an older version to the present one, step by step."""
    if not isinstance(document, dict):
        raise malformed("the top level is no object")
    version = document.get("spec_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise malformed("'spec_version' is missing or no whole number")
    if version != SPEC_VERSION and version not in UPGRADES:
        raise ModelError(
            "E111",
            f"graph format version {version if abs(version) < 1000 else '...'} is unknown",
            cause=f"this program reads versions up to {SPEC_VERSION}",
            fix="update gateformer, or write the graph again",
        )
    while version != SPEC_VERSION:
        document = UPGRADES[version](document)
        version += 1
    return document


def save(graph: Graph, path: Path) -> None:
    """Write a graph; the file appears whole or not at all."""
    text = json.dumps(to_json(graph), allow_nan=False, separators=(",", ":"))
    with replacing(path) as own:
        own.write_text(text + "\n", encoding="utf-8")


def load(path: Path) -> Graph:
    """Read a graph.

    Raises
    ------
    ModelError
        E115 with the file's name where it is no graph, else as ``from_json``.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise malformed(str(error)).at(str(path)) from error
    return from_json(document)


def _type(value: Value) -> str | None:
    return None if value.type is None else str(value.type)


def _input(graph: Graph, value: Value) -> dict[str, Any]:
    bounded = value.lo is not None and value.hi is not None
    return {
        "name": value.name,
        "shape": list(value.shape),
        "type": _type(value),
        "masks": graph.masks.get(value.name),
        "range": [encode(value.lo), encode(value.hi)] if bounded else None,
    }


@cache
def _hints(kind: type[Op]) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _build(content: dict[str, Any]) -> Graph:
    builder = Builder(_text(content["name"]))
    for item in content["inputs"]:
        shape = decode(tuple[int, ...], item["shape"], "shape")
        kind = None if item["type"] is None else Fixed.parse(_text(item["type"]))
        masks = None if item["masks"] is None else _text(item["masks"])
        builder.input(_text(item["name"]), shape, kind, masks, _range(item, shape))
    for item in content["nodes"]:
        _node(builder, item)
    for name in content["outputs"]:
        if name not in builder.values:
            raise malformed(f"output {name!r} is never defined")
        builder.output(name)
    for name, scale in content["scales"].items():
        builder.scale(_text(name), decode(FloatArray, scale, "scale"))
    for name, overflow in content.get("floors", {}).items():
        builder.floor(_text(name), decode(Overflow, overflow, "floors"))
    return builder.build()


def _range(item: dict[str, Any], shape: tuple[int, ...]) -> tuple[IntArray, IntArray] | None:
    if item["range"] is None:
        return None
    low, high = (decode(IntArray, bound, "range") for bound in item["range"])
    if low.shape != shape or high.shape != shape:
        raise malformed(f"the range of {item['name']!r} has another shape")
    return low, high


def _node(builder: Builder, item: dict[str, Any]) -> None:
    output, layer = _text(item["output"]), _text(item["layer"])
    kind = REGISTRY.get(_text(item["op"]))
    if kind is None or not hasattr(kind, "__dataclass_fields__"):
        raise malformed(f"unknown operation {item['op']!r}").at(layer)
    inputs = [_text(name) for name in item["inputs"]]
    if output in builder.values or any(name not in builder.values for name in inputs):
        raise malformed(f"{output!r} is defined twice or reads what is not defined").at(layer)
    hints, attributes = _hints(kind), item["attributes"]
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type] # checked above
    if sorted(names) != sorted(attributes):
        raise malformed(f"{item['op']} has the attributes {', '.join(names)}").at(layer)
    try:
        op = kind(**{name: decode(hints[name], attributes[name], name) for name in names})
        builder.add(op, *inputs, name=output, layer=layer)
    except GateformerError as error:
        raise error.at(layer) from None
    if _type(builder.values[output]) != item["type"]:
        raise malformed(f"{output!r} is said to have type {item['type']}").at(layer)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise malformed(f"{value!r} is no name")
    return value
