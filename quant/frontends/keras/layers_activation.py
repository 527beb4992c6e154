"""Activation layers, and layers that are the identity at inference."""

from __future__ import annotations

from math import inf

from gateformer.quant.expand import Elementwise, Softmax
from gateformer.quant.frontends.keras.activation import read_activation
from gateformer.quant.frontends.keras.blueprint import LayerConfig
from gateformer.quant.frontends.keras.site import Apply, Site, reads
from gateformer.quant.frontends.keras.weights import LayerWeights

OPERATIONS = {
    "Elu": "elu",
    "Exp": "exp",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
}
"""Operations of Keras 3 (``keras.ops``) that are an elementwise function."""


def _function(name: str, **parameters: float) -> Apply:
    op = Elementwise(name, tuple(parameters.items()))
    return lambda site: site.add(op, site.one())


@reads("Activation", "QActivation")
def activation(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """A named activation, or a quantizer of QKeras."""
    found = read_activation(layer)

    def apply(site: Site) -> str:
        return found.add(site, site.one()) if found.add is not None else site.one()

    return apply


@reads("ReLU", "Relu", "Relu6")
def relu(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Rectifier with a bound, a slope below and a threshold."""
    config = layer.config
    bound = config.get("max_value", 6.0 if layer.kind == "Relu6" else None)
    values = {
        "max_value": inf if bound is None else config.number("max_value", 6.0),
        "negative_slope": config.number("negative_slope", 0.0),
        "threshold": config.number("threshold", 0.0),
    }
    plain = {"max_value": inf, "negative_slope": 0.0, "threshold": 0.0}
    return _function("relu", **{k: v for k, v in values.items() if v != plain[k]})


@reads("LeakyReLU", "LeakyRelu")
def leaky_relu(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Rectifier with a slope below zero; Keras 2 calls it ``alpha``."""
    key = "alpha" if "alpha" in layer.config else "negative_slope"
    default = 0.3 if layer.kind == "LeakyReLU" else 0.2
    return _function("leaky_relu", alpha=layer.config.number(key, default))


@reads("ELU")
def elu(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Exponential linear unit."""
    return _function("elu", alpha=layer.config.number("alpha", 1.0))


@reads("Gelu")
def gelu(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """GELU, exact or by tanh."""
    return _function("gelu_tanh" if layer.config.flag("approximate", True) else "gelu")


@reads(*OPERATIONS)
def operation(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """An operation of Keras 3 by its class."""
    return _function(OPERATIONS[layer.kind])


@reads("Softmax", "QSoftmax")
def softmax(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Softmax over the last axis."""
    config = layer.config
    axes = config.integers("axis") if config.get("axis") is not None else (-1,)

    def apply(site: Site) -> str:
        x = site.one()
        if site.argument("mask") is not None or x in site.masks:
            raise config.unsupported("a softmax with a mask", "use attention's own mask")
        if axes not in ((-1,), (len(site.shape(x)),)):
            raise config.unsupported(f"softmax over axes {axes}", "use axis=-1")
        return site.add(Softmax(), x)

    return apply


@reads(
    "Dropout",
    "SpatialDropout1D",
    "GaussianDropout",
    "GaussianNoise",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
)
def identity(layer: LayerConfig, weights: LayerWeights) -> Apply:
    """Nothing at inference: the input's value goes on under its own name."""
    return lambda site: site.one()
