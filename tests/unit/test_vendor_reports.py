"""Reports of vendor tools, read.

No vendor tool runs here: the texts in ``mock_tools/reports`` are written to the formats that the
vendors document (UG906, UG907, UG1399, UG902, Quartus' and Intel HLS' handbooks).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
from mock_tools.kit import REPORTS

from gateformer.toolchains import hls_reports, quartus_reports, vivado_reports
from gateformer.toolchains.plan import Metrics
from gateformer.toolchains.text import number

Parse = Callable[[str], Metrics]
ARRIA = partial(quartus_reports.fit, "arria10")
CYCLONE = partial(quartus_reports.fit, "cyclonev")
AT_5 = partial(quartus_reports.timing, 5.0)


def text(name: str) -> str:
    return (REPORTS / name).read_text(encoding="utf-8")


CASES: list[tuple[str, Parse, Metrics]] = [
    (
        "vivado_utilization.rpt",
        vivado_reports.utilization,
        {"lut": 61934, "ff": 80211, "bram": 4.5, "uram": 2, "dsp": 1311, "version": "2023.1"},
    ),
    (
        "vivado_utilization_7series.rpt",
        vivado_reports.utilization,
        {"lut": 4321, "ff": 6543, "bram": 1.5, "dsp": 16, "version": "2020.1"},
    ),
    (
        "vivado_timing_met.rpt",
        vivado_reports.timing,
        {
            "wns_ns": 1.0,
            "whs_ns": 0.012,
            "wpws_ns": 1.958,
            "failing_endpoints": 0,
            "fmax_mhz": 250.0,
            "timing_met": True,
        },
    ),
    (
        "vivado_timing_failed.rpt",
        vivado_reports.timing,
        {
            "wns_ns": -0.417,
            "whs_ns": 0.012,
            "wpws_ns": 1.958,
            "failing_endpoints": 310,
            "fmax_mhz": 184.6,
            "timing_met": False,
        },
    ),
    (
        "vivado_power.rpt",
        vivado_reports.power,
        {
            "power_w": 5.281,
            "power_dynamic_w": 2.13,
            "power_static_w": 3.151,
            "power_confidence": "low",
        },
    ),
    (
        "vitis_csynth.xml",
        hls_reports.csynth,
        {
            "version": "2023.1",
            "clock_ns_estimated": 3.641,
            "timing_met": True,
            "fmax_mhz": 274.65,
            "latency_cycles_best": 41,
            "latency_cycles": 41,
            "interval_cycles_best": 1,
            "interval_cycles": 1,
            "bram": 3.5,
            "dsp": 214,
            "ff": 30122,
            "lut": 48701,
            "uram": 0,
        },
    ),
    (
        "vivado_hls_csynth.xml",
        hls_reports.csynth,
        {
            "version": "2020.1",
            "clock_ns_estimated": 5.318,
            "timing_met": False,
            "fmax_mhz": 188.04,
            "latency_cycles_best": None,
            "latency_cycles": None,
            "interval_cycles_best": None,
            "interval_cycles": None,
            "bram": 3.5,
            "dsp": 214,
            "ff": 30122,
            "lut": 48701,
            "uram": 0,
        },
    ),
    (
        "quartus.fit.summary",
        CYCLONE,
        {
            "lut": 8123,
            "ff": 15432,
            "dsp": 64,
            "ram_blocks": 18,
            "bram": 5.0,
            "version": "22.1std.1",
        },
    ),
    (
        "quartus_pro.fit.summary",
        ARRIA,
        {"lut": 21876, "ff": 40321, "dsp": 128, "ram_blocks": 9, "bram": 5.0, "version": "23.1.0"},
    ),
    (
        "quartus.sta.summary",
        AT_5,
        {
            "wns_ns": 0.713,
            "whs_ns": 0.119,
            "wpws_ns": 1.612,
            "timing_met": True,
            "fmax_mhz": 233.26,
        },
    ),
    (
        "quartus_failed.sta.summary",
        AT_5,
        {
            "wns_ns": -1.25,
            "whs_ns": 0.119,
            "wpws_ns": 1.612,
            "timing_met": False,
            "fmax_mhz": 160.0,
        },
    ),
    ("quartus.pow.summary", quartus_reports.power, {"power_w": 0.84357}),
    (
        "intel_report_data.js",
        hls_reports.intel_estimate,
        {"alut": 28911, "ff": 58120, "ram_blocks": 79, "dsp": 127, "mlab": 44},
    ),
    (
        "intel_quartus_data.js",
        hls_reports.intel_fit,
        {
            "fmax_mhz": 241.25,
            "fit_lut": 19004.5,
            "fit_ff": 51021,
            "fit_dsp": 124,
            "fit_ram_blocks": 70,
        },
    ),
]
PARSERS = {name: parse for name, parse, _ in CASES}


@pytest.mark.parametrize(("name", "parse", "expected"), CASES, ids=list(PARSERS))
def test_a_report_says(name: str, parse: Parse, expected: Metrics) -> None:
    assert parse(text(name)) == expected


@pytest.mark.parametrize(("name", "parse"), PARSERS.items(), ids=list(PARSERS))
def test_windows_line_ends_change_nothing(name: str, parse: Parse) -> None:
    assert parse(text(name).replace("\n", "\r\n")) == parse(text(name))


@pytest.mark.parametrize(("name", "parse"), PARSERS.items(), ids=list(PARSERS))
@pytest.mark.parametrize("damage", ["empty", "half", "words", "infinite"])
def test_a_damaged_report_is_an_error_or_fewer_numbers(
    name: str, parse: Parse, damage: str
) -> None:
    whole = text(name)
    damaged = {
        "empty": "",
        "half": whole[: len(whole) // 2],
        "words": "\x00\ufffd no report at all | x | y |\n",
        "infinite": whole.replace("0.", "nan ").replace("5", "inf"),
    }[damage]
    try:
        found = parse(damaged)
    except ValueError as error:
        assert str(error)
        return
    assert damage in ("half", "infinite") and found
    assert all(not isinstance(v, float) or math.isfinite(v) for v in found.values())


def test_synthesis_alone_gives_no_verdict_on_timing() -> None:
    found = vivado_reports.timing_estimate(text("vivado_timing_failed.rpt"))
    assert found["wns_ns"] == -0.417 and "timing_met" not in found


def test_a_violated_hold_is_no_timing_met() -> None:
    late = text("vivado_timing_met.rpt").replace("0.012 ", "-0.012", 1)
    assert vivado_reports.timing(late)["timing_met"] is False


def test_a_violated_recovery_is_no_timing_met() -> None:
    late = text("quartus.sta.summary").replace(
        "Type  : Slow 1100mV 85C Model Hold", "Type  : Slow 1100mV 85C Model Recovery"
    )
    assert AT_5(late)["timing_met"] is True
    assert AT_5(late.replace("0.291", "-0.291"))["timing_met"] is False


@pytest.mark.parametrize("said", ["undef", "?", "-", "", "²"])
def test_a_latency_that_the_compiler_cannot_tell(said: str) -> None:
    found = hls_reports.csynth(text("vitis_csynth.xml").replace(">41<", f">{said}<"))
    assert found["latency_cycles"] is None and found["lut"] == 48701


@pytest.mark.parametrize(
    ("parse", "given", "words"),
    [
        (vivado_reports.timing, text("vivado_timing_unconstrained.rpt"), "no path that a clock"),
        (vivado_reports.utilization, "| CLB LUTs | 1 | 0 | 9 | 9 |", "CLB Registers"),
        (hls_reports.csynth, "<profile>", "no XML"),
        (hls_reports.csynth, "<profile/>", "TargetClockPeriod"),
        (CYCLONE, "Fitter Status : Failed - Mon Jun  5 10:31:09 2023", "status is Failed"),
        (
            hls_reports.intel_fit,
            text("intel_quartus_data.js").replace("241.25", "TBD"),
            "has not run",
        ),
    ],
)
def test_a_report_without_its_point_says_so(parse: Parse, given: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(given)


@pytest.mark.parametrize(
    ("said", "value"), [("12,345", 12345), (" 4.5 ", 4.5), ("-0.417", -0.417), ("1e3", 1000.0)]
)
def test_numbers_as_tools_write_them(said: str, value: float) -> None:
    assert number(said) == value


@pytest.mark.parametrize("said", ["inf", "-nan", "", "12 ns", "0x10"])
def test_what_is_no_number(said: str) -> None:
    with pytest.raises(ValueError):
        number(said)
