"""docs/roofline.md is what the models, the published points and the shipped records say."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.baseline_records import record

from gateformer.baselines.fitting import WITHIN
from gateformer.baselines.record import Record
from gateformer.baselines.roofline_page import firm, page, predicted, records

PAGE = Path(__file__).parents[2] / "docs/roofline.md"


def test_page_is_the_models_and_records() -> None:
    assert PAGE.read_text("utf-8") == page(), (
        "python -m gateformer.baselines.roofline_page > docs/roofline.md"
    )


def test_decode_times_are_predicted_from_smaller_decoders() -> None:
    given = [one for one in records() if one.workload.kind == "decode"]
    if not given:
        pytest.skip("no record of a decoder is among the shipped ones")
    assert not outside(given), "\n".join(outside(given))


def outside(given: list[Record]) -> list[str]:
    """Say which predictions are further off than they may be; that there are none is a fault too.

    Every runtime and precision counts of which two smaller shapes were measured.
    """
    held = firm(predicted(given))
    wrong = [
        f"{one.hardware.id} {one.workload.name} {one.setup.runtime}:{one.setup.precision} "
        f"{one.pages} pages: {two.seconds * 1e3:.3f} ms from {', '.join(two.fitted)}, measured "
        f"{one.times.median * 1e3:.3f}, {two.error:+.1%}"
        for one, two in held
        if not abs(two.error) <= WITHIN
    ]
    if wrong:
        return [
            f"{len(wrong)} of {len(held)} predictions are off by more than {WITHIN:.0%}",
            *wrong,
        ]
    return [] if held else ["no decoder has two smaller ones of its runtime and machine"]


def test_predictions_that_are_off_are_all_named() -> None:
    def made(name: str, layers: int, size: int, seconds: float, runtime: str = "r") -> Record:
        times = dict.fromkeys(("minimum", "median", "p90", "p99", "mean"), seconds)
        return record(
            workload={"name": name, "layers": layers, "bytes": size * 10**6},
            setup={"runtime": runtime},
            times=times,
        )

    small = [made("cut", 6, 300, 0.009), made("small", 12, 300, 0.012)]
    assert outside([*small, made("medium", 24, 1000, 0.038)]) == []
    said = outside([*small, made("medium", 24, 1000, 0.050), made("large", 36, 3000, 0.050)])
    assert said[0].startswith("2 of 2 predictions")
    assert "medium r:f16 plain pages" in said[1] and "-36.0%" in said[1]
    assert "large" in said[2]
    (none,) = outside([*small, made("medium", 24, 1000, 0.038, "q")])
    assert "no decoder has two smaller ones" in none
