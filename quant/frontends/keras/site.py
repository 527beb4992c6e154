"""Where a layer meets the graph: its arguments by name, its results, its padding mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.references import walk
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.frontends.plain_json import Config
from gateformer.quant.graph import Builder
from gateformer.quant.ops.base import Op, Shape

MAX_VALUE = 1 << 24
"""Elements of the largest tensor; beyond, no hardware of ours could hold it."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Name of a value among a call's arguments."""

    name: str


@dataclass(frozen=True, slots=True)
class Mask:
    """A padding mask: one bit a token of a graph input, which the host supplies."""

    name: str
    masks: str
    """The input whose tokens it masks."""
    shape: Shape
    """Shape under which the layers see it: (tokens,), or (1, tokens) for attention."""


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """One call of a layer, in the graph under construction.

    Attributes
    ----------
    builder : Builder
        The graph.
    layer : LayerConfig
        The layer.
    name : str
        Name of the result: the layer's, numbered from its second call on.
    args, kwargs : tuple, mapping
        Arguments; tensors are ``Tensor``, padding masks ``Mask``.
    masks : dict of str to Mask
        Padding mask that travels with each value.
    inputs : frozenset of str
        The model's inputs.
    """

    builder: Builder
    layer: LayerConfig
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    masks: dict[str, Mask]
    inputs: frozenset[str]

    @property
    def config(self) -> Config:
        """The layer's configuration."""
        return self.layer.config

    @property
    def tensors(self) -> list[str]:
        """Values among the positional arguments, lists opened."""
        return [t.name for t in walk(self.args, Tensor)]

    def one(self) -> str:
        """Return the only tensor of a layer that takes one."""
        found = self.tensors
        if len(found) != 1:
            raise self.config.error(f"it takes one tensor and is given {len(found)}", code="E114")
        return found[0]

    def argument(self, name: str, place: int | None = None) -> Any:
        """Argument by name or place; None where it is absent."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[place] if place is not None and place < len(self.args) else None

    def shape(self, value: str) -> Shape:
        """Shape of a value, without the batch axis."""
        return self.builder.values[value].shape

    def rows(self, value: str) -> Shape:
        """Shape of a vector or of tokens x features; E112 for more axes."""
        shape = self.shape(value)
        if len(shape) > 2:
            raise self.config.error(
                f"its input has shape {shape}",
                "bring it to (tokens, features) with a Reshape layer",
                "E112",
            )
        return shape

    def add(self, op: Op, *inputs: str, point: str = "") -> str:
        """Append the result, or a value ``<name>/<point>`` on the way to it."""
        name = f"{self.name}/{point}" if point else self.name
        value = self.builder.add(op, *inputs, name=name, layer=self.layer.name)
        if prod(self.shape(value)) > MAX_VALUE:
            raise self.config.error(
                f"its result has {prod(self.shape(value))} elements",
                "make the layer smaller",
                "E112",
            )
        return value

    def mask_value(self, mask: Mask) -> str:
        """Value of a padding mask, declared as a graph input at its first use."""
        if mask.name not in self.builder.values:
            tokens = self.builder.values[mask.masks].shape[0]
            self.builder.input(mask.name, (tokens, 1), masks=mask.masks)
        return mask.name

    def mask_of(self, *values: str) -> Mask | None:
        """Return the mask that travels with values; E114 where they have different ones."""
        found = {self.masks[v] for v in values if v in self.masks}
        if len(found) > 1:
            raise self.config.error(
                "its inputs have different padding masks", "use one mask", "E114"
            )
        return found.pop() if found else None


Apply = Callable[[Site], str]
"""Adds one call of a layer to the graph; returns the value of its result."""

Reader = Callable[[LayerConfig, LayerWeights], Apply]
"""Checks a layer's configuration and weights; all are read before the first is applied."""

READERS: dict[str, Reader] = {}
"""Class of a layer -> its reader, filled as the ``layers_*`` modules are imported."""


def reads(*kinds: str) -> Callable[[Reader], Reader]:
    """Register a reader for classes of layers."""

    def register(reader: Reader) -> Reader:
        READERS.update(dict.fromkeys(kinds, reader))
        return reader

    return register


def refused(layer: LayerConfig) -> ModelError:
    """E102 or E106 for a class without a reader."""
    if layer.kind == "Lambda":
        return ModelError(
            "E106",
            "code in a model file",
            layer=layer.name,
            kind=layer.kind,
            cause="a Lambda layer holds Python bytecode",
            fix="replace it by a layer of Keras or QKeras",
        )
    return ModelError(
        "E102",
        "unsupported layer",
        layer=layer.name,
        kind=layer.kind or "no class",
        cause="gateformer reads dense, attention, normalization, activation, merge, pooling,"
        " embedding and reshape layers",
        fix="replace it, or add a reader (docs/extend.md)",
    )
