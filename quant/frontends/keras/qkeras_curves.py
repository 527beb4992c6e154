"""Quantizers over a curve, and to powers of two."""

from __future__ import annotations

from math import inf, log2

import numpy as np

from gateformer.quant.expand import Quantize
from gateformer.quant.frontends.keras.qkeras_arguments import exponent, read_bits, read_integer
from gateformer.quant.frontends.keras.qkeras_meaning import (
    Built,
    Meaning,
    Named,
    Uniform,
    unsupported,
)
from gateformer.quant.frontends.keras.site import Site
from gateformer.quant.frontends.plain_json import Config, shorten
from gateformer.quant.ops.cast import Constant, Rescale
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.types import Fixed, Overflow


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
