"""Activations of one element, and nodes that are the identity at inference."""

from __future__ import annotations

from math import inf

import numpy as np

from gateformer.quant.expand import Elementwise
from gateformer.quant.frontends.onnx.curves import NAMES, PATTERN
from gateformer.quant.frontends.onnx.model import Const
from gateformer.quant.frontends.onnx.site import Result, Site, reads
from gateformer.quant.frontends.onnx.tensors import Tensor

PLAIN = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Exp": "exp",
    "Erf": "erf",
    "Abs": "absolute",
    "Mish": "mish",
    "HardSwish": "hard_silu",
}
"""Nodes without attributes -> the function."""


def _apply(site: Site, function: str, **parameters: float) -> Tensor:
    return site.apply(Elementwise(function, tuple(parameters.items())), site.tensor())


@reads(*PLAIN)
def plain(site: Site) -> Result:
    """A function by its node."""
    return _apply(site, PLAIN[site.node.kind])


@reads("LeakyRelu")
def leaky_relu(site: Site) -> Result:
    """Rectifier with a slope below zero."""
    return _apply(site, "leaky_relu", alpha=site.node.number("alpha", 0.01))


@reads("Selu")
def selu(site: Site) -> Result:
    """Scaled exponential linear unit with the usual constants alone."""
    alpha, gamma = (site.node.number(*pair) for pair in (("alpha", 1.67326), ("gamma", 1.0507)))
    if abs(alpha - 1.67326) > 1e-4 or abs(gamma - 1.0507) > 1e-4:
        raise site.node.unsupported("its constants are its own", "use the usual ones")
    return _apply(site, "selu")


@reads("ThresholdedRelu", "Celu")
def with_alpha(site: Site) -> Result:
    """A function of one parameter, 1 if left out."""
    name = "celu" if site.node.kind == "Celu" else "thresholded_relu"
    return _apply(site, name, alpha=site.node.number("alpha", 1.0))


@reads("Elu")
def elu(site: Site) -> Result:
    """Exponential linear unit."""
    return _apply(site, "elu", alpha=site.node.number("alpha", 1.0))


@reads("HardSigmoid")
def hard_sigmoid(site: Site) -> Result:
    """``clip(alpha x + beta, 0, 1)``."""
    node = site.node
    return _apply(
        site,
        "hard_sigmoid",
        slope=node.number("alpha", 0.2),
        offset=node.number("beta", 0.5),
    )


@reads("Gelu", "FastGelu", "QuickGelu", domains=("", "com.microsoft"))
def gelu(site: Site) -> Result:
    """GELU: exact, by tanh, or by a sigmoid."""
    node = site.node
    if node.kind == "QuickGelu":
        return _apply(site, "quick_gelu", alpha=node.number("alpha", 1.702))
    if site.operand(1) is not None:
        raise node.unsupported("it adds a bias", "export without graph optimizations")
    exact = node.kind == "Gelu" and node.text("approximate", "none") == "none"
    return _apply(site, "gelu" if exact else "gelu_tanh")


@reads("Max", "Min")
def bound(site: Site) -> Result:
    """One bound, which must be one number."""
    node = site.node
    numbers = [x.reals for x in site.operands if isinstance(x, Const)]
    if len(site.operands) != 2 or len(numbers) != 1 or numbers[0].size != 1:
        raise node.unsupported("it compares computed tensors", "compare with one number")
    tensor = next(x for x in site.operands if isinstance(x, Tensor))
    number = float(numbers[0].reshape(-1)[0])
    return _between(site, tensor, *((number, inf) if node.kind == "Max" else (-inf, number)))


@reads("Clip")
def clip(site: Site) -> Result:
    """Between two bounds; from zero on it is a bounded ReLU."""
    node = site.node
    bounds = []
    for place, key, default in ((1, "min", -inf), (2, "max", inf)):
        found = site.const(place)
        value = node.attributes.get(key, default) if found is None else found.reals.ravel()[0]
        bounds.append(float(value))
    return _between(site, site.tensor(), *bounds)


def _between(site: Site, tensor: Tensor, low: float, high: float) -> Tensor:
    if np.isnan(low) or np.isnan(high) or low > high:
        raise site.node.error(f"its bounds are {low} and {high}")
    if low == 0.0:
        held = (("max_value", high),) if high < inf else ()
        return site.apply(Elementwise("relu", held), tensor)
    return site.apply(Elementwise("clip", (("low", low), ("high", high))), tensor)


FLOATS = (1, 10, 11, 16)
"""TensorProto.DataType of float, float16, double and bfloat16."""


@reads("Identity", "Dropout", "Cast", "CastLike")
def identity(site: Site) -> Result:
    """The input's value goes on under its own name."""
    node = site.node
    if node.kind == "Cast" and node.integer("to") not in FLOATS:
        raise node.unsupported("it casts a computed tensor to integers", "quantize it")
    if node.kind == "Dropout" and (training := site.const(2)) is not None and training.array.any():
        raise node.unsupported("it is in training mode", "export with model.eval()")
    return site.tensor()


@reads(*NAMES, domains=(PATTERN,))
def curve(site: Site) -> Result:
    """An activation that the file spells out."""
    return _apply(site, site.node.kind)
