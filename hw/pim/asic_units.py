"""Clocks of the ASIC that is there in Verilog, from its structure.

Owns ``units``. Imports devices and the latencies of an addition and a multiplication. The device
``pim-rtl`` states these for 16 lanes; simulation counts the same, clock for clock.

Its memory gives one word of ``lanes`` numbers a clock, so a vector takes as many clocks as words
are read for it: three times a softmax's scores; for LayerNorm three times x, and once gain and
bias. What is added follows from the depth of the pipelines: a phase is over some clocks after its
last word, and one clock is for the sequencer. An operation's first clock is its start, its last one
done.
"""

from __future__ import annotations

from gateformer.hw.pim.asic import ADD_LATENCY, EXP, MULTIPLY_LATENCY, RECIPROCAL, Count
from gateformer.hw.pim.device import Unit
from gateformer.hw.pim.functions import BF16_BITS

STEP = 1
"""Clocks of the sequencer between a phase's end and the next one's first read, or done."""
PRODUCT = 1
"""Clocks of a product of two BF16 numbers (gf_pim_bf16_multiply)."""
MAXIMUM = 2
"""Clocks of a word through gf_pim_maximum."""
WORDS = 4
"""Words a lane that a vector of select may have, since its result has a bit for each; shares a lane
that merge keeps a factor of."""
COUNT_BITS = 8
"""Bits of the field that says how many shares there are, or how many words are kept."""
GUESS = 2
"""Clocks of the first guess of 1/sqrt(x)."""


def units(lanes: int) -> dict[str, Unit]:
    """Return every unit of ``gf_pim_asic`` with so many lanes.

    Rotary counts a head's both halves, each of whole words; accumulate takes a head a vector, its
    ``elements`` being those of all weighted vectors, each of whole words; add takes an addition a
    vector, merge a share of a head, a head being a result; rescale takes a tile's sums or the bias
    a vector, a tile being a result.
    """
    add, multiply = ADD_LATENCY, MULTIPLY_LATENCY
    exp, reciprocal = _row(EXP), _row(RECIPROCAL)
    rsqrt = GUESS + 2 * _row(Count(3, 1))
    gate = exp + add + reciprocal + multiply
    tree = add * _bits(lanes)
    total = tree + 1
    below = add + exp
    mean = total + multiply
    softmax = (MAXIMUM, below + total + reciprocal, below + multiply)
    scale = add + multiply + mean + add + rsqrt
    result = add + multiply + multiply + add
    # The result's clocks count from its number, ready from the last word of bias or gain.
    layernorm, rmsnorm = (mean, scale, result - 2), (scale, result - 1)
    quantize = (MAXIMUM + reciprocal + multiply, multiply + add + 1)
    merge = (MAXIMUM, below + multiply + 1 + reciprocal, multiply + 1 + multiply)

    def flowing(
        clocks: int, *, passes: int = 1, vector_latency: int = 0, lead: int = 0, result: int = 0
    ) -> Unit:
        return Unit(1 + clocks + STEP, lanes, "", passes, vector_latency, lead, result)

    most = min(WORDS * lanes, (1 << COUNT_BITS) - 1)

    def phased(passes: int, *phases: int, most: int = 0) -> Unit:
        latency = sum(phases) + STEP * len(phases)
        return Unit(1, lanes, passes=passes, vector_latency=latency, most=most)

    return {
        "add": flowing(1, lead=1),
        "multiply": flowing(PRODUCT, passes=2),
        "accumulate": flowing(PRODUCT + 1, vector_latency=1),
        "rotary": flowing(PRODUCT + add + 1, passes=2),
        "relu": flowing(1),
        "gelu": flowing(_row(Count(3, 1)) + gate),
        "silu": flowing(gate),
        "softmax": phased(3, *softmax),
        "layernorm": phased(5, *layernorm),
        "rmsnorm": phased(3, *rmsnorm),
        "quantize": phased(2, *quantize),
        "maximum": phased(1, MAXIMUM),
        "select": phased(1, tree + 1 + BF16_BITS + _bits(WORDS * lanes), most=most),
        "share": phased(2, MAXIMUM, below + total),
        # m and l of each share are read twice
        # the scales are read before the sums, and a step of each tile before both
        "rescale": flowing(2 * multiply + 1, lead=1, result=1),
        "merge": Unit(
            1, lanes, vector_latency=2, result_latency=sum(merge) + STEP * len(merge), most=most
        ),
    }


def _bits(number: int) -> int:
    """Return the logarithm of a power of two."""
    return number.bit_length() - 1


def _row(count: Count) -> int:
    """Return the clocks of operations that wait for one another."""
    return count.multiply * MULTIPLY_LATENCY + count.add * ADD_LATENCY
