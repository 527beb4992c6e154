"""The elementwise functions of `gateformer.quant.expand.functions` in a kit's words.

Owns ``REALS`` and ``steps``. Imports the kit and types; a test holds every function here to its
definition there.
"""

# What a function computes is told where `gateformer.quant` defines it.
# ruff: noqa: D103
from __future__ import annotations

from collections.abc import Callable
from math import inf, log, pi, sqrt

from gateformer.baselines.networks.meaning import Kit, V
from gateformer.quant.expand.float32_functions import SINGLE
from gateformer.quant.types import Fixed, Overflow, Rounding

REALS: dict[str, Callable[..., V]] = {}
"""Name -> ``f(kit, x, **parameters)``."""
EPSILON = 1e-7
"""keras.backend.epsilon(), as in `gateformer.quant.expand.qkeras_functions`."""


def real(body: Callable[..., V]) -> Callable[..., V]:
    """Register a function under its name."""
    REALS[body.__name__.rstrip("_")] = body
    return body


def clip(kit: Kit, x: V, low: float, high: float) -> V:
    """Return x held between two numbers."""
    held = x if low == -inf else kit.maximum(x, low)
    return held if high == inf else kit.minimum(held, high)


def _direct(name: str) -> None:
    REALS[name] = lambda kit, x: kit.unary(name, x)


for _name in ("gelu", "gelu_tanh", "sigmoid", "tanh"):
    _direct(_name)


@real
def identity(kit: Kit, x: V) -> V:
    return x


@real
def relu(
    kit: Kit, x: V, negative_slope: float = 0.0, max_value: float = inf, threshold: float = 0.0
) -> V:
    if not (negative_slope or threshold):
        return clip(kit, x, 0.0, max_value)
    below = (x - threshold) * negative_slope
    return kit.where(kit.at_least(x, threshold), clip(kit, x, -inf, max_value), below)


@real
def leaky_relu(kit: Kit, x: V, alpha: float = 0.2) -> V:
    return kit.where(kit.at_least(x, 0.0), x, x * alpha)


@real
def silu(kit: Kit, x: V) -> V:
    return x * kit.unary("sigmoid", x)


@real
def hard_sigmoid(kit: Kit, x: V, slope: float = 1.0 / 6.0, offset: float = 0.5) -> V:
    return clip(kit, x * slope + offset, 0.0, 1.0)


@real
def hard_tanh(kit: Kit, x: V) -> V:
    return clip(kit, x, -1.0, 1.0)


@real
def softplus(kit: Kit, x: V) -> V:
    small = kit.unary("exp", kit.unary("abs", x) * -1.0)
    return kit.maximum(x, 0.0) + kit.unary("log", small + 1.0)


@real
def softsign(kit: Kit, x: V) -> V:
    return x / (kit.unary("abs", x) + 1.0)


@real
def absolute(kit: Kit, x: V) -> V:
    return kit.unary("abs", x)


@real
def erf(kit: Kit, x: V) -> V:
    """By ``gelu(z) = z (1 + erf(z / sqrt(2))) / 2``; near zero ``2 x / sqrt(pi)`` is as near."""
    z = x * sqrt(2.0)
    small = kit.at_least(1e-3, kit.unary("abs", x))
    safe = kit.where(small, 1.0, z)
    return kit.where(small, x * (2.0 / sqrt(pi)), kit.unary("gelu", safe) * 2.0 / safe - 1.0)


@real
def quick_gelu(kit: Kit, x: V, alpha: float = 1.702) -> V:
    return x * kit.unary("sigmoid", x * alpha)


@real
def thresholded_relu(kit: Kit, x: V, alpha: float = 1.0) -> V:
    return kit.where(kit.at_least(alpha, x), 0.0, x)


@real
def celu(kit: Kit, x: V, alpha: float = 1.0) -> V:
    return elu(kit, x * (1.0 / alpha)) * alpha


def exp_float32(kit: Kit, x: V, factor: float = 1.0) -> V:
    return kit.unary("exp", x * factor)


def reciprocal_float32(kit: Kit, x: V, epsilon: float = 1e-7) -> V:
    return (x * 0.0 + 1.0) / (x + epsilon)


@real
def elu(kit: Kit, x: V, alpha: float = 1.0) -> V:
    below = (kit.unary("exp", kit.minimum(x, 0.0)) - 1.0) * alpha
    return kit.where(kit.at_least(x, 0.0), x, below)


@real
def selu(kit: Kit, x: V) -> V:
    return elu(kit, x, 1.6732632423543772) * 1.0507009873554805


@real
def exp(kit: Kit, x: V) -> V:
    return kit.unary("exp", kit.minimum(x, 60.0 * log(2.0)))


@real
def step(kit: Kit, x: V, low: float = -1.0, high: float = 1.0) -> V:
    return kit.where(kit.at_least(x, 0.0), high, low)


@real
def smooth_tanh(kit: Kit, x: V) -> V:
    return clip(kit, x * 0.1875 + 0.5, 0.0, 1.0) * 2.0 - 1.0


@real
def binary_sigmoid(kit: Kit, x: V) -> V:
    return kit.unary("rint", _hard(kit, x))


@real
def binary_tanh(kit: Kit, x: V) -> V:
    return binary_sigmoid(kit, x) * 2.0 - 1.0


@real
def hard_silu(kit: Kit, x: V) -> V:
    return x * hard_sigmoid(kit, x)


@real
def mish(kit: Kit, x: V) -> V:
    return x * kit.unary("tanh", softplus(kit, x))


@real
def quantized_relu(
    kit: Kit, x: V, bits: float, integer: float, use_sigmoid: float = 0, bound: float = inf
) -> V:
    m, m_i = 2.0**bits, 2.0**integer
    top = 1.0 - 1.0 / m
    if use_sigmoid:
        unit = kit.unary("rint", _hard(kit, x * (1.0 / m_i)) * m) * (2.0 / m) - 1.0
    else:
        unit = kit.unary("rint", x * (m / m_i)) * (1.0 / m)
    return clip(kit, clip(kit, unit, 0.0, top) * m_i, -inf, bound)


@real
def quantized_leaky_relu(kit: Kit, x: V, bits: float, integer: float, power: float) -> V:
    m, unit, slope = 2.0**bits, 2.0 ** (integer - bits), 2.0**power
    up = clip(kit, kit.unary("rint", x * (1.0 / unit)), 0.0, m - 1.0)
    down = clip(kit, kit.unary("rint", x * (slope / unit)), -m * slope, 0.0)
    return (up + down) * unit


@real
def quantized_sigmoid(kit: Kit, x: V, bits: float, symmetric: float = 0, real: float = 0) -> V:
    m = 2.0**bits
    p = kit.unary("sigmoid", x) if real else _hard(kit, x)
    return clip(kit, kit.unary("rint", p * m) * (1.0 / m), symmetric / m, 1.0 - 1.0 / m)


@real
def quantized_tanh(kit: Kit, x: V, bits: float, symmetric: float = 0) -> V:
    m = 2.0 ** (bits - 1)
    held = kit.unary("rint", kit.unary("tanh", x) * m) * (1.0 / m)
    return clip(kit, held, -1.0 + symmetric / m, 1.0 - 1.0 / m)


@real
def quantized_ulaw(
    kit: Kit, x: V, bits: float, integer: float = 0, symmetric: float = 0, u: float = 255.0
) -> V:
    m, m_i = 2.0 ** (bits - 1), 2.0**integer
    rp = kit.unary("rint", _hard(kit, x * (1.0 / m_i)) * m) * (2.0 / m) - 1.0
    size = kit.unary("log", kit.unary("abs", rp) * u + 1.0) * (1.0 / log(1 + u))
    law = kit.where(kit.at_least(rp, 0.0), size, size * -1.0)
    return clip(kit, law, -1.0 + symmetric / m, 1.0 - 1.0 / m) * m_i


@real
def quantized_hswish(
    kit: Kit,
    x: V,
    bits: float,
    integer: float = 0,
    symmetric: float = 0,
    shift: float = 3,
    bound: float = 6,
) -> V:
    m, m_i = 2.0 ** (bits - 1), 2.0**integer
    y = x * clip(kit, x + shift, 0.0, bound) * (1.0 / bound)
    return clip(kit, kit.unary("rint", y * (m / m_i)), -m + symmetric, m - 1) * (m_i / m)


@real
def quantized_po2(
    kit: Kit, x: V, low: float, high: float, bound: float = inf, even: float = 0, floor: float = 0
) -> V:
    size = _power(kit, kit.unary("abs", x), low, high, bound, even, floor)
    return kit.where(kit.at_least(x, 0.0), size, size * -1.0)


@real
def quantized_relu_po2(
    kit: Kit,
    x: V,
    low: float,
    high: float,
    bound: float = inf,
    even: float = 0,
    floor: float = 0,
    slope: float = 0,
) -> V:
    up = _power(kit, kit.maximum(x, 0.0), low, high, bound, even, floor)
    if slope == 0:
        return up
    down = _power(kit, kit.maximum(x * -1.0, 0.0) * slope, low, high, bound, even, floor)
    return kit.where(kit.at_least(x, 0.0), up, down * -1.0)


@real
def ternary(kit: Kit, x: V, threshold: float = 0.33, scale: float = 1.0) -> V:
    signed = kit.where(kit.at_least(x, 0.0), scale, -scale)
    return kit.where(kit.at_least(kit.unary("abs", x), threshold), signed, 0.0)


def _hard(kit: Kit, x: V) -> V:
    """Return QKeras's default sigmoid: ``x / 2 + 1 / 2`` clipped to 0..1."""
    return clip(kit, x * 0.5 + 0.5, 0.0, 1.0)


def _power(
    kit: Kit, size: V, low: float, high: float, bound: float, even: float, floor: float
) -> V:
    held = clip(kit, size, EPSILON, bound)
    factor = 2.0 if even else 1.0
    # The logarithm of a root is half the logarithm.
    exponent = kit.unary("log", held) * (1.0 / (factor * log(2.0)))
    exponent = clip(kit, kit.unary("floor" if floor else "rint", exponent), low, high) * factor
    small = 2.0**low
    powered = kit.unary("exp", exponent * log(2.0))
    return kit.where(kit.at_least(size, EPSILON), powered, small)


def steps(kit: Kit, x: V, to: Fixed, rounding: Rounding, overflow: Overflow) -> V:
    """Return reals on the steps of a type: rounded, then held in its range or wrapped."""
    scaled = x * 2.0**to.frac
    if rounding is Rounding.RND_CONV:
        whole = kit.unary("rint", scaled)
    else:
        whole = kit.unary("floor", scaled if rounding is Rounding.TRN else scaled + 0.5)
    low, high = to.limits(overflow)
    if overflow is Overflow.WRAP:
        span = float(1 << to.width)
        whole = whole - kit.unary("floor", (whole - low) * (1.0 / span)) * span
    else:
        whole = clip(kit, whole, low, high)
    return whole * to.scale


REALS["clip"] = lambda kit, x, low=0.0, high=1.0: clip(kit, x, low, high)
# What these round to float32, a runtime in float32 rounds by itself.
REALS["exp_float32"], REALS["reciprocal_float32"] = exp_float32, reciprocal_float32
REALS.update({f"{name}_float32": REALS[name] for name in SINGLE})
