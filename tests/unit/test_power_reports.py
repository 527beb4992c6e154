"""The public power reports, the fit to them, and what it is held to."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from gateformer.energy.coefficients import FILE, coefficients
from gateformer.energy.fit import FAMILIES, document, fit, fit_all
from gateformer.energy.held_out import held_out, left_out, spread, tables
from gateformer.energy.reports import Known, Milliwatts, Report, Used, reports, training
from gateformer.hw.devices import load
from gateformer.quant.errors import ConfigError

PAGE = Path(__file__).parents[2] / "docs" / "energy.md"
LISTED = PAGE.with_name("power_reports.md")
DYNAMIC = (
    "clocks", "signals", "lut", "ff", "carry", "lutram", "srl", "mux", "bram", "dsp", "io", "mmcm",
    "ps", "other",
)  # fmt: skip


@pytest.mark.parametrize("report", reports(), ids=lambda report: report.name)
def test_rows_add_up_to_the_report_s_own_sums(report: Report) -> None:
    milliwatts = report.milliwatts
    rows = [milliwatts.of(row) for row in DYNAMIC]
    # Each row is rounded to 1 mW, so that their sum may be off by half of that each.
    slack = 0.5 * sum(row > 0 for row in rows) + 0.51
    assert abs(sum(rows) - milliwatts.dynamic) <= slack
    assert abs(milliwatts.dynamic + milliwatts.static - milliwatts.total) <= 1.01
    assert report.used.lut + report.used.lutram + report.used.srl <= report.device_luts
    assert re.fullmatch("[0-9a-f]{12}", report.commit)


def test_no_report_stands_twice_and_both_families_have_several_repositories() -> None:
    found = reports()
    assert len({(report.repo, report.path) for report in found}) == len(found) >= 30
    for family in FAMILIES:
        mine = [report for report in found if report.family == family]
        assert len({report.repo for report in mine}) >= 7
        assert {report in training(found) for report in mine} == {True, False}


def test_no_repository_lies_on_both_sides() -> None:
    seen = {report.repo for report in training(reports())}
    assert not seen & {report.repo for report in reports() if report not in training(reports())}


def test_the_shipped_coefficients_are_the_fit_s() -> None:
    text = resources.files("gateformer.energy").joinpath(FILE).read_text(encoding="utf-8")
    assert document(fit_all(training(reports()))) == text


def test_the_fit_does_not_see_the_reports_that_it_is_held_to() -> None:
    found = reports()
    seen = training(found)
    wrong = tuple(
        report
        if report in seen
        else report.model_copy(
            update={"milliwatts": report.milliwatts.model_copy(update={"lut": 9e4, "signals": 1.0})}
        )
        for report in found
    )
    assert document(fit_all(training(wrong))) == document(fit_all(seen))


TRUTH = {
    "net_toggle": 4e-13, "lut_toggle": 6e-13, "ff_toggle": 5e-14, "carry_toggle": 3e-13,
    "clock_tree": 2e-11, "ff_clock": 3e-14, "lutram_clock": 9e-14, "bram_access": 2e-11,
    "dsp_op": 8e-12, "static_base_w": 0.05, "static_lut_w": 1e-6,
}  # fmt: skip


def _made(index: int, rng: np.random.Generator) -> Report:
    """Return a report of a made-up design whose rows are exactly what ``TRUTH`` says."""
    used = Used(
        lut=float(rng.integers(5000, 50000)), ff=float(rng.integers(5000, 60000)),
        carry=float(rng.integers(500, 5000)), lutram=400.0, srl=300.0, mux=0.0,
        nets=float(rng.integers(10000, 90000)), bram=40.0, dsp=90.0,
    )  # fmt: skip
    period = float(rng.uniform(2, 20))
    hertz, active = 1e9 / period, float(rng.uniform(0.05, 0.4))
    luts = 1e4 * (index + 6)
    parts = {
        "clocks": TRUTH["clock_tree"] + TRUTH["ff_clock"] * used.ff,
        "signals": TRUTH["net_toggle"] * used.nets * active,
        "lut": TRUTH["lut_toggle"] * used.lut * active,
        "ff": TRUTH["ff_toggle"] * used.ff * active,
        "carry": TRUTH["carry_toggle"] * used.carry * active,
        "lutram": TRUTH["lutram_clock"] * used.lutram,
        "srl": TRUTH["lutram_clock"] * used.srl,
        "bram": TRUTH["bram_access"] * used.bram,
        "dsp": TRUTH["dsp_op"] * used.dsp,
    }
    rows = {name: joules * hertz * 1e3 for name, joules in parts.items()}
    static = (TRUTH["static_base_w"] + TRUTH["static_lut_w"] * luts) * 1e3
    dynamic = sum(rows.values())
    known = Known(activity=active, low=active / 2, high=active * 2, source="made up")
    return Report(
        name=f"made-{index}", repo=f"made/{index}", path="power.rpt", commit="0" * 12,
        device="made", family="xc7", device_luts=luts, vivado="0", state="routed",
        confidence="low", activity="vectorless", clock_ns=(period,), one_clock=True,
        junction_c=26.0, used=used,
        milliwatts=Milliwatts(**rows, static=static, dynamic=dynamic, total=dynamic + static),
        known=known if index == 0 else None,
    )  # fmt: skip


def test_the_fit_recovers_what_made_up_reports_were_made_of() -> None:
    rng = np.random.default_rng(11)
    found = fit([_made(index, rng) for index in range(9)], "xc7")
    assert set(found.bars) == set(TRUTH)
    for name, truth in TRUTH.items():
        value, low, high = found.bars[name]
        assert value == pytest.approx(truth, rel=0.01), name
        assert low <= value <= high


def test_one_wild_report_among_nine_moves_no_coefficient_far() -> None:
    rng = np.random.default_rng(12)
    made = [_made(index, rng) for index in range(9)]
    wild = made[4].milliwatts.model_copy(update={"lut": 1e5, "clocks": 1e5, "ff": 1e4})
    made[4] = made[4].model_copy(update={"milliwatts": wild})
    found = fit(made, "xc7")
    for name in ("lut_toggle", "ff_toggle", "ff_clock", "clock_tree"):
        assert found.value(name) == pytest.approx(TRUTH[name], rel=0.05), name


def test_a_family_without_a_known_activity_has_no_fit() -> None:
    rng = np.random.default_rng(13)
    with pytest.raises(ValueError, match="no report of xc7 shows net_toggle"):
        fit([_made(index, rng) for index in range(1, 5)], "xc7")


def test_reports_outside_the_fit_are_met_as_the_page_says() -> None:
    outside = held_out(reports())
    assert len({each.report.repo for each in outside}) >= 10
    for row, worst, most in (("clocks", 2.5, 1.6), ("logic", 2.5, 2.0), ("static", 1.3, 1.2)):
        for family in FAMILIES:
            some = [e for e in outside if e.row == row and e.report.family == family]
            assert len(some) >= 2
            _, two_thirds, largest = spread(some)
            assert two_thirds <= most and largest <= worst, (row, family)


def test_each_filter_is_met_by_the_scale_of_the_other() -> None:
    checks, _ = left_out(reports())
    known = {each.report.name: each.factor for each in checks if each.row == "known"}
    assert set(known) == {"fir-katim", "fir-system"}
    assert all(0.6 < factor < 1.6 for factor in known.values())


def test_the_bar_of_the_scale_holds_what_each_filter_alone_would_say() -> None:
    fitted = fit_all(training(reports()))["xcup"].bars["net_toggle"]
    for report in reports():
        if report.family == "xcup" and report.known is not None:
            assert report in training(reports())
            alone = report.each("signals", "nets")
            for active in (report.known.low, report.known.activity, report.known.high):
                assert fitted[1] * 0.999 <= alone / active <= fitted[2] * 1.001


def test_blocks_that_idle_in_few_reports_take_the_middle_of_two_families() -> None:
    fitted = fit_all(training(reports()))
    for name in ("bram_access", "dsp_op"):
        value, low, high = fitted["xcup"].bars[name]
        other = fitted["xc7"].value(name)
        assert low < value < high == pytest.approx(other)
        assert "mostly idle" in fitted["xcup"].sources[name]


def test_every_repository_but_the_only_one_that_tells_its_activity_is_left_out_once() -> None:
    checks, impossible = left_out(reports())
    assert impossible == ["114-pri/Capstone"]
    left = {report.repo for report in reports()} - set(impossible)
    assert {each.report.repo for each in checks} <= left
    assert len({each.report.repo for each in checks}) >= 24


def test_the_page_shows_the_tables_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, table in tables(reports()).items():
        assert table in (LISTED.read_text(encoding="utf-8") if name == "reports" else page), name


def test_the_page_shows_the_coefficients_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for family, each in fit_all(training(reports())).items():
        for name, (value, low, high) in each.bars.items():
            row = f"| {name} | {family} | {value:.3g} | {low:.3g} to {high:.3g} |"
            assert row in page


def test_a_device_s_coefficients_and_its_static_power() -> None:
    large, small = coefficients(load("xcvu13p")), coefficients(load("xczu9eg"))
    assert large.lut_toggle == small.lut_toggle
    assert large.static_w.value > 4 * small.static_w.value
    for name in type(large).model_fields:
        figure = getattr(large, name)
        if name not in ("family", "device_luts"):
            assert figure.kind == "modelled" and figure.low <= figure.value <= figure.high


def test_a_device_without_reports_has_no_coefficients() -> None:
    with pytest.raises(ConfigError, match="E022 no coefficients"):
        coefficients(load("lfe5u-85f"))


def _telegraph(bits: int, clocks: int, rng: np.random.Generator) -> np.ndarray:
    """Return bits that change with 12.5 % a clock, the default of a vectorless report."""
    flips = rng.random((clocks, bits)) < 0.125
    return (np.cumsum(flips, axis=0) + rng.integers(0, 2, bits)) % 2


def _filter_activity(seed: int, clocks: int = 2000, half: int = 25) -> float:
    """Return toggles a net and clock of a symmetric filter of 50 taps, values settled.

    A 16-bit delay line and 25 product registers move where two inputs enable them; adders in front,
    a tree of adders behind.
    """
    rng = np.random.default_rng(seed)
    bits, enabled = _telegraph(16, clocks, rng), _telegraph(2, clocks, rng).all(axis=1)
    x = bits[:, :15] @ (1 << np.arange(15)) - bits[:, 15] * (1 << 15)
    taps = rng.integers(-9000, 9000, half)
    line, products = np.zeros(2 * half, np.int64), np.zeros(half, np.int64)
    states: dict[int, list[np.ndarray]] = {16: [], 17: [], 33: [], 36: []}
    for clock in range(clocks):
        front = line[:half] + line[::-1][:half]
        tree, level = [], list(products)
        while len(level) > 1:
            sums = [a + b for a, b in zip(level[::2], level[1::2], strict=False)]
            tree += sums
            level = sums + level[len(sums) * 2 :]
        for width, now in ((16, line), (17, front), (33, products), (36, tree)):
            states[width].append(np.array(now))
        if enabled[clock]:
            products, line = front * taps, np.roll(line, 1)
            line[0] = x[clock]
    toggles, nets = 0.0, 0
    for width, each in states.items():
        values = np.array(each)
        changed = (values[1:] ^ values[:-1])[..., None] >> np.arange(width) & 1
        toggles += float(changed.mean(axis=0).sum())
        nets += changed[0].size
    return toggles / nets


def test_the_known_activity_of_the_filters_is_what_such_a_filter_has() -> None:
    found = np.array([_filter_activity(seed) for seed in range(3)])
    for report in reports():
        if report.name in ("fir-katim", "fir-system"):
            assert report.known is not None
            assert (report.known.low < found).all() and (found < report.known.high).all()
            assert found.mean() == pytest.approx(report.known.activity, rel=0.1)
