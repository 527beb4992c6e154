"""From topology and weights to a graph: read every layer, then apply every call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gateformer.quant.errors import GateformerError, ModelError, Problems
from gateformer.quant.frontends.keras import (
    hgq2_attention,
    hgq2_einsum,
    hgq2_layers,
    layers_activation,
    layers_attention,
    layers_dense,
    layers_layout,
    layers_mask,
    layers_merge,
    layers_norm,
)
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.layers_mask import mask_inputs
from gateformer.quant.frontends.keras.references import replaced, walk
from gateformer.quant.frontends.keras.site import (
    MAX_VALUE,
    READERS,
    Apply,
    Mask,
    Site,
    Tensor,
    refused,
)
from gateformer.quant.frontends.keras.topology import Slot, Topology
from gateformer.quant.frontends.keras.weights import LayerWeights, Weights
from gateformer.quant.graph import Builder, Graph

READER_MODULES = (
    hgq2_attention,
    hgq2_einsum,
    hgq2_layers,
    layers_activation,
    layers_attention,
    layers_dense,
    layers_layout,
    layers_mask,
    layers_merge,
    layers_norm,
)
"""Imported for the readers that they register."""


def import_graph(name: str, topology: Topology, weights: Weights) -> Graph:
    """Build the graph.

    Parameters
    ----------
    name : str
        The model's name.
    topology : Topology
        Its calls.
    weights : Weights
        Its weights.

    Raises
    ------
    ModelError, Problems
        First all that is wrong with any layer; then all that does not fit together.
    """
    faults: list[GateformerError] = []
    appliers: dict[str, Apply] = {}
    for layer in topology.layers.values():
        try:
            reader = READERS.get(layer.kind)
            if reader is None:
                raise refused(layer)
            appliers[layer.name] = reader(layer, LayerWeights(layer, weights))
        except GateformerError as error:
            faults.append(error.at(layer.name))
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, _ in topology.inputs:
        try:
            shapes[layer.name] = input_shape(layer)
        except GateformerError as error:
            faults.append(error)
    Problems.raise_if_any(faults)
    return _Assembly(name, topology, appliers, shapes).graph()


def input_shape(layer: LayerConfig) -> tuple[int, ...]:
    """Shape of an input layer, without the batch axis; E112 where it is not fixed or absurd."""
    config = layer.config
    shape = config.get("batch_shape", config.get("batch_input_shape"))
    if not isinstance(shape, (list, tuple)) or len(shape) < 2:
        raise config.error("it has no input shape", "use keras.Input((tokens, features))", "E112")
    size = 1
    for n in shape[1:]:
        if type(n) is not int or n < 1:
            raise config.error(
                f"its shape {tuple(shape[1:])} is not fixed",
                "use keras.Input((tokens, features)) with numbers",
                "E112",
            )
        size *= n
    if size > MAX_VALUE:
        raise config.error(f"its shape {tuple(shape[1:])} is too large", "use fewer", "E112")
    return tuple(shape[1:])


class _Assembly:
    def __init__(
        self,
        name: str,
        topology: Topology,
        appliers: Mapping[str, Apply],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self._topology = topology
        self._appliers = appliers
        self._builder = Builder(name)
        self._masks: dict[str, Mask] = {}
        self._values: dict[Slot, Tensor | Mask] = {}
        self._broken: set[Slot] = set()
        self._calls: Counter[str] = Counter()
        self._inputs = frozenset(layer.name for layer, _ in topology.inputs)
        hidden = mask_inputs(topology, shapes)
        for layer, slot in topology.inputs:
            if slot not in hidden:
                self._values[slot] = Tensor(self._builder.input(layer.name, shapes[layer.name]))
        for slot, mask in hidden.items():
            self._values[slot] = mask
            self._builder.input(mask.name, (shapes[mask.masks][0], 1), masks=mask.masks)

    def graph(self) -> Graph:
        """Apply every call whose inputs stand; all faults at once."""
        faults: list[GateformerError] = []
        for call in self._topology.calls:
            if any(slot in self._broken for slot in walk((call.args, call.kwargs), Slot)):
                self._broken.add(call.output)
                continue
            layer = call.layer
            self._calls[layer.name] += 1
            count = self._calls[layer.name]
            site = Site(
                self._builder,
                layer,
                layer.name if count == 1 else f"{layer.name}/call{count}",
                replaced(call.args, Slot, self._values.__getitem__),
                replaced(call.kwargs, Slot, self._values.__getitem__),
                self._masks,
                self._inputs,
            )
            try:
                self._values[call.output] = layers_mask.applied(site, self._appliers[layer.name])
            except GateformerError as error:
                self._broken.add(call.output)
                faults.append(error.at(layer.name))
        Problems.raise_if_any(faults)
        for slot in self._topology.outputs:
            value = self._values[slot]
            if isinstance(value, Mask):
                raise ModelError("E114", "a padding mask is an output", layer=value.name)
            self._builder.output(value.name)
        return self._builder.build()
