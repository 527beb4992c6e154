"""A small language model trained here: torch, numpy and the memory compute the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from gateformer.quant import language
from gateformer.quant.decoder import Decoder
from gateformer.quant.frontends.gguf_file import Floats
from gateformer.quant.train.language import Recipe, fit
from gateformer.sim.pim.keeping import kept

SHAPE = Decoder(
    "bytes", 2, 16, 2, 2, 8, 64, 256, 32, "rms", "relu", False, "rotary", False, False, False
)
RECIPE = Recipe(SHAPE, steps=30, batch=4, window=16, rate=1e-2, lanes=8, tile=32, keep=2)
TEXT = b"the cat sat on the mat, the rat sat on the cat; " * 4


def test_a_seed_gives_the_same_numbers_twice_and_another_gives_others() -> None:
    one, two, other = (fit(replace(RECIPE, steps=3, seed=n), TEXT) for n in (5, 5, 6))
    assert np.array_equal(one.embedding, two.embedding)
    assert np.array_equal(one.blocks[1]["down"], two.blocks[1]["down"])
    assert not np.array_equal(one.embedding, other.embedding)


def test_it_learns() -> None:
    losses: list[float] = []
    fit(RECIPE, TEXT, lambda _, loss: losses.append(loss))
    assert len(losses) == RECIPE.steps
    assert np.mean(losses[-3:]) < 0.7 * losses[0]


def test_fewer_and_fewer_groups_are_kept() -> None:
    counts = [RECIPE.kept(step) for step in range(RECIPE.steps)]
    assert counts[0] == 4 and counts == sorted(counts, reverse=True)
    assert counts[RECIPE.steps // 6] == 3
    assert set(counts[RECIPE.steps // 3 :]) == {2}
    assert {replace(RECIPE, keep=None).kept(step) for step in range(RECIPE.steps)} == {4}


@pytest.mark.parametrize("keep", [None, 2], ids=["whole", "skipped"])
def test_what_torch_learned_with_is_what_numpy_computes(keep: int | None) -> None:
    from gateformer.quant.train import language as training

    recipe = replace(RECIPE, keep=keep, steps=12)
    model = fit(recipe, TEXT)
    torch = training.torch()
    own = {
        name: [torch.tensor(block[name]) for block in model.blocks] for name in model.blocks[0]
    } | {"embedding": [torch.tensor(model.embedding)], "final": [torch.tensor(model.final)]}
    tokens = list(TEXT[:17])
    turns = training._turns(SHAPE, len(tokens))
    found = training._logits(recipe, own, turns, torch.tensor([tokens]), recipe.kept(11))

    def skip(_: int, hidden: Floats) -> Floats:
        return hidden if keep is None else kept(hidden, recipe.lanes, keep / 4, recipe.tile)

    expected = language.logits(model, tokens, skip)
    assert found[0].numpy() == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lanes": 24}, "whole groups"),
        ({"tile": 48}, "tiles alike"),
        ({"decoder": replace(SHAPE, activation="silu")}, "no decoder of bytes"),
        ({"decoder": replace(SHAPE, vocab=300)}, "no decoder of bytes"),
    ],
)
def test_other_shapes_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(RECIPE, **changes)
