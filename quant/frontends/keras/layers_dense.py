"""Dense, QDense, EinsumDense and Embedding."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from gateformer.quant.expand import Embedding, Linear
from gateformer.quant.frontends.keras.activation import read_activation
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.layers_mask import start_mask
from gateformer.quant.frontends.keras.qkeras import weight_quantizer
from gateformer.quant.frontends.keras.site import Apply, Site, reads
from gateformer.quant.frontends.keras.weights import LayerWeights
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.types import FloatArray


@reads("Dense", "QDense")
def dense(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """``activation(x kernel + bias)`` on the last axis."""
    config = layer.config
    units = config.integer("units", least=1)
    activation = read_activation(layer)
    kernel = weights.take("kernel", (None, units), weight_quantizer(config, "kernel"))
    bias = None
    if config.flag("use_bias", True):
        bias = weights.take("bias", (units,), weight_quantizer(config, "bias"))
    op = Linear(kernel, bias, (units,))

    def apply(site: Site) -> str:
        x = site.one()
        site.rows(x)
        return activation.after(site, op, x)

    return apply


@reads("EinsumDense", "QEinsumDense")
def einsum_dense(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """A dense layer whose equation contracts features with a kernel, token by token."""
    config = layer.config
    activation = read_activation(layer)
    op, flat = einsum_linear(
        layer, weights, weight_quantizer(config, "kernel"), weight_quantizer(config, "bias")
    )
    return lambda site: activation.after(site, op, flat(site, site.one()))


def einsum_linear(
    layer: LayerConfig,
    weights: LayerWeights,
    kernel_quantizer: Callable[[FloatArray], FloatArray] | None,
    bias_quantizer: Callable[[FloatArray], FloatArray] | None,
) -> tuple[Linear, Callable[[Site, str], str]]:
    """Read the kernel and bias of an equation that is a dense layer on each token.

    Parameters
    ----------
    layer : LayerConfig
        Holds ``equation`` and ``bias_axes``.
    weights : LayerWeights
        Of the layer.
    kernel_quantizer, bias_quantizer : callable, optional
        Applied to the file's weights.

    Returns
    -------
    (Linear, callable)
        The operation, and what brings its operand to the shape that it takes.
    """
    config = layer.config
    given, left, right = _equation(layer)
    contracted = [a for a in given if a in left and a not in right]
    made = [a for a in right if a in left]
    tokens = [a for a in given[1:] if a not in left]
    fits = (
        len(set(given)) == len(given)
        and given[0] == right[0]
        and not set(contracted) & set(made)
        and not set(made) & set(given)
        and len(tokens) <= 1
        and list(given) == [given[0], *tokens, *contracted]
        and list(right) == [given[0], *tokens, *made]
        and set(left) == {*contracted, *made}
        and bool(contracted)
    )
    if not fits:
        raise config.unsupported(
            f"its equation {config.text('equation')!r} is no dense layer on each token",
            "contract trailing axes, such as 'abc,cd->abd'",
        )
    loose = "." in config.text("equation")
    kernel = weights.take("kernel", (None,) * len(left), kernel_quantizer)
    kernel = np.transpose(kernel, [left.index(a) for a in (*contracted, *made)])
    features = kernel.shape[len(contracted) :]
    bias = None
    if config.get("bias_axes"):
        axes = config.text("bias_axes")
        places = [made.index(a) for a in axes if a in made]
        if len(places) != len(axes) or places != sorted(places):
            raise config.unsupported(f"its bias_axes are {axes!r}", "give biases to features alone")
        sizes = tuple(features[p] for p in places)
        bias = weights.take("bias", sizes, bias_quantizer)
        spread = [features[p] if p in places else 1 for p in range(len(made))]
        bias = np.broadcast_to(bias.reshape(spread), features).reshape(-1)
    inner = kernel.shape[: len(contracted)]

    def flat(site: Site, x: str) -> str:
        shape = site.shape(x)
        rank = len(inner) + (len(shape) > len(inner) if loose else len(tokens))
        if len(shape) != rank or shape[-len(inner) :] != inner:
            raise config.error(
                f"its input has shape {shape}, its kernel takes {inner}", code="E112"
            )
        if len(shape) > 1 and not tokens:
            return site.add(Reshape((prod(shape),)), x, point="flat")
        return x

    return Linear(kernel.reshape(prod(inner), -1), bias, features or (1,)), flat


def _equation(layer: LayerConfig) -> tuple[str, str, str]:
    config = layer.config
    text = config.text("equation").replace(" ", "")
    given, comma, rest = text.partition(",")
    left, arrow, right = rest.partition("->")
    if given.startswith("...") and right.startswith("..."):
        batch, token = [a for a in "zyxwvutsrq" if a not in text][:2]
        given, right = batch + token + given[3:], batch + token + right[3:]
    letters = given + left + right
    if not (comma and arrow and given and right and letters.isalpha() and letters.isascii()):
        raise config.unsupported(f"its equation is {text!r}", "name every axis: 'abc,cd->abd'")
    return given, left, right


@reads("Embedding")
def embedding(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """A row of a table for each index."""
    config = layer.config
    shape = (config.integer("input_dim", least=1), config.integer("output_dim", least=1))
    op = Embedding(weights.take("embeddings", shape))
    masked = config.flag("mask_zero")

    def apply(site: Site) -> str:
        x = site.one()
        result = site.add(op, x)
        if masked:
            site.masks[result] = start_mask(site, x)
        return result

    return apply
