"""Every class of QKeras quantizers that is read: its arguments in order, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateformer.quant.frontends.keras import qkeras_curves, qkeras_linear
from gateformer.quant.frontends.keras.qkeras_meaning import Meaning
from gateformer.quant.frontends.plain_json import Config

STOCHASTIC = frozenset({"bernoulli", "stochastic_binary", "stochastic_ternary"})
"""Classes that are random in training, or always."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of quantizers: its arguments in order, and its reader (config, trainable)."""

    arguments: tuple[str, ...]
    read: Callable[[Config, bool], Meaning]


_FLAGS = "qnoise_factor var_name use_ste use_variables"
_SCALED = "bits integer symmetric keep_negative alpha use_stochastic_rounding scale_axis"
_GATED = "bits integer symmetric alpha use_stochastic_rounding scale_axis"
_RELU = "bits integer use_sigmoid negative_slope use_stochastic_rounding relu_upper_bound"
_PO2 = "use_stochastic_rounding quadratic_approximation log2_rounding"

_CLASSES: dict[str, tuple[str, Callable[[Config, bool], Meaning]]] = {
    "binary": ("use_01 alpha use_stochastic_rounding", qkeras_linear.binary),
    "quantized_bits": (f"{_SCALED} {_FLAGS}", qkeras_linear.quantized_bits),
    "quantized_hswish": (
        f"{_GATED} {_FLAGS} relu_shift relu_upper_bound",
        qkeras_curves.quantized_hswish,
    ),
    "quantized_linear": (f"{_SCALED} qnoise_factor", qkeras_linear.quantized_linear),
    "quantized_po2": (f"bits max_value {_PO2} {_FLAGS}", qkeras_curves.quantized_po2),
    "quantized_relu": (f"{_RELU} is_quantized_clip {_FLAGS}", qkeras_linear.quantized_relu),
    "quantized_relu_po2": (
        f"bits max_value negative_slope {_PO2} {_FLAGS}",
        qkeras_curves.quantized_relu_po2,
    ),
    "quantized_sigmoid": (
        "bits symmetric use_real_sigmoid use_stochastic_rounding",
        qkeras_curves.quantized_sigmoid,
    ),
    "quantized_tanh": (
        "bits use_stochastic_rounding symmetric use_real_tanh",
        qkeras_curves.quantized_tanh,
    ),
    "quantized_ulaw": ("bits integer symmetric u", qkeras_curves.quantized_ulaw),
    "ternary": (
        "alpha threshold use_stochastic_rounding number_of_unrolls",
        qkeras_linear.ternary,
    ),
}

KINDS = {name: Kind(tuple(text.split()), reader) for name, (text, reader) in _CLASSES.items()}
"""Every class of quantizers that is read, by name."""
