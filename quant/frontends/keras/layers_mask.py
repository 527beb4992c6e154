"""Padding masks: where they come from, and with which values they travel.

A padding mask is one bit a token, supplied by the host as a graph input of its own. It is
either a model input that only mask arguments read, or what a ``Masking`` layer or an
``Embedding(mask_zero=True)`` on a model input would compute, called ``<layer>/mask``.
Rows of padded tokens are computed as any other and must be masked where they are pooled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from gateformer.quant.errors import ModelError
from gateformer.quant.frontends.keras import mask_views
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.references import walk
from gateformer.quant.frontends.keras.site import Apply, Mask, Site, Tensor, reads
from gateformer.quant.frontends.keras.topology import Slot, Topology
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.ops.base import Shape
from gateformer.quant.ops.elementwise import Mul

MASK_ARGUMENTS = frozenset({"mask", "attention_mask", "query_mask", "key_mask", "value_mask"})


def mask_inputs(topology: Topology, shapes: Mapping[str, Shape]) -> dict[Slot, Mask]:
    """Model inputs that only mask arguments read, directly or through views of them."""
    origin = {slot: (slot, shapes[layer.name]) for layer, slot in topology.inputs}
    roots = {slot: {layer.name: True} for layer, slot in topology.inputs}
    data: set[Slot] = set(topology.outputs)
    masked: dict[Slot, dict[str, bool]] = {}
    for call in topology.calls:
        masks = {
            slot
            for name, value in call.kwargs.items()
            if name in MASK_ARGUMENTS
            for slot in walk(value, Slot)
        }
        others = [s for s in walk((call.args, call.kwargs), Slot) if s not in masks]
        roots[call.output] = {name: True for s in others for name in roots[s]}
        for slot in (origin[s][0] for s in masks if s in origin):
            masked.setdefault(slot, {}).update(roots[others[-1]] if others else {})
        if len(others) == 1 and others[0] in origin and call.layer.kind in mask_views.KINDS:
            slot, shape = origin[others[0]]
            seen = mask_views.view(call.layer.kind, call.layer.config, call, shape)
            if seen is not None:
                origin[call.output] = slot, seen
                continue
        data |= {origin[s][0] for s in others if s in origin}
    pure = {layer.name: slot for layer, slot in topology.inputs if slot in masked.keys() - data}
    found: dict[Slot, Mask] = {}
    for name, slot in pure.items():
        tokens = prod(shapes[name])
        owners = [n for n in masked[slot] if n not in pure and shapes[n][0] == tokens]
        if not owners:
            raise ModelError(
                "E114",
                "unsupported connection between layers",
                layer=name,
                cause=f"it masks {tokens} tokens, and no input that it meets has as many",
                fix="give the mask the shape (tokens,) of the input that it masks",
            )
        found[slot] = Mask(name, owners[0], shapes[name])
    return found


def applied(site: Site, apply: Apply) -> Tensor | Mask:
    """Apply a call and let its inputs' padding mask travel on with tokens."""
    found: list[Mask] = list(walk(site.args, Mask))
    if found:
        seen = mask_views.view(site.layer.kind, site.config, site, found[0].shape)
        if seen is not None and len(found) == 1:
            return replace(found[0], shape=seen)
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


def given_mask(site: Site, tokens: int, *names: str) -> Mask | None:
    """Return the padding mask of keys among a call's arguments; E114 for anything else there."""
    found: set[Mask] = set()
    for name in names:
        value: Any = site.argument(name)
        if value is None:
            continue
        shape = (1, tokens) if name == "attention_mask" else (tokens,)
        if not isinstance(value, Mask) or value.shape != shape:
            raise site.config.error(
                f"its '{name}' is no padding mask of its {tokens} tokens",
                f"pass a model input of shape ({tokens},), for attention as (1, {tokens})"
                " through a Reshape, or use a Masking layer",
                "E114",
            )
        found.add(replace(value, shape=(tokens,)))
    if len(found) > 1:
        raise site.config.error("it has several padding masks", "use one mask", "E114")
    return found.pop() if found else None


@reads(*(mask_views.KINDS - {"Reshape", "TFOpLambda"}))
def mask_view(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """New axes and casts; of padding masks alone."""

    def apply(site: Site) -> str:
        raise layer.config.unsupported("it is read for padding masks alone", "use a Reshape layer")

    return apply


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
    return Mask(f"{site.layer.name}/mask", x, site.shape(x)[:1])
