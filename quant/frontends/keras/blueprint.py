"""A model's configuration read into members and their calls; nested models stay nested."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends.keras.references import Ref, Use, references, uses, walk
from gateformer.quant.frontends.names import check_name
from gateformer.quant.frontends.plain_json import Config

MODELS = frozenset({"Functional", "Model", "Sequential"})
HGQ2 = "hgq>"
"""Package under which HGQ2 registers its layers."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerConfig:
    """A layer of the file.

    Attributes
    ----------
    name : str
        Its name; ``<model>/<layer>`` inside nested models.
    kind : str
        Its class.
    config : Config
        Its configuration.
    names, places : tuple of str
        From the outermost model inwards: names, and Keras 3's places among siblings
        (``dense``, ``dense_1``), under which the two file formats hold the weights.
    keras : int
        Major version of Keras that wrote it; some activations differ.
    """

    name: str
    kind: str
    config: Config
    names: tuple[str, ...]
    places: tuple[str, ...]
    keras: int


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A layer or a nested model among a model's members, with its calls."""

    layer: LayerConfig
    uses: list[Use]
    nested: Blueprint | None
    first: int
    """Number of its first call in references; a model of Keras 2 counts from 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Blueprint:
    """A Functional or Sequential model.

    Attributes
    ----------
    layer : LayerConfig
        The model itself.
    members : dict of str to Member
        By name.
    inputs, outputs : list of Ref
        In the model's order.
    """

    layer: LayerConfig
    members: dict[str, Member]
    inputs: list[Ref]
    outputs: list[Ref]


def class_name(entry: Mapping[str, Any]) -> str:
    """Class of a configuration's entry, without the package it is registered under."""
    return str(entry.get("class_name", "")).rsplit(">", 1)[-1]


def layer_kind(entry: Mapping[str, Any]) -> str:
    """Class under which a layer's reader is found: HGQ2's, whose names are QKeras's, as ``hgq>``.

    QKeras registers its layers under no package.
    """
    registered = entry.get("registered_name")
    hgq = isinstance(registered, str) and registered.startswith(HGQ2)
    return f"{HGQ2}{class_name(entry)}" if hgq else class_name(entry)


def read_blueprint(
    entry: Mapping[str, Any],
    keras: int,
    names: tuple[str, ...] = (),
    places: tuple[str, ...] = (),
) -> Blueprint:
    """Read a model's configuration.

    Parameters
    ----------
    entry : mapping
        ``class_name`` and ``config``.
    keras : int
        Major version of Keras that wrote it.
    names, places : tuple of str
        Of this model; empty for the outermost.
    """
    kind = class_name(entry)
    config = Config(entry.get("config"), "/".join(names) or "model", kind or "no class")
    if kind not in MODELS:
        raise config.unsupported(
            "its structure is in code, not in the file",
            "build the network as a Functional or Sequential model",
        )
    layer = LayerConfig(config.layer, kind, config, names, places, keras)
    entries = config.get("layers")
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
        raise config.error("it has no list of layers")
    if kind == "Sequential":
        entries = _with_input(entries, config)
    taken: Counter[str] = Counter()
    members: dict[str, Member] = {}
    for number, item in enumerate(entries):
        name = checked_name(item, number, config)
        if name in members:
            raise ModelError(
                "E113", "two layers have one name", layer=name, fix="rename one and save again"
            )
        snake = to_snake_case(class_name(item))
        place = f"{snake}_{taken[snake]}" if taken[snake] else snake
        taken[snake] += 1
        members[name] = _member(item, kind, keras, (*names, name), (*places, place))
    if kind == "Sequential":
        return _chain(layer, members)
    inputs, outputs = (
        references(config.get("input_layers")),
        references(config.get("output_layers")),
    )
    if not inputs or not outputs:
        raise config.error("it names no inputs or no outputs")
    return Blueprint(layer, _numbered(members, outputs), inputs, outputs)


def checked_name(entry: Mapping[str, Any], number: int, model: Config) -> str:
    """Name of a layer; E108 where it is unsafe to write anywhere."""
    config = entry.get("config")
    inner = config.get("name") if isinstance(config, Mapping) else None
    name = entry.get("name", inner)
    if not isinstance(name, str) or not name:
        raise model.error(f"layer {number} has no name")
    return check_name(name)


def to_snake_case(name: str) -> str:
    """Keras's own rule from a class's name to the group that holds its weights."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _member(
    entry: Mapping[str, Any],
    parent: str,
    keras: int,
    names: tuple[str, ...],
    places: tuple[str, ...],
) -> Member:
    kind = layer_kind(entry)
    name = "/".join(names)
    config = Config(entry.get("config", {}), name, kind or "no class")
    layer = LayerConfig(name, kind, config, names, places, keras)
    found = [] if parent == "Sequential" else uses(entry.get("inbound_nodes", []), config)
    nested = read_blueprint(entry, keras, names, places) if kind in MODELS else None
    return Member(layer, found, nested, 0)


def _numbered(members: dict[str, Member], outputs: list[Ref]) -> dict[str, Member]:
    """Find from which number the references count each nested model's calls."""
    highest: dict[str, int] = {}
    reads = [
        ref for m in members.values() for use in m.uses for ref in walk((use.args, use.kwargs), Ref)
    ]
    for ref in (*reads, *outputs):
        highest[ref.layer] = max(highest.get(ref.layer, 0), ref.node)
    return {
        name: Member(m.layer, m.uses, m.nested, int(highest.get(name, 0) == len(m.uses)))
        if m.nested is not None
        else m
        for name, m in members.items()
    }


def _with_input(entries: list[Any], model: Config) -> list[Any]:
    """A Sequential's layers, its input first."""
    if not entries:
        raise model.error("it has no layers")
    if class_name(entries[0]) == "InputLayer":
        return entries
    first = entries[0].get("config", {})
    shape = model.get("build_input_shape") or (
        first.get("batch_input_shape") or first.get("batch_shape")
        if isinstance(first, Mapping)
        else None
    )
    if shape is None:
        raise model.error(
            "its input shape is unknown",
            "start it with keras.Input((tokens, features)) and save again",
        )
    name = f"{first.get('name', 'model')}_input"
    return [{"class_name": "InputLayer", "config": {"name": name, "batch_shape": shape}}, *entries]


def _chain(layer: LayerConfig, members: dict[str, Member]) -> Blueprint:
    """A Sequential as a functional model."""
    names = list(members)
    chained = {
        name: Member(m.layer, [Use((Ref(before, 0),), {})] if before else [], m.nested, 0)
        for before, (name, m) in zip(["", *names], members.items(), strict=False)
    }
    return Blueprint(layer, chained, [Ref(names[0], 0)], [Ref(names[-1], 0)])
