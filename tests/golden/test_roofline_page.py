"""docs/roofline.md is what the models, the published points and the shipped records say."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateformer.baselines.fitting import WITHIN
from gateformer.baselines.roofline_page import page, predicted, records

PAGE = Path(__file__).parents[2] / "docs/roofline.md"


def test_page_is_the_models_and_records() -> None:
    assert PAGE.read_text("utf-8") == page(), (
        "python -m gateformer.baselines.roofline_page > docs/roofline.md"
    )


def test_decode_times_are_predicted_from_smaller_decoders() -> None:
    found = [two for _, two in predicted(records()) if two.law.samples > 1]
    if not found:
        pytest.skip("no three decoders of one runtime and machine are among the shipped records")
    outside = [round(one.error, 3) for one in found if abs(one.error) > WITHIN]
    assert not outside, f"{len(outside)} of {len(found)}: {outside}"
