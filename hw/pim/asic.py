"""What the ASIC's work takes: operations counted, spread over its adders and multipliers.

Owns ``COSTS``, ``clocks``, ``memory_clocks`` and what fits its memory. Imports devices, programs
and the decoder.

Every operation is made of additions and multiplications, of pipelined units that all work at once:

- exp(x): n = round(x log2 e), r = x - n ln 2, four terms of the Taylor series of exp(r) by Horner,
  n added to the exponent: 5 multiplications and 6 additions; off by at most 8e-4 of the value.
- 1/x: a line through the fraction as first guess, two Newton-Raphson steps y (2 - x y), and the
  exponent negated: 5 multiplications and 4 additions; off by at most 1.3e-5.
- 1/sqrt(x): the fast inverse square root: a shift and a subtraction, then two steps
  y (1.5 - 0.5 x y y): 7 multiplications and 3 additions; off by at most 5e-6.
- GELU: x / (1 + exp(-u)), u = x (1.5958 + 0.071355 x x).
- the largest groups of 16 or more numbers: magnitudes summed, then the threshold found bit by bit
  in 15 rounds, each of which compares all sums and counts.

``functions`` does these with every operation counted; tests hold the counts below to it.

A vector goes through phases; a later one needs the result of the whole former one (the softmax's
maximum and sum, a norm's mean and variance).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

from gateformer.hw.pim.device import Asic, Device
from gateformer.hw.pim.functions import BF16_BITS
from gateformer.hw.pim.program import AsicWork
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import PimError

ADD_LATENCY = 2
"""Clocks of one addition; assumed."""
MULTIPLY_LATENCY = 3
"""Clocks of one multiplication; assumed."""


@dataclass(frozen=True, slots=True)
class Count:
    """Multiplications and additions, of one element or one after another."""

    multiply: int = 0
    add: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.multiply + other.multiply, self.add + other.add)


EXP = Count(5, 6)
RECIPROCAL = Count(5, 4)
RSQRT = Count(7, 3)
TREE = Count(0, 8)
"""Additions in a row that sum what 256 adders have accumulated."""


ROUNDS = Count(0, BF16_BITS * (2 + TREE.add))
"""Additions in a row of a bisection: compare, count by a tree, compare the count."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a unit's operation takes.

    Attributes
    ----------
    phases : tuple of Count
        Operations of each element, phase by phase.
    serial : Count
        Operations that wait for one another, from the first element in to the last result out.
    vector : Count
        Operations of each vector besides its elements'.
    """

    phases: tuple[Count, ...]
    serial: Count
    vector: Count = Count()


COSTS: Mapping[str, Cost] = MappingProxyType(
    {
        # maximum; minus maximum, exp, sum; times 1 / sum
        "softmax": Cost(
            (Count(0, 1), EXP + Count(0, 2), Count(1, 0)),
            TREE + Count(0, 1) + EXP + TREE + RECIPROCAL + Count(1, 0),
            RECIPROCAL,
        ),
        # maximum; minus maximum, exp, sum
        "share": Cost((Count(0, 1), EXP + Count(0, 2)), TREE + Count(0, 1) + EXP + TREE),
        # sum; minus mean, squared, summed; times 1 / deviation, times gain, plus bias
        "layernorm": Cost(
            (Count(0, 1), Count(1, 2), Count(2, 1)),
            TREE + Count(2, 1) + TREE + RSQRT + Count(2, 1),
            RSQRT + Count(2, 1),
        ),
        # squared, summed; times 1 / root of the mean, times gain
        "rmsnorm": Cost(
            (Count(1, 1), Count(2, 0)),
            Count(1, 0) + TREE + RSQRT + Count(2, 0),
            RSQRT + Count(1, 1),
        ),
        "gelu": Cost(
            (Count(3, 1) + EXP + Count(0, 1) + RECIPROCAL + Count(1, 0),),
            Count(3, 1) + EXP + Count(0, 1) + RECIPROCAL + Count(1, 0),
        ),
        "silu": Cost(
            (EXP + Count(0, 1) + RECIPROCAL + Count(1, 0),),
            EXP + Count(0, 1) + RECIPROCAL + Count(1, 0),
        ),
        "relu": Cost((Count(0, 1),), Count(0, 1)),
        "maximum": Cost((Count(0, 1),), Count(0, 1) + TREE),
        "add": Cost((Count(0, 1),), Count(0, 1)),
        "multiply": Cost((Count(1, 0),), Count(1, 0)),
        # a number times another one, added to a sum
        "accumulate": Cost((Count(1, 1),), Count(1, 1)),
        # each number times the cosine, its neighbour times the sine, both added
        "rotary": Cost((Count(2, 1),), Count(1, 1)),
        # of each share: maximum of maxima, exp(m - maximum), l times it, added; o times it, added;
        # at last o times 1 / l
        "merge": Cost(
            (Count(0, 0), Count(1, 1)),
            Count(0, 2) + EXP + Count(1, 1) + RECIPROCAL + Count(2, 1),
            Count(0, 2) + EXP + Count(1, 1),
        ),
        # magnitudes summed; 15 rounds of comparing and counting the sums of 16 numbers each
        "select": Cost((Count(0, 1), Count(0, 2)), Count(0, 4) + ROUNDS),
        # largest magnitude; times 127 / it, rounded
        "quantize": Cost(
            (Count(0, 1), Count(1, 1)),
            TREE + RECIPROCAL + Count(1, 1),
            RECIPROCAL + Count(2, 0),
        ),
    }
)
"""Unit to what one of its operations takes."""


def clocks(work: AsicWork, asic: Asic) -> int:
    """Return the ASIC clocks of a piece of work.

    For each phase max(elements x multiplications / multipliers, elements x additions / adders),
    rounded up; the operations of each vector likewise; and the latency of the longest chain of
    operations once, since vectors follow one another through the pipeline. A unit that the device
    states takes what ``Unit`` says; vectors count as equally long.

    Raises
    ------
    PimError
        E807 for a unit that is neither stated nor known.
    """
    stated = asic.units.get(work.unit)
    if stated is not None:
        length = -(-work.elements // work.vectors)
        words = -(-length // stated.per_clock)
        each = stated.passes * words + stated.vector_latency
        own = work.vectors * each + work.results * stated.result_latency
        return stated.latency + stated.lead * words + own
    if work.unit not in COSTS:
        raise PimError(
            "E807",
            "unknown unit of the ASIC",
            layer=work.unit,
            cause=f"Known are {', '.join(COSTS)}",
            fix="Give its latency and pace in [asic.units] of the device",
        )
    cost = COSTS[work.unit]
    total = cost.serial.multiply * MULTIPLY_LATENCY + cost.serial.add * ADD_LATENCY
    for times, count in ((work.vectors, cost.vector), *((work.elements, p) for p in cost.phases)):
        total += max(
            -(-times * count.multiply // asic.multipliers), -(-times * count.add // asic.adders)
        )
    return total


def memory_clocks(asic_clocks: int, device: Device, asic_clock_ns: float | None = None) -> int:
    """Return the memory's clocks that so many of the ASIC's take, rounded up.

    Rounding happens once a piece of work, since what follows it in the memory starts with a clock
    of the memory. Ratios within 1e-9 of a whole number count as whole.

    Parameters
    ----------
    asic_clocks : int
        Clocks of the ASIC.
    device : Device
        For both clocks.
    asic_clock_ns : float or None
        The ASIC's clock; None for the device's own.
    """
    own = device.asic.clock_ns if device.asic else device.clock_ns
    exact = asic_clocks * (own if asic_clock_ns is None else asic_clock_ns) / device.clock_ns
    return ceil(exact - 1e-9 * max(1.0, exact))


def vector_bytes(decoder: Decoder) -> int:
    """Return the SRAM that one sequence's vectors take in a block, in BF16.

    Parameters of the block, the residual, and the larger of: queries, keys, values and attention's
    result; the normalized vector, the hidden one and the result.
    """
    hidden = decoder.d_ff * (2 if decoder.gated else 1)
    attention = 2 * decoder.queries + 2 * decoder.kv_width
    live = decoder.d_model + max(attention, 2 * decoder.d_model + hidden)
    return 2 * (decoder.block_parameters + live)


def of(device: Device) -> Asic:
    """Return a device's ASIC.

    Raises
    ------
    PimError
        E804 for a device without one.
    """
    if device.asic is None:
        raise PimError(
            "E804",
            "no ASIC",
            layer=device.name,
            cause="It has no [asic]: it can replay traces, not generate",
            fix="Add [asic], or choose a device that has it",
        )
    return device.asic


def free_bytes(decoder: Decoder, device: Device) -> int:
    """Return the SRAM left for scores and waiting values; negative where vectors do not fit.

    Raises
    ------
    PimError
        E804 for a device without an ASIC.
    """
    return of(device).sram_bytes - vector_bytes(decoder)


def score_bytes(decoder: Decoder, tokens: int) -> int:
    """Return the SRAM that the scores of all heads over ``tokens`` tokens take."""
    return 2 * decoder.heads * tokens


def value_bytes(decoder: Decoder, tokens: int) -> int:
    """Return the SRAM that the values of ``tokens`` tokens take, all blocks together."""
    return 2 * decoder.layers * decoder.kv_width * tokens


def holds_values(decoder: Decoder, device: Device, waiting: int, beside: int) -> bool:
    """Return whether ``waiting`` tokens' values fit beside so many bytes of scores and shares."""
    return value_bytes(decoder, waiting) + beside <= free_bytes(decoder, device)
