"""Arguments that several quantizers take, checked and bounded."""

from __future__ import annotations

from math import frexp

from gateformer.quant.frontends.keras.qkeras_meaning import no_power, unsupported
from gateformer.quant.frontends.plain_json import Config

MAX_BITS = 32


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
