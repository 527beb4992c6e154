"""One reader a class of QKeras quantizers, and the three meanings that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import frexp, inf, log2
from typing import Protocol

import numpy as np

from gateformer.quant.errors import ModelError
from gateformer.quant.expand import Elementwise, Quantize
from gateformer.quant.expand.functions import FUNCTIONS
from gateformer.quant.frontends.keras import qkeras_weights
from gateformer.quant.frontends.keras.site import Site
from gateformer.quant.frontends.plain_json import Config, shorten
from gateformer.quant.ops.cast import Constant, Rescale
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding

STOCHASTIC = frozenset({"bernoulli", "stochastic_binary", "stochastic_ternary"})
MAX_BITS = 32
PIN_BITS = 40
"""Widest grid of values to which a non-uniform quantizer's result is held."""


class Meaning(Protocol):
    """What a quantizer does to weights, and how it is added to a graph."""

    def weights(self, w: FloatArray) -> FloatArray:
        """Quantized weights."""

    def add(self, site: Site, x: str) -> str:
        """Append the quantizer; returns its result."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Round half to even to a type, clip, times ``2^power``."""

    type: Fixed
    overflow: Overflow
    power: int = 0

    def weights(self, w: FloatArray) -> FloatArray:
        """Quantized weights."""
        raw = self.type.from_real(w, Rounding.RND_CONV, self.overflow)
        return np.ldexp(self.type.to_real(raw), self.power)

    def add(self, site: Site, x: str) -> str:
        """Append a Quantize, and a Rescale where there is a scale."""
        op = Quantize(self.type, Rounding.RND_CONV, self.overflow)
        if self.power == 0:
            return site.add(op, x)
        return site.add(Rescale(self.power), site.add(op, x, point="steps"))


@dataclass(frozen=True, slots=True)
class Named:
    """A function by name; ``grid`` holds all of its values where a type can."""

    function: str
    parameters: tuple[tuple[str, float], ...]
    grid: Fixed | None = None

    def weights(self, w: FloatArray) -> FloatArray:
        """Quantized weights."""
        return FUNCTIONS[self.function](w, **dict(self.parameters))

    def add(self, site: Site, x: str) -> str:
        """Append an Elementwise, and a Quantize that loses nothing but gives the type."""
        op = Elementwise(self.function, self.parameters)
        if self.grid is None or self.grid.width > PIN_BITS:
            return site.add(op, x)
        return site.add(Quantize(self.grid), site.add(op, x, point=self.function))


@dataclass(frozen=True, slots=True)
class Built:
    """Activations by a few exact nodes; weights by a function equal to them."""

    named: Named
    build: Callable[[Site, str], str]

    def weights(self, w: FloatArray) -> FloatArray:
        """Quantized weights."""
        return self.named.weights(w)

    def add(self, site: Site, x: str) -> str:
        """Append the nodes."""
        return self.build(site, x)


@dataclass(frozen=True, slots=True)
class Computed:
    """Values under scales computed from the weights themselves."""

    config: Config
    values: Callable[[FloatArray], tuple[FloatArray, FloatArray]]

    def weights(self, w: FloatArray) -> FloatArray:
        """Quantized weights; E208 where a scale is no power of two."""
        found, scales = self.values(w)
        for scale in np.unique(scales):
            if not scale > 0 or frexp(scale)[0] != 0.5:
                raise no_power(self.config, float(scale))
        return found

    def add(self, site: Site, x: str) -> str:
        """Refuse activations, whose scale would change with every batch."""
        raise unsupported(
            self.config, f"alpha is {self.config['alpha']!r} on activations", "use alpha=1"
        )


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of quantizers: its arguments in order, and its reader (config, trainable)."""

    arguments: tuple[str, ...]
    read: Callable[[Config, bool], Meaning]


def unsupported(config: Config, cause: str, fix: str) -> ModelError:
    """E109 about a layer's quantizer."""
    return ModelError(
        "E109", "unsupported quantizer", layer=config.layer, kind=config.kind, cause=cause, fix=fix
    )


def no_power(config: Config, scale: float) -> ModelError:
    """E208: a scale that hardware would have to multiply by."""
    return ModelError(
        "E208",
        "scale is not a power of two",
        layer=config.layer,
        kind=config.kind,
        cause=f"alpha={config.get('alpha')!r} gives a scale of {scale:.6g}",
        fix="train with alpha=1 or alpha='auto_po2'",
    )


def read_bits(config: Config, least: int = 1) -> int:
    """``bits``, bounded."""
    bits = config.integer("bits", 8, least)
    if bits > MAX_BITS:
        raise unsupported(config, f"bits is {bits}", f"use at most {MAX_BITS} bits")
    return bits


def read_integer(config: Config) -> int:
    """``integer``, bounded."""
    integer = config.integer("integer", 0, -MAX_BITS)
    if integer > MAX_BITS:
        raise unsupported(config, f"integer is {integer}", f"use at most {MAX_BITS}")
    return integer


def exponent(config: Config, key: str, scale: float) -> int:
    """Base-2 logarithm of a scale; E208 where it is no integer."""
    if not scale > 0 or frexp(scale)[0] != 0.5:
        error = no_power(config, scale)
        error.cause = f"'{key}' is {scale:.6g}"
        raise error
    return frexp(scale)[1] - 1


def alpha_of(config: Config, trainable: bool) -> str | int:
    """``auto`` or ``auto_po2``, or the exponent of a fixed scale."""
    alpha = config.get("alpha")
    if alpha is None:
        return "auto_po2" if trainable else 0
    if alpha in ("auto", "auto_po2"):
        return str(alpha)
    return exponent(config, "alpha", config.number("alpha"))


def quantized_bits(config: Config, trainable: bool) -> Meaning:
    """``bits`` in all with ``integer`` before the point, the sign apart."""
    bits, integer = read_bits(config), read_integer(config)
    signed = config.flag("keep_negative", True)
    symmetric = config.flag("symmetric") and signed
    alpha = alpha_of(config, trainable)
    if isinstance(alpha, str):
        if bits < 2 or not signed:
            raise unsupported(config, f"alpha is {alpha!r} with {bits} bits", "use alpha=1")
        po2 = alpha == "auto_po2"
        return Computed(config, lambda w: qkeras_weights.bits_auto(w, bits, integer, po2))
    if signed and bits == 1:
        return Named("step", (("low", -(2.0**alpha)), ("high", 2.0**alpha)))
    kind = Fixed(signed, bits, bits - signed - integer)
    return Uniform(kind, Overflow.SAT_SYM if symmetric else Overflow.SAT, alpha)


def quantized_linear(config: Config, trainable: bool) -> Meaning:
    """As quantized_bits with a fixed scale; symmetric by default."""
    values = {"symmetric": 1, **config}
    if isinstance(values.get("alpha"), str):
        raise unsupported(config, f"alpha is {values['alpha']!r}", "use alpha=1")
    return quantized_bits(Config(values, config.layer, config.kind), False)


def quantized_relu(config: Config, trainable: bool) -> Meaning:
    """Rectifier to unsigned ``bits``; with a negative slope one bit is the sign's."""
    bits, integer = read_bits(config), read_integer(config)
    slope = config.number("negative_slope", 0.0)
    sigmoid = config.flag("use_sigmoid")
    bound = inf
    if not config.flag("is_quantized_clip", True) and config.get("relu_upper_bound"):
        bound = config.number("relu_upper_bound")
    if slope:
        if sigmoid or bound < inf:
            raise unsupported(config, "negative_slope beside a sigmoid or bound", "use one of them")
        return _leaky(config, bits - 1, integer, exponent(config, "negative_slope", slope))
    positive = Fixed(False, bits, bits - integer)
    if not sigmoid and bound >= positive.to_real(np.array(positive.max)):
        return Uniform(positive, Overflow.SAT)
    parameters = (("bits", bits), ("integer", integer), ("use_sigmoid", sigmoid), ("bound", bound))
    grid = positive if bound == inf or np.ldexp(bound, positive.frac) % 1 == 0 else None
    return Named("quantized_relu", parameters, grid)


def _leaky(config: Config, bits: int, integer: int, power: int) -> Meaning:
    if bits < 1 or bits + power < 0 or power > 0:
        raise unsupported(
            config,
            f"negative_slope is 2^{power} with {bits + 1} bits",
            "use a slope of 2^-1 to 2^(1-bits)",
        )
    frac = bits - integer
    up, down = Fixed(False, bits, frac), Fixed(True, bits + power + 1, frac)

    def build(site: Site, x: str) -> str:
        positive = site.add(Quantize(up), x, point="positive")
        above = site.add(Elementwise("relu"), x, point="above")
        below = site.add(Add(subtract=True), x, above, point="below")
        scaled = site.add(Rescale(power), below, point="sloped")
        return site.add(Add(), positive, site.add(Quantize(down), scaled, point="negative"))

    slope = (("bits", bits), ("integer", integer), ("power", power))
    return Built(Named("quantized_leaky_relu", slope), build)


def quantized_tanh(config: Config, trainable: bool) -> Meaning:
    """Hard tanh (clipping) or, with ``use_real_tanh``, tanh, to ``bits`` bits within -1..1."""
    bits = read_bits(config, 2)
    kind, symmetric = Fixed(True, bits, bits - 1), config.flag("symmetric")
    if not config.flag("use_real_tanh"):
        return Uniform(kind, Overflow.SAT_SYM if symmetric else Overflow.SAT)
    return Named("quantized_tanh", (("bits", bits), ("symmetric", symmetric)), kind)


def quantized_sigmoid(config: Config, trainable: bool) -> Meaning:
    """``x / 2 + 1 / 2`` or, with ``use_real_sigmoid``, sigmoid, to ``bits`` bits within 0..1."""
    bits = read_bits(config)
    kind, symmetric = Fixed(False, bits, bits), config.flag("symmetric")
    real = config.flag("use_real_sigmoid")
    named = Named(
        "quantized_sigmoid", (("bits", bits), ("symmetric", symmetric), ("real", real)), kind
    )
    if real or symmetric:
        return named

    def build(site: Site, x: str) -> str:
        half = site.add(Rescale(-1), x, point="half")
        ones = np.ones((1,) * len(site.shape(x)), np.int64)
        offset = site.add(Constant(ones, 1), point="offset")
        return site.add(Quantize(kind), site.add(Add(), half, offset, point="line"))

    return Built(named, build)


def quantized_ulaw(config: Config, trainable: bool) -> Meaning:
    """Mu-law companding; its values lie on no grid."""
    bits, integer = read_bits(config, 2), read_integer(config)
    u = config.number("u", 255.0)
    if u <= 0:
        raise unsupported(config, f"u is {u}", "use u=255")
    symmetric = config.flag("symmetric")
    return Named(
        "quantized_ulaw",
        (("bits", bits), ("integer", integer), ("symmetric", symmetric), ("u", u)),
    )


def quantized_hswish(config: Config, trainable: bool) -> Meaning:
    """Hard swish, then ``quantized_bits`` with a scale of 1."""
    bits, integer = read_bits(config, 2), read_integer(config)
    if config.get("alpha") not in (None, 1):
        raise unsupported(config, f"alpha is {config['alpha']!r}", "use alpha=1")
    bound = config.number("relu_upper_bound", 6)
    if bound <= 0:
        raise unsupported(config, f"relu_upper_bound is {bound}", "use a positive bound")
    parameters = (
        ("bits", bits),
        ("integer", integer),
        ("symmetric", config.flag("symmetric")),
        ("shift", config.number("relu_shift", 3)),
        ("bound", bound),
    )
    return Named("quantized_hswish", parameters, Fixed(True, bits, bits - 1 - integer))


def binary(config: Config, trainable: bool) -> Meaning:
    """Sign, 0 counting as positive; ``use_01`` gives 0 and 1."""
    zero_one = config.flag("use_01")
    alpha = alpha_of(config, trainable)
    if isinstance(alpha, str):
        po2 = alpha == "auto_po2"
        return Computed(config, lambda w: qkeras_weights.binary_auto(w, zero_one, po2))
    return Named("step", (("low", 0.0 if zero_one else -(2.0**alpha)), ("high", 2.0**alpha)))


def ternary(config: Config, trainable: bool) -> Meaning:
    """Sign, or 0 below a threshold."""
    alpha = alpha_of(config, trainable)
    if isinstance(alpha, str):
        unrolls, po2 = config.integer("number_of_unrolls", 5, 1), alpha == "auto_po2"
        if unrolls > 100:
            raise unsupported(config, f"number_of_unrolls is {unrolls}", "use 5")
        return Computed(config, lambda w: qkeras_weights.ternary_auto(w, unrolls, po2))
    threshold = 0.33 if config.get("threshold") is None else config.number("threshold")
    parameters = (("threshold", threshold), ("scale", 2.0**alpha))
    return Named("ternary", parameters, Fixed(True, 2, -alpha))


def quantized_po2(config: Config, trainable: bool) -> Meaning:
    """Sign and a power of two."""
    bits, parameters, low, high = _po2(config, 1)
    return Named(
        "quantized_po2", parameters, Fixed(True, high - low + 2, -low) if bits < 6 else None
    )


def quantized_relu_po2(config: Config, trainable: bool) -> Meaning:
    """A power of two, never zero; with ``negative_slope`` also negative ones."""
    bits, parameters, low, high = _po2(config, 0)
    slope = config.number("negative_slope", 0.0)
    if slope:
        exponent(config, "negative_slope", slope)
        parameters += (("slope", slope),)
    signed = bool(slope)
    grid = Fixed(signed, high - low + 1 + signed, -low) if bits < 6 else None
    return Named("quantized_relu_po2", parameters, grid)


def _po2(config: Config, sign: int) -> tuple[int, tuple[tuple[str, float], ...], int, int]:
    """Bits, parameters, and the exponents between which values lie."""
    bits = read_bits(config, 1 + sign)
    if bits > 8:
        raise unsupported(config, f"{bits} bits hold exponents of over 128", "use at most 8 bits")
    limit = inf
    if config.get("max_value") is not None:
        limit = config.number("max_value")
        if limit <= 0:
            raise unsupported(config, f"max_value is {limit:g}", "use a positive one")
    effect = bits - sign - (limit > 1)
    if effect < 0:
        raise unsupported(config, f"{bits} bits leave none to the exponent", "use more bits")
    low, high = -(2**effect), 2**effect - 1
    even = config.flag("quadratic_approximation")
    if even:
        high = 2 * (high // 2)
    rounding = config.text("log2_rounding", "rnd")
    if rounding not in ("rnd", "floor"):
        raise unsupported(config, f"log2_rounding is {shorten(rounding)}", "use 'rnd' or 'floor'")
    parameters = (
        ("low", low),
        ("high", high),
        ("bound", limit),
        ("even", even),
        ("floor", rounding == "floor"),
    )
    factor = 2 if even else 1
    top = high * factor
    if limit < inf:
        top = max(low, min(top, int(np.ceil(log2(limit))) + factor))
    return bits, tuple((k, float(v)) for k, v in parameters), low * factor, top


_FLAGS = ("qnoise_factor", "var_name", "use_ste", "use_variables")
KINDS: dict[str, Kind] = {
    "quantized_bits": Kind(
        (
            "bits",
            "integer",
            "symmetric",
            "keep_negative",
            "alpha",
            "use_stochastic_rounding",
            "scale_axis",
            *_FLAGS,
        ),
        quantized_bits,
    ),
    "quantized_linear": Kind(
        (
            "bits",
            "integer",
            "symmetric",
            "keep_negative",
            "alpha",
            "use_stochastic_rounding",
            "scale_axis",
            "qnoise_factor",
        ),
        quantized_linear,
    ),
    "quantized_relu": Kind(
        (
            "bits",
            "integer",
            "use_sigmoid",
            "negative_slope",
            "use_stochastic_rounding",
            "relu_upper_bound",
            "is_quantized_clip",
            *_FLAGS,
        ),
        quantized_relu,
    ),
    "quantized_tanh": Kind(
        ("bits", "use_stochastic_rounding", "symmetric", "use_real_tanh"), quantized_tanh
    ),
    "quantized_sigmoid": Kind(
        ("bits", "symmetric", "use_real_sigmoid", "use_stochastic_rounding"), quantized_sigmoid
    ),
    "quantized_ulaw": Kind(("bits", "integer", "symmetric", "u"), quantized_ulaw),
    "quantized_hswish": Kind(
        (
            "bits",
            "integer",
            "symmetric",
            "alpha",
            "use_stochastic_rounding",
            "scale_axis",
            *_FLAGS,
            "relu_shift",
            "relu_upper_bound",
        ),
        quantized_hswish,
    ),
    "quantized_po2": Kind(
        (
            "bits",
            "max_value",
            "use_stochastic_rounding",
            "quadratic_approximation",
            "log2_rounding",
            *_FLAGS,
        ),
        quantized_po2,
    ),
    "quantized_relu_po2": Kind(
        (
            "bits",
            "max_value",
            "negative_slope",
            "use_stochastic_rounding",
            "quadratic_approximation",
            "log2_rounding",
            *_FLAGS,
        ),
        quantized_relu_po2,
    ),
    "binary": Kind(("use_01", "alpha", "use_stochastic_rounding"), binary),
    "ternary": Kind(
        ("alpha", "threshold", "use_stochastic_rounding", "number_of_unrolls"), ternary
    ),
}
"""Every class of quantizers that is read."""
