"""Tensor references inside a layer's inbound nodes, as Keras 2 and Keras 3 write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateformer.quant.frontends.plain_json import Config, shorten

CONSTANT = "_CONSTANT_VALUE"
"""Keras 2's marker of a constant argument: ``["_CONSTANT_VALUE", -1, value, {}]``."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A result of a layer's call: ``node`` counts its calls, ``tensor`` a call's results."""

    layer: str
    node: int
    tensor: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """Arguments of one call; tensors are ``Ref`` (later ``Slot``, then names of values)."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def uses(inbound: object, layer: Config) -> list[Use]:
    """Calls of a layer from its ``inbound_nodes``."""
    if not isinstance(inbound, list):
        raise layer.error("'inbound_nodes' is not a list")
    return [_use(node, layer) for node in inbound]


def references(value: object) -> list[Ref]:
    """``input_layers`` or ``output_layers``: one reference, a list or a dict of them."""
    if (found := _reference(value)) is not None:
        return [found]
    if isinstance(value, Mapping):
        return [ref for item in value.values() for ref in references(item)]
    if isinstance(value, list):
        return [ref for item in value for ref in references(item)]
    return []


def walk(value: object, kind: type) -> Iterator[Any]:
    """Everything of a class inside nested lists, tuples and dicts."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from walk(item, kind)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from walk(item, kind)


def leaves(value: object) -> Iterator[Any]:
    """Everything inside nested lists and tuples, in order."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def replaced(value: Any, kind: type, by: Callable[[Any], object]) -> Any:
    """The same structure with everything of a class replaced."""
    if isinstance(value, kind):
        return by(value)
    if isinstance(value, Mapping):
        return {key: replaced(item, kind, by) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(replaced(item, kind, by) for item in value)
    return value


def _use(node: object, layer: Config) -> Use:
    if isinstance(node, Mapping):
        args, kwargs = node.get("args", []), node.get("kwargs", {})
        if not isinstance(args, list) or not isinstance(kwargs, Mapping):
            raise layer.error(f"an inbound node is malformed: {shorten(node)}")
        return Use(tuple(_keras3(a, layer) for a in args), _keras3(kwargs, layer))
    if not isinstance(node, list) or not node:
        raise layer.error(f"an inbound node is malformed: {shorten(node)}")
    entries = [node] if isinstance(node[0], str) else node
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for entry in entries:
        if not isinstance(entry, list) or len(entry) < 3:
            raise layer.error(f"an inbound node is malformed: {shorten(entry)}")
        if len(entry) > 3 and isinstance(entry[3], Mapping):
            named.update({key: _keras2(item) for key, item in entry[3].items()})
        positional.append(entry[2] if entry[0] == CONSTANT else _required(entry, layer))
    first = positional[0] if len(positional) == 1 else positional
    return Use((first,), named)


def _keras2(value: object) -> Any:
    if (found := _reference(value)) is not None:
        return found
    if isinstance(value, list):
        return [_keras2(item) for item in value]
    return value


def _keras3(value: Any, layer: Config) -> Any:
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            history = value.get("config", {})
            history = history.get("keras_history") if isinstance(history, Mapping) else None
            return _required(history, layer)
        return {key: _keras3(item, layer) for key, item in value.items()}
    if isinstance(value, list):
        return [_keras3(item, layer) for item in value]
    return value


def _required(value: object, layer: Config) -> Ref:
    found = _reference(value)
    if found is None:
        raise layer.error(f"it reads {shorten(value)}, which is no tensor")
    return found


def _reference(value: object) -> Ref | None:
    if not isinstance(value, list) or len(value) not in (3, 4):
        return None
    layer, node, tensor = value[:3]
    if isinstance(layer, str) and type(node) is int and type(tensor) is int:
        return Ref(layer, node, tensor)
    return None
