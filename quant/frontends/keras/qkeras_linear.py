"""Quantizers with uniform steps: quantized_bits, quantized_linear, quantized_relu; and signs."""

from __future__ import annotations

from math import inf

import numpy as np

from gateformer.quant.expand import Elementwise, Quantize
from gateformer.quant.frontends.keras import qkeras_weights
from gateformer.quant.frontends.keras.qkeras_arguments import (
    alpha_of,
    exponent,
    read_bits,
    read_integer,
)
from gateformer.quant.frontends.keras.qkeras_meaning import (
    Built,
    Computed,
    Meaning,
    Named,
    Uniform,
    unsupported,
)
from gateformer.quant.frontends.keras.site import Site
from gateformer.quant.frontends.plain_json import Config
from gateformer.quant.ops.cast import Constant, Rescale
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.types import Fixed, Overflow, Rounding

SIGN = Quantize(Fixed(True, 1, 0), Rounding.TRN, Overflow.SAT)
"""-1 below zero, else 0: the sign bit alone."""


def quantized_bits(config: Config, trainable: bool) -> Meaning:
    """``bits`` in all with ``integer`` before the point, the sign apart."""
    bits, integer = read_bits(config), read_integer(config)
    signed = config.flag("keep_negative", True)
    symmetric = config.flag("symmetric") and signed
    alpha = alpha_of(config, trainable)
    if isinstance(alpha, str):
        if bits < 2 or not signed or config.get("scale_axis") is not None:
            cause = f"alpha is {alpha!r} on 1 bit, without a sign, or along another axis"
            raise unsupported(config, cause, "use alpha=1")
        po2 = alpha == "auto_po2"
        return Computed(config, lambda w: qkeras_weights.bits_auto(w, bits, integer, po2))
    if signed and bits == 1:
        return _sign(alpha, zero_one=False)
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


def binary(config: Config, trainable: bool) -> Meaning:
    """Sign, 0 counting as positive; ``use_01`` gives 0 and 1."""
    zero_one = config.flag("use_01")
    alpha = alpha_of(config, trainable)
    if isinstance(alpha, str):
        po2 = alpha == "auto_po2"
        return Computed(config, lambda w: qkeras_weights.binary_auto(w, zero_one, po2))
    return _sign(alpha, zero_one)


def ternary(config: Config, trainable: bool) -> Meaning:
    """Sign, or 0 below a threshold."""
    alpha = alpha_of(config, trainable)
    if isinstance(alpha, str):
        unrolls, po2 = config.integer("number_of_unrolls", 5, 1), alpha == "auto_po2"
        if unrolls > 100:
            raise unsupported(config, f"number_of_unrolls is {unrolls}", "use 5")
        return Computed(config, lambda w: qkeras_weights.ternary_auto(w, unrolls, po2))
    threshold = 0.33 if config.get("threshold") is None else config.number("threshold")
    if not 0 < threshold < 1 << 20:
        raise unsupported(config, f"threshold is {threshold:g}", "use a positive threshold")
    raw, frac = dyadic_scalar(float(np.float32(threshold)))
    named = Named("ternary", (("threshold", threshold), ("scale", 2.0**alpha)))

    def build(site: Site, x: str) -> str:
        ones = np.ones((1,) * len(site.shape(x)), np.int64)
        limit = site.add(Constant(raw * ones, frac), point="limit")
        lower = site.add(Constant(-raw * ones, frac), point="lower")
        above = site.add(Add(subtract=True), x, limit, point="above")
        below = site.add(Add(subtract=True), lower, x, point="below")
        signs = [
            site.add(SIGN, v, point=f"{n}_sign") for v, n in ((above, "above"), (below, "below"))
        ]
        if alpha == 0:
            return site.add(Add(subtract=True), *signs)
        return site.add(Rescale(alpha), site.add(Add(subtract=True), *signs, point="signs"))

    return Built(named, build)


def _sign(power: int, zero_one: bool) -> Meaning:
    """``2^power`` from 0 on; below, its negative, or 0."""
    high = 2.0**power
    named = Named("step", (("low", 0.0 if zero_one else -high), ("high", high)))

    def build(site: Site, x: str) -> str:
        sign = site.add(SIGN, x, point="sign")
        span = site.add(Rescale(power + (not zero_one)), sign, point="span")
        top = np.ones((1,) * len(site.shape(x)), np.int64)
        return site.add(Add(), span, site.add(Constant(top, -power), point="top"))

    return Built(named, build)


def dyadic_scalar(value: float) -> tuple[int, int]:
    """A float as ``raw x 2^-frac``, exactly."""
    raw, over = value.as_integer_ratio()
    return raw, over.bit_length() - 1
