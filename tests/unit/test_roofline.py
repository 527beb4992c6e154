"""The models of GPUs and CPUs meet the published points that they were fitted to, and say so."""

from statistics import median

import pytest

from gateformer.baselines.fitting import fit
from gateformer.baselines.machines import KNOWN, MACHINES, find
from gateformer.baselines.published import Point, error_bar, points
from gateformer.baselines.roofline import Work, crossover, estimate
from gateformer.errors import ConfigError

IDEAL_TMACS = 2.048
"""128 banks x 16 MACs a nanosecond: what a memory of eight channels does at its peak."""

LAYERS = {"small": (12, 768), "medium": (24, 1024), "large": (36, 1280), "xl": (48, 1600)}
LAYERS["gpt3-xl"] = (24, 2048)


def work(name: str, batch: int = 1) -> Work:
    layers, width = LAYERS[name]
    return Work(layers, 12 * layers * width**2 + 50257 * width, batch=batch)


def of(group: str, *, fitted: bool) -> list[Point]:
    return [one for one in points() if one.group == group and one.fitted is fitted]


@pytest.mark.parametrize(
    ("group", "count", "largest"), [("tuned, GPU", 7, 0.17), ("tuned, CPU", 2, 0.01)]
)
def test_models_meet_the_published_points_of_their_fit(
    group: str, count: int, largest: float
) -> None:
    errors = [abs(one.error) for one in of(group, fitted=True)]
    assert len(errors) == count
    assert max(errors) < largest


@pytest.mark.parametrize(
    ("group", "count", "middle", "wide", "largest"),
    [("tuned, GPU", 17, 0.17, 0.23, 0.36), ("tuned, CPU", 8, 0.15, 0.06, 0.30)],
)
def test_models_are_checked_on_published_points_that_were_not_in_their_fit(
    group: str, count: int, middle: float, wide: float, largest: float
) -> None:
    checked = of(group, fitted=False)
    assert len(checked) >= count
    assert median(abs(one.error) for one in checked) < middle
    # Weights of fewer bits have to be unpacked, which is more than reading.
    assert max(abs(one.error) for one in checked if one.bits >= 16) < wide
    assert max(abs(one.error) for one in checked) < largest


def test_the_eager_t4_is_no_slower_than_what_others_measured() -> None:
    errors = [one.error for one in of("eager, GPU", fitted=False)]
    assert len(errors) == 3
    assert -0.5 < min(errors) <= max(errors) < 0


def test_the_gpus_constants_are_the_fit_to_its_points() -> None:
    law = fit([one.sample for one in of("tuned, GPU", fitted=True)])
    assert law.layer * 1e6 == pytest.approx(find("h100").layer_us, rel=0.01)
    assert law.share == pytest.approx(find("h100").share, rel=0.01)
    sources = {one.source for one in of("tuned, GPU", fitted=True)}
    assert not sources & {one.source for one in of("tuned, GPU", fitted=False)}


def test_a_fit_over_more_published_points_gives_much_the_same_constants() -> None:
    law = fit([one.sample for one in points() if one.group == "tuned, GPU" and one.bits >= 8])
    assert law.layer * 1e6 == pytest.approx(find("h100").layer_us, rel=0.15)
    assert law.share == pytest.approx(find("h100").share, rel=0.15)


def test_the_xeons_share_is_the_fit_to_its_points() -> None:
    law = fit([one.sample for one in of("tuned, CPU", fitted=True)])
    assert law.layer == pytest.approx(find("xeon-8480").layer_us)
    assert law.share == pytest.approx(find("xeon-8480").share, rel=0.01)


def test_error_bars_hold_every_published_point_of_whole_floats() -> None:
    for one in points():
        bar = error_bar(one.machine, one.tier)
        if bar is not None and one.bits >= 16:
            assert bar[0] <= 1 <= bar[1]
            assert bar[0] * 0.999 <= one.ms / one.modelled.ms <= bar[1] * 1.001
    assert error_bar(find("t4"), "fused") == error_bar(find("h200"), "fused") is not None
    assert error_bar(find("xeon-6154"), "eager") is None
    assert error_bar(find("xeon-6154"), "fused") is None


def test_published_points_are_what_their_sources_say() -> None:
    one = next(one for one in points() if one.decoder.name == "gpt-6b7")
    assert one.published == pytest.approx((384.70 - 98.29) / 24, abs=5e-4)
    weights = 32 * 12 * 4096**2
    # 384 tokens of a longer prompt, 24 steps, at half of 312 TFLOP/s.
    prompt = 2 * weights * 384 / (156e9 * 24)
    assert one.ms == pytest.approx(one.published - prompt)
    assert one.uncertain == pytest.approx(prompt * (0.5 / 0.3 - 1))
    assert one.work.weights == 32 * 12 * 4096**2 + 51200 * 4096
    two = next(one for one in points() if one.devices == 2)
    assert two.work.weights == (64 * 12 * 9216**2 + 50272 * 9216) // 2
    assert all(one.source and one.how for one in points())


@pytest.mark.parametrize(
    ("name", "t4", "h100"),
    [("small", 1.9, 1.12), ("medium", 4.6, 2.3), ("large", 8.6, 3.6), ("xl", 15.2, 5.2),
     ("gpt3-xl", 11.4, 2.95)],
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


@pytest.mark.parametrize("name", KNOWN)
def test_tiers_are_ordered_and_labelled(name: str) -> None:
    machine = find(name)
    found = [estimate(machine, work("xl"), tier) for tier in machine.tiers]
    assert [one.ms for one in found] == sorted(one.ms for one in found)
    assert {one.kind for one in found} == {"modelled"}
    assert all(one.joules == pytest.approx(one.ms * machine.watts / 1e3) for one in found)
    stated = {key for keys in machine.sources for key in keys.split(", ")}
    assert stated >= {"peak_gbs", "peak_tflops", "watts", "share", "layer_us"}


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


def test_machines_of_published_points_alone_are_not_shown_unasked() -> None:
    assert list(MACHINES) == [
        "t4", "v100", "a100", "h100", "h200", "xeon-6154", "xeon-8480",
    ]  # fmt: skip
    assert not KNOWN["h100-pcie"].listed


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"E022 .*'b200'.*mean 'h200'.*Choose one of t4"):
        find("b200")
    with pytest.raises(ConfigError, match="It has roofline, fused"):
        estimate(find("h100"), work("xl"), "eager")
