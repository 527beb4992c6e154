"""Mixed precision: budgets are kept, bits go where they are missed most."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from unit.ptq_networks import data, network

from gateformer.quant.errors import ConfigError, DataError, TypeRangeError
from gateformer.quant.expand.context import Options
from gateformer.quant.ptq import mixed
from gateformer.quant.ptq.mixed import Goal, Trial, allocate, mean_bits, monotone, steps_down
from gateformer.quant.ptq.observe import observe
from gateformer.quant.ptq.pipeline import make
from gateformer.quant.ptq.places import Place, places
from gateformer.quant.ptq.settings import Recipe

COUNT = 40


@pytest.fixture(autouse=True)
def fewer_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed, "CANDIDATES", (3, 5, 8))


def trial(labels: bool = True) -> Trial:
    graph, x = network(), data(COUNT)
    found = Trial(graph, observe(graph, x), x, Options(), None)
    found.labels = found.exact.argmax(1) if labels else None
    return found


@pytest.mark.parametrize("bits", [4.0, 6.5])
def test_a_mean_of_bits_is_kept_and_beats_equal_widths(bits: float) -> None:
    here = trial()
    choice = allocate(here, Recipe(), Goal(bits=bits))
    weights, activations = mean_bits(places(here.graph), choice.recipe.widths)
    assert bits - 1 < weights <= bits and bits - 1 < activations <= bits
    equal = Recipe(int(bits), int(bits), tables=choice.recipe.table_bits)
    assert here.error(choice.recipe) < here.error(equal)


def test_a_loss_is_kept_with_few_bits() -> None:
    here = trial()
    choice = allocate(here, Recipe(), Goal(loss=0.05))
    assert here.loss(choice.recipe, "accuracy") <= 0.05
    weights, activations = mean_bits(places(here.graph), choice.recipe.widths)
    assert weights + activations < 16


def test_without_labels_the_outputs_error_counts() -> None:
    here = trial(labels=False)
    choice = allocate(here, Recipe(), Goal(loss=0.15, metric="rms"))
    assert here.loss(choice.recipe, "rms") <= 0.15
    with pytest.raises(DataError, match="E604"):
        allocate(here, Recipe(), Goal(loss=0.1))


def test_a_budget_that_cannot_be_met() -> None:
    with pytest.raises(TypeRangeError, match="E205"):
        allocate(trial(), Recipe(), Goal(bits=3.0, loss=1e-9, metric="rms"))


def test_a_loss_below_that_of_the_widest_cannot_be_met() -> None:
    with pytest.raises(TypeRangeError, match=r"E205.*not 0"):
        allocate(trial(), Recipe(), Goal(loss=0.0, metric="rms"))


def test_given_widths_that_leave_no_way_to_the_bits() -> None:
    here = trial()
    wide = dict.fromkeys((p.name for p in places(here.graph) if p.kind == "weights"), 8)
    with pytest.raises(TypeRangeError, match="8 bits in the mean are left, not 5"):
        allocate(here, Recipe(widths=wide), Goal(bits=5.0))
    one = max((p for p in places(here.graph) if p.kind == "weights"), key=lambda p: p.elements)
    chosen = allocate(here, Recipe(widths={one.name: 8}), Goal(bits=5.0)).recipe.widths
    assert chosen[one.name] == 8 and max(mean_bits(places(here.graph), chosen)) <= 5.0


@pytest.mark.parametrize(
    ("bits", "loss"), [(1.0, None), (float("nan"), None), (None, -0.1), (None, float("nan"))]
)
def test_goals_out_of_range(bits: float | None, loss: float | None) -> None:
    with pytest.raises(ConfigError, match="E022"):
        Goal(bits, loss)


@pytest.mark.parametrize("metric", ["accuracy", "auc"])
def test_labels_of_other_classes_are_refused_before_the_search(
    metric: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed, "sensitivities", None)
    here = trial()
    assert here.labels is not None
    here.labels = here.labels + 1
    with pytest.raises(DataError, match="E604 labels up to 3 for 3 classes"):
        allocate(here, Recipe(), Goal(loss=0.1, metric=metric))


def test_labels_that_the_model_never_tells_leave_nothing_to_lose() -> None:
    here = trial()
    assert here.labels is not None
    here.labels = (here.labels + 1) % here.exact.shape[1]
    with pytest.raises(DataError, match="E604 the model on reals has an accuracy of 0"):
        allocate(here, Recipe(), Goal(loss=0.1))
    here.labels = here.labels * 0
    with pytest.raises(DataError, match="E604 one class alone"):
        allocate(here, Recipe(), Goal(loss=0.1, metric="auc"))


def test_given_widths_stay() -> None:
    found = make(
        network(),
        data(COUNT),
        Recipe(widths={"up/kernel": 8, "attention/exp": 3}),
        goal=Goal(bits=5.0),
    )
    assert found.recipe.widths["up/kernel"] == 8 and found.recipe.widths["attention/exp"] == 3
    assert set(found.sensitivity) == {place.name for place in found.places}


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    allocate(trial(), Recipe(), Goal(bits=5.0), lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, told[0][1] + 1))


def test_steps_follow_the_hull() -> None:
    where = tuple(Place(name, "weights", name, 10) for name in "ab")
    errors = {"a": {2: 9.0, 4: 8.0, 8: 0.0}, "b": {2: 3.0, 4: 1.0, 8: 0.0}}
    steps = steps_down(where, errors)
    assert [(name, to) for _, name, to in steps] == [("b", 4), ("b", 2), ("a", 2)]
    assert [price for price, *_ in steps] == sorted(price for price, *_ in steps)


def test_noise_never_rewards_fewer_bits() -> None:
    assert monotone({2: 0.1, 4: 0.3, 8: 0.2}) == {2: 0.3, 4: 0.3, 8: 0.2}


def test_a_trial_measures_integers() -> None:
    here = trial()
    wide = here.error(Recipe(12, 12))
    assert 0 < wide < here.error(Recipe(4, 4))
    assert here.error(replace(Recipe(12, 12), widths={"attention/exp": 2})) > wide
    assert np.isclose(here.loss(Recipe(12, 12), "rms"), wide**0.5)
