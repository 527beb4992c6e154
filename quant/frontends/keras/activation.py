"""Activations by name, by configuration or as a QKeras quantizer: what follows a layer's sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateformer.quant.expand import Elementwise, Softmax
from gateformer.quant.frontends.keras.blueprint import LayerConfig, class_name
from gateformer.quant.frontends.keras.qkeras import activation_quantizer
from gateformer.quant.frontends.keras.qkeras_kinds import KINDS, STOCHASTIC
from gateformer.quant.frontends.keras.site import Site
from gateformer.quant.frontends.plain_json import shorten
from gateformer.quant.ops.base import Op

ALIASES = {
    "swish": "silu",
    "hard_swish": "hard_silu",
    "exponential": "exp",
    "quantized_softmax": "softmax",
}
"""Names of activations that are other names here. ``quantized_softmax`` is of the QKeras fork
that the authors of Ultra Fast Transformers used; it takes a list of bits: read as softmax, widths
left to calibration."""

FIXED: Mapping[str, tuple[str, tuple[tuple[str, float], ...]]] = {
    "relu6": ("relu", (("max_value", 6.0),)),
    "leaky_relu": ("leaky_relu", (("alpha", 0.2),)),
}
"""Names with parameters of their own."""

PLAIN = frozenset(
    {
        "elu",
        "exp",
        "gelu",
        "hard_sigmoid",
        "hard_silu",
        "hard_tanh",
        "leaky_relu",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softplus",
        "softsign",
        "tanh",
    }
)
"""Names of activations that are elementwise functions of the same name, or in ``FIXED``."""

QUANTIZERS = frozenset(KINDS) | STOCHASTIC

QKERAS = frozenset(
    {"smooth_sigmoid", "hard_sigmoid", "binary_sigmoid", "binary_tanh", "hard_tanh", "smooth_tanh"}
)
"""Functions of qkeras.quantizers that a Q layer may name; they shadow those of Keras."""


@dataclass(frozen=True, slots=True)
class Activation:
    """What follows a layer's sum; ``add`` is None for linear."""

    add: Callable[[Site, str], str] | None

    def after(self, site: Site, op: Op, *inputs: str) -> str:
        """Append ``op`` and the activation: ``<layer>/linear``, then ``<layer>``."""
        if self.add is None:
            return site.add(op, *inputs)
        return self.add(site, site.add(op, *inputs, point="linear"))


def read_activation(layer: LayerConfig, key: str = "activation") -> Activation:
    """Activation of a layer's configuration.

    Raises
    ------
    ModelError
        E102 for an unknown one, E103 for a malformed one, E106 for code, E109 for a quantizer.
    """
    config = layer.config
    spec = config.get(key)
    if isinstance(spec, Mapping):
        kind = class_name(spec)
        if kind == "__lambda__" or "Lambda" in kind:
            raise config.error("its activation is Python bytecode", "name a function", "E106")
        if kind == "function":
            spec = spec.get("config")
        elif kind not in QUANTIZERS:
            return named(layer, kind, None if kind in ALIASES else spec.get("config"))
    if spec is None:
        return Activation(None)
    if isinstance(spec, Mapping) or (isinstance(spec, str) and spec.split("(")[0] in QUANTIZERS):
        return Activation(activation_quantizer(config, spec))
    if not isinstance(spec, str):
        raise config.error(f"its activation is {shorten(spec)}, not a name")
    return named(layer, spec, None)


def named(layer: LayerConfig, name: str, inner: object) -> Activation:
    """Activation by its plain name."""
    name = ALIASES.get(name, name)
    if name == "linear":
        return Activation(None)
    if name == "softmax":
        return Activation(lambda site, x: site.add(Softmax(), x))
    if layer.kind.startswith("Q") and name in QKERAS:
        return elementwise(*_qkeras(name))
    if name == "hard_sigmoid" and layer.keras < 3:
        return elementwise(name, {"slope": 0.2, "offset": 0.5})
    if name not in PLAIN or inner:
        raise layer.config.unsupported(
            f"its activation is {shorten(name)}",
            f"use one of linear, softmax, {', '.join(sorted(PLAIN))}, or a QKeras quantizer",
        )
    function, parameters = FIXED.get(name, (name, ()))
    return elementwise(function, dict(parameters))


def elementwise(function: str, parameters: Mapping[str, float]) -> Activation:
    """Activation that is one elementwise function."""
    op = Elementwise(function, tuple(sorted(parameters.items())))
    return Activation(lambda site, x: site.add(op, x))


def _qkeras(name: str) -> tuple[str, Mapping[str, float]]:
    return {
        "hard_sigmoid": ("hard_sigmoid", {"slope": 0.5, "offset": 0.5}),
        "smooth_sigmoid": ("hard_sigmoid", {"slope": 0.1875, "offset": 0.5}),
        "hard_tanh": ("hard_tanh", {}),
        "smooth_tanh": ("smooth_tanh", {}),
        "binary_sigmoid": ("binary_sigmoid", {}),
        "binary_tanh": ("binary_tanh", {}),
    }[name]
