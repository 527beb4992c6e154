"""Flatten, Reshape, Permute and pooling over tokens."""

from __future__ import annotations

from math import prod
from typing import Literal

from gateformer.quant.expand import Pool
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.layers_mask import given_mask
from gateformer.quant.frontends.keras.site import Apply, Site, reads
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.ops.layout import Reshape, Transpose


@reads("Flatten")
def flatten(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """All tokens in one vector."""

    def apply(site: Site) -> str:
        x = site.one()
        shape = site.shape(x)
        return x if len(shape) == 1 else site.add(Reshape((prod(shape),)), x)

    return apply


@reads("Reshape")
def reshape(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Another shape of the same elements; one size may be -1."""
    target = layer.config.integers("target_shape" if "target_shape" in layer.config else "newshape")
    if target.count(-1) > 1 or any(n < 1 and n != -1 for n in target) or not target:
        raise layer.config.error(f"its target_shape is {target}")

    def apply(site: Site) -> str:
        x = site.one()
        shape = site.shape(x)
        rest = prod(n for n in target if n != -1)
        return site.add(Reshape(tuple(prod(shape) // rest if n == -1 else n for n in target)), x)

    return apply


@reads("Permute")
def permute(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Axes in another order; Keras counts them from 1."""
    order = tuple(axis - 1 for axis in layer.config.integers("dims"))
    if sorted(order) != list(range(len(order))):
        raise layer.config.error(f"its dims are {layer.config['dims']}, not an order of axes")

    def apply(site: Site) -> str:
        x = site.one()
        if order == tuple(range(len(order))):
            return x
        if order[0] != 0:
            raise layer.config.unsupported(
                "it moves the token axis", "permute features alone (dims starting with 1)"
            )
        return site.add(Transpose(order), x)

    return apply


@reads("GlobalAveragePooling1D", "GlobalMaxPooling1D")
def pool(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Mean or maximum over tokens; the mean leaves padded tokens out."""
    config = layer.config
    kind: Literal["mean", "max"] = "mean" if "Average" in layer.kind else "max"
    if config.get("data_format", "channels_last") != "channels_last":
        raise config.unsupported("its data_format is channels_first", "use channels_last")
    keep = config.flag("keepdims")

    def apply(site: Site) -> str:
        x = site.one()
        if len(site.rows(x)) != 2:
            raise config.error("its input is one vector", "give it (tokens, features)", "E112")
        mask = given_mask(site, site.shape(x)[0], "mask")
        if kind == "mean":
            mask = mask or site.mask_of(x)
        op = Pool(kind, mask is not None)
        inputs = (x,) if mask is None else (x, site.mask_value(mask))
        if not keep:
            return site.add(op, *inputs)
        pooled = site.add(op, *inputs, point="pooled")
        return site.add(Reshape((1, *site.shape(pooled))), pooled)

    return apply
