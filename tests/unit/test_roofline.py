"""The models of GPUs and CPUs meet the published points that they were fitted to, and say so."""

import pytest

from gateformer.baselines.roofline import MACHINES, Work, crossover, estimate, find
from gateformer.errors import ConfigError

IDEAL_TMACS = 2.048
"""128 banks x 16 MACs a nanosecond: what a memory of eight channels does at its peak."""

LAYERS = {"small": (12, 768), "medium": (24, 1024), "large": (36, 1280), "xl": (48, 1600)}
LAYERS["gpt3-xl"] = (24, 2048)


def work(name: str, batch: int = 1) -> Work:
    layers, width = LAYERS[name]
    return Work(layers, 12 * layers * width**2 + 50257 * width, batch=batch)


@pytest.mark.parametrize(
    ("machine", "layers", "weights", "each", "published"),
    [
        ("a100", 24, 350e6, 2, 2.77),
        ("a100", 24, 1.3e9, 2, 4.13),
        ("v100", 12, 124e6, 4, 1.45),
        ("v100", 12, 124e6, 2, 1.56),
        ("h100", 24, 1.3e9, 2, 2.61),
    ],
)
def test_fused_model_meets_the_published_points(
    machine: str, layers: int, weights: float, each: int, published: float
) -> None:
    asked = Work(layers, int(weights * each / 2))  # the tuned model reads two bytes a weight
    assert estimate(find(machine), asked, "fused").ms == pytest.approx(published, rel=0.172)


@pytest.mark.parametrize(
    ("name", "t4", "h100"),
    [("small", 2.0, 1.0), ("medium", 5.0, 2.1), ("large", 9.7, 3.4), ("xl", 17.7, 5.0),
     ("gpt3-xl", 13.7, 2.9)],
)  # fmt: skip
def test_fused_milliseconds_a_token(name: str, t4: float, h100: float) -> None:
    assert estimate(find("t4"), work(name), "fused").ms == pytest.approx(t4, abs=0.06)
    assert estimate(find("h100"), work(name), "fused").ms == pytest.approx(h100, abs=0.06)


def test_eager_t4_gives_back_the_ratios_it_was_fitted_to() -> None:
    def ratio(name: str) -> float:
        return estimate(find("t4"), work(name), "eager").ms * IDEAL_TMACS * 1e9 / work(name).weights

    assert ratio("small") == pytest.approx(139, abs=1)
    assert ratio("gpt3-xl") == pytest.approx(40, abs=1)


def test_eager_xeon_lies_within_the_ratios_it_was_fitted_to() -> None:
    one = work("medium")
    ratio = estimate(find("xeon-6154"), one, "eager").ms * IDEAL_TMACS * 1e9 / one.weights
    assert 631 < ratio < 1074


@pytest.mark.parametrize("name", MACHINES)
def test_tiers_are_ordered_and_labelled(name: str) -> None:
    machine = find(name)
    found = [estimate(machine, work("xl"), tier) for tier in machine.tiers]
    assert [one.ms for one in found] == sorted(one.ms for one in found)
    assert {one.kind for one in found} == {"modelled"}
    assert all(one.joules == pytest.approx(one.ms * machine.watts / 1e3) for one in found)
    assert machine.sources.keys() >= {"peak_gbs", "watts"}


def test_roofline_is_bytes_over_bandwidth_until_the_matrix_units_bind() -> None:
    t4 = find("t4")
    assert estimate(t4, work("small"), "roofline").ms == pytest.approx(
        2 * work("small").weights / 320e6
    )
    assert estimate(t4, work("small", 1000), "roofline").ms == pytest.approx(
        work("small", 1000).operations / 65e9
    )


def test_crossover_is_the_smallest_batch() -> None:
    t4, one = find("t4"), work("gpt3-xl")
    found = crossover(t4, one, "fused", 1500.0)
    assert found is not None

    def rate(batch: int) -> float:
        return batch / estimate(t4, work("gpt3-xl", batch), "fused").ms * 1e3

    assert rate(found) >= 1500 > rate(found - 1)
    assert crossover(t4, one, "fused", 1e9) is None
    assert crossover(t4, one, "fused", 1.0) == 1


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"E022 .*'b200'.*Choose one of t4"):
        find("b200")
    with pytest.raises(ConfigError, match="It has roofline, fused"):
        estimate(find("h100"), work("xl"), "eager")
