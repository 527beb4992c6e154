"""Attention over shares of the keys, put together by the ASIC.

Owns ``Share``, ``exponentials`` and ``merged``. Imports the ASIC's functions. The Verilog's units
``share`` and ``merge`` have the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.functions import Alu, Floats, exp, maximum, reciprocal, total


class Share(NamedTuple):
    """Attention over some keys, of each head: maximum, sum of exponentials, sum of values.

    ``o`` is heads x width, BF16 numbers.
    """

    m: Floats
    l: Floats  # noqa: E741 - (m, l, o) are the field's letters
    o: Floats


def exponentials(scores: Floats, lanes: int) -> tuple[Floats, Floats, Floats]:
    """Return what the ASIC makes of a share's scores, over the last axis.

    Parameters
    ----------
    scores : array of float32, shape (..., tokens)
        BF16 numbers.
    lanes : int
        Numbers that a sum takes at once.

    Returns
    -------
    weights : array of float32, shape (..., tokens)
        exp(x - m), rounded to BF16.
    m, l : array of float32, shape (...)
        The largest score; the sum of the exponentials as they are before they are rounded.
    """
    m = maximum(scores)
    exps = exp(Alu(), Alu().add(scores, -m[..., None]))
    return to_bf16(exps), m, total(exps, lanes)


def merged(shares: Sequence[Share], alu: Alu | None = None) -> Floats:
    """Return attention over the keys of all shares, in FP32.

    With the largest maximum M, a share's l and o are multiplied with exp(m - M) and added in the
    shares' order, from +0 on; the sum of o is multiplied with the reciprocal of the
    sum of l.

    Parameters
    ----------
    shares : sequence of Share
        At least one.
    alu : Alu, optional
        Counts, by number of ``o``.
    """
    if not shares:
        raise ValueError("no share to merge")
    alu = alu or Alu()
    largest = maximum(np.stack([one.m for one in shares], -1))
    sums = found = np.zeros(1, np.float32)
    for one in shares:
        factor = exp(Alu(), Alu().add(one.m, -largest))
        sums = Alu().add(sums, Alu().multiply(one.l, factor))
        found = alu.add(found, alu.multiply(one.o, factor[..., None]))
    return alu.multiply(found, reciprocal(Alu(), sums)[..., None])
