"""How far the ASIC's functions are from the real ones, over every BF16 number.

Owns ``Accuracy``, ``accuracies``, ``of_vectors`` and ``forms_apart``. Imports the functions. The
real ones are computed in FP64; GELU's is its tanh form, which the ASIC computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.functions import Alu, Floats

Doubles = NDArray[np.float64]
VECTORS, WIDTH = 64, 1024
"""Vectors that softmax and norms are measured on, and their numbers."""
EPSILON = 1e-5
"""Added to a norm's variance."""
NORMAL = 2.0**-126
"""The smallest normal number of BF16 and FP32."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A function's errors over the BF16 numbers of a domain.

    Attributes
    ----------
    function, domain : str
        Which, and where.
    numbers : int
        BF16 numbers there.
    relative : float or None
        Largest relative error in FP32; None where results are zero or subnormal.
    absolute : float
        Largest error of the result rounded to BF16, where both are finite.
    ulps : float
        Largest error of the result rounded to BF16, in units of its last place. Rounding alone
        makes up to 0.5.
    worst : float
        Where that is.
    missed : float
        Share of the numbers whose result is not the BF16 number nearest to the real one.
    """

    function: str
    domain: str
    numbers: int
    relative: float | None
    absolute: float
    ulps: float
    worst: float
    missed: float


def accuracies() -> list[Accuracy]:
    """Return the errors of every function of one number, where it is used and elsewhere."""
    return [
        _measured(name, domain, where)
        for name, domains in DOMAINS.items()
        for domain, where in domains
    ]


def of_vectors(lanes: int) -> list[tuple[str, float, float, float]]:
    """Return errors of softmax and the norms on seeded vectors of ``WIDTH`` numbers.

    Returns
    -------
    list of (str, float, float, float)
        Function; largest relative error of an FP32 result of at least 1 % of its vector's largest;
        largest error of a result rounded to BF16, in units of its last place; share of the results
        that are not the nearest BF16 number. The last two are over the same results.
    """
    rng = np.random.default_rng(1)
    x = to_bf16(rng.normal(scale=3, size=(VECTORS, WIDTH)))
    gain, bias = to_bf16(1 + rng.normal(size=(2, WIDTH)) / 4)
    exact = x.astype(np.float64)
    powers = np.exp(exact - exact.max(-1, keepdims=True))
    apart = exact - exact.mean(-1, keepdims=True)
    deviation = np.sqrt((apart**2).mean(-1, keepdims=True) + EPSILON)
    root = np.sqrt((exact**2).mean(-1, keepdims=True) + EPSILON)
    cases = (
        ("softmax", functions.softmax(x, lanes), powers / powers.sum(-1, keepdims=True)),
        (
            "layernorm",
            functions.layernorm(x, gain, bias, lanes, EPSILON),
            apart / deviation * gain + bias,
        ),
        ("rmsnorm", functions.rmsnorm(x, gain, lanes, EPSILON), exact / root * gain),
    )
    rows = []
    for name, found, real in cases:
        counts = np.abs(real) >= 0.01 * np.abs(real).max(-1, keepdims=True)
        real, own = real[counts], found[counts]
        rounded = to_bf16(own).astype(np.float64)
        ulps = np.abs(rounded - real) / 2.0 ** (np.floor(np.log2(np.abs(real))) - 7)
        missed = to_bf16(real.astype(np.float32)) != rounded
        relative = np.abs(own / real - 1).max()
        rows.append((name, float(relative), float(ulps.max()), float(missed.mean())))
    return rows


def forms_apart() -> float:
    """Return how far GELU's tanh form is from its own, by the error function, at most."""
    every = _every_number()
    x = every[np.abs(every) <= 10].astype(np.float64)
    own = np.array([0.5 * one * math.erfc(-one / math.sqrt(2)) for one in x.tolist()])
    return float(np.abs(true_gelu(x) - own).max())


def true_gelu(x: Doubles) -> Doubles:
    """Return GELU's tanh form in FP64."""
    return x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def true_silu(x: Doubles) -> Doubles:
    """Return SiLU in FP64."""
    return x / (1 + np.exp(-x))


def _every_number() -> Floats:
    """Return every finite BF16 number."""
    every = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    return every[np.isfinite(every)]


def _measured(name: str, domain: str, where: Callable[[Floats], NDArray[np.bool_]]) -> Accuracy:
    x = _every_number()
    x = x[where(x)]
    found = getattr(functions, name)(Alu(), x)
    with np.errstate(all="ignore"):
        exact = REAL[name](x.astype(np.float64))
        # What rounds to infinity is infinite; a zero's own last place is the smallest number's.
        exact = np.where(np.abs(exact) >= 2.0**128, np.copysign(np.inf, exact), exact)
        relative = np.abs(found / exact - 1)
        exponent = np.floor(np.log2(np.maximum(np.abs(exact), NORMAL)))
        rounded = to_bf16(found).astype(np.float64)
        error = np.where(exact == rounded, 0.0, np.abs(rounded - exact))
        ulps = error / 2.0 ** (exponent - 7)
    nearest = to_bf16(exact.astype(np.float32))
    normal = bool((np.abs(exact) >= NORMAL).all()) and bool(np.isfinite(exact).all())
    worst = int(ulps.argmax())
    return Accuracy(
        name,
        domain,
        len(x),
        float(relative.max()) if normal else None,
        float(error[np.isfinite(error)].max()),
        float(ulps[worst]),
        float(x[worst]),
        float((nearest != rounded).mean()),
    )


REAL: dict[str, Callable[[Doubles], Doubles]] = {
    "exp": np.exp,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "gelu": true_gelu,
    "silu": true_silu,
}
"""The real functions."""
DOMAINS: dict[str, tuple[tuple[str, Callable[[Floats], NDArray[np.bool_]]], ...]] = {
    "exp": (
        ("-87 to 0: softmax", lambda x: (x >= -87) & (x <= 0)),
        ("0 to 88", lambda x: (x > 0) & (x <= 88)),
        ("below -87: subnormal, then 0", lambda x: x < -87),
        ("above 88: infinite", lambda x: x > 88),
    ),
    "reciprocal": (
        ("2^-126 to 2^126", lambda x: (np.abs(x) >= NORMAL) & (np.abs(x) <= 2.0**126)),
        ("subnormal x, not 0", lambda x: (np.abs(x) < NORMAL) & (x != 0)),
        ("above 2^126: subnormal", lambda x: np.abs(x) > 2.0**126),
    ),
    "rsqrt": (
        ("normal x", lambda x: x >= NORMAL),
        ("subnormal x, not 0", lambda x: (x > 0) & (x < NORMAL)),
    ),
    "gelu": (
        ("-3 to 3, but for subnormal results", lambda x: (np.abs(x) <= 3) & (np.abs(x) > 1e-37)),
        ("-9.5 to -3", lambda x: (x >= -9.5) & (x < -3)),
        ("above 3", lambda x: x > 3),
        ("below -9.5", lambda x: x < -9.5),
        ("around 0: subnormal results", lambda x: np.abs(x) <= 1e-37),
    ),
    "silu": (
        ("-8 to 8, but for subnormal results", lambda x: (np.abs(x) <= 8) & (np.abs(x) > 1e-37)),
        ("-80 to -8", lambda x: (x >= -80) & (x < -8)),
        ("above 8", lambda x: x > 8),
        ("below -80", lambda x: x < -80),
        ("around 0: subnormal results", lambda x: np.abs(x) <= 1e-37),
    ),
}
"""For each function the domains that are told apart: all finite numbers, but for those whose
results are settled, which are 0 and, for rsqrt, negative numbers."""
