"""Shares of the keys, merged."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.asic import COSTS
from gateformer.hw.pim.functions import Alu
from gateformer.hw.pim.shares import Share, exponentials, merged


def attention(scores: np.ndarray, values: np.ndarray) -> Share:
    m = functions.maximum(scores)
    weights = functions.exp(Alu(), scores - m[:, None])
    return Share(m, functions.total(weights, 16), (weights @ values).astype(np.float32))


def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    scores, values = rng.normal(size=(4, 90)) * 5, rng.normal(size=(90, 8))
    return scores.astype(np.float32), values.astype(np.float32)


def test_merged_shares_are_the_whole_attention() -> None:
    scores, values = numbers()
    weights = np.exp(scores.astype(float) - scores.max(1, keepdims=True))
    true = weights @ values / weights.sum(1, keepdims=True)
    for edges in ((0, 90), (0, 20, 21, 90), (0, 1, 2, 3, 90)):
        shares = [
            attention(scores[:, first:last], values[first:last]) for first, last in pairwise(edges)
        ]
        found = merged(shares)
        assert found.dtype == np.float32
        assert np.abs(found - true).max() <= 2e-3 * np.abs(true).max()


def test_the_order_of_shares_is_part_of_the_operation() -> None:
    scores, values = numbers()
    shares = [attention(scores[:, [i]], values[[i]]) for i in range(90)]
    assert not np.array_equal(merged(shares), merged(shares[::-1]))


def test_a_share_that_counts_for_nothing_changes_no_bit() -> None:
    scores, values = numbers()
    one = attention(scores, values)
    far = Share(one.m - np.float32(300), one.l, one.o)
    assert np.array_equal(merged([one, far]), merged([one]))


def test_operations_are_those_that_are_priced() -> None:
    scores, values = numbers()
    alu = Alu()
    merged([attention(scores, values) for _ in range(3)], alu)
    priced = COSTS["merge"].phases[1]
    # the last multiplication, with the reciprocal, is the result's own
    assert alu.multiplications == 3 * priced.multiply + 1
    assert alu.additions == 3 * priced.add


@pytest.mark.parametrize("tokens", [1, 16, 37])
def test_exponentials_of_a_share(tokens: int) -> None:
    """Weights are rounded, their sum is of what is not; a merge of one share is a softmax."""
    rng = np.random.default_rng(tokens)
    scores = to_bf16(rng.normal(size=(3, tokens)) * 4)
    weights, m, l = exponentials(scores, 16)  # noqa: E741 - the field's letter
    exact = functions.exp(Alu(), scores - m[:, None])
    assert np.array_equal(m, scores.max(1))
    assert np.array_equal(weights, to_bf16(exact))
    assert np.array_equal(l, functions.total(exact, 16))
    alone = merged([Share(m, l, exact)])
    assert np.array_equal(alone, functions.softmax(scores, 16))


def test_nothing_to_merge_is_refused() -> None:
    with pytest.raises(ValueError, match="no share"):
        merged([])
