"""Padding masks: where they come from, and with which values they travel.

A padding mask is one bit a token, supplied by the host as a graph input of its own. It is
either a model input that only mask arguments read, or what a ``Masking`` layer or an
``Embedding(mask_zero=True)`` on a model input would compute, called ``<layer>/mask``.
Rows of padded tokens are computed as any other and must be masked where they are pooled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.references import walk
from gateformer.quant.frontends.keras.site import Apply, Mask, Site, Tensor, reads
from gateformer.quant.frontends.keras.topology import Slot, Topology
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.ops.base import Shape
from gateformer.quant.ops.elementwise import Mul

MASK_ARGUMENTS = frozenset({"mask", "attention_mask", "query_mask", "key_mask", "value_mask"})
VIEWS = frozenset({"Reshape", "ExpandDims"})
"""Layers through which a mask input may reach a mask argument."""


def mask_inputs(topology: Topology, shapes: Mapping[str, Shape]) -> dict[Slot, str]:
    """Model inputs that only mask arguments read -> the input whose tokens they mask."""
    origin = {slot: slot for _, slot in topology.inputs}
    elsewhere: set[Slot] = set(topology.outputs)
    asked: set[Slot] = set()
    for call in topology.calls:
        as_mask = {
            slot
            for name, value in call.kwargs.items()
            if name in MASK_ARGUMENTS
            for slot in walk(value, Slot)
        }
        asked |= {origin[s] for s in as_mask if s in origin}
        others = [s for s in walk((call.args, call.kwargs), Slot) if s not in as_mask]
        if call.layer.kind in VIEWS and len(others) == 1 and others[0] in origin:
            origin[call.output] = origin[others[0]]
            continue
        elsewhere |= {origin[s] for s in others if s in origin}
    masks = asked - elsewhere
    found: dict[Slot, str] = {}
    for layer, slot in topology.inputs:
        if slot in masks:
            tokens = shapes[layer.name][0]
            owners = [
                other.name
                for other, at in topology.inputs
                if at not in masks and shapes[other.name][0] == tokens
            ]
            if not owners:
                raise layer.config.error(
                    f"no input has the {tokens} tokens that it would mask",
                    "give the mask the shape (tokens,) of the input that it masks",
                    "E114",
                )
            found[slot] = owners[0]
    return found


def applied(site: Site, apply: Apply) -> Tensor | Mask:
    """Apply a call and let its inputs' padding mask travel on with tokens."""
    found: list[Mask] = list(walk(site.args, Mask))
    if found:
        if site.layer.kind in VIEWS:
            return found[0]
        raise site.config.error(
            f"it reads the padding mask '{found[0].name}' as data",
            "pass the mask to attention or pooling alone",
            "E114",
        )
    value = apply(site)
    shape = site.shape(value)
    if len(shape) > 1 and value not in site.masks:
        carried = [v for v in site.tensors if site.shape(v)[0] == shape[0]]
        mask = site.mask_of(*carried)
        if mask is not None:
            site.masks[value] = mask
    return Tensor(value)


def given_mask(site: Site, *names: str) -> Mask | None:
    """Return the padding mask among a call's arguments; E114 for anything else there."""
    found: set[Mask] = set()
    for name in names:
        value: Any = site.argument(name)
        if value is None:
            continue
        if not isinstance(value, Mask):
            raise site.config.error(
                f"its '{name}' is computed by the network",
                "pass a model input of shape (tokens,), or use a Masking layer",
                "E114",
            )
        found.add(value)
    if len(found) > 1:
        raise site.config.error("it has several padding masks", "use one mask", "E114")
    return found.pop() if found else None


@reads("Masking")
def masking(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """``x`` with masked tokens zeroed; starts a padding mask on a model input."""
    value = layer.config.number("mask_value", 0.0)

    def apply(site: Site) -> str:
        x = site.one()
        mask = start_mask(site, x)
        if value == 0.0:
            site.masks[x] = mask
            return x
        result = site.add(Mul(), x, site.mask_value(mask))
        site.masks[result] = mask
        return result

    return apply


def start_mask(site: Site, x: str) -> Mask:
    """Mask ``<layer>/mask`` on a model input; E114 on anything else."""
    if x not in site.inputs:
        raise site.config.error("it masks what the network computes", "mask a model input", "E114")
    return Mask(f"{site.layer.name}/mask", x)
