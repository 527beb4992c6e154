"""Numbers and what they count."""

from __future__ import annotations

import pytest

from gateformer.quant.words import counted


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 tokens"), (1, "1 token"), (2, "2 tokens"), (2048, "2,048 tokens")],
)
def test_one_is_no_plural(number: int, said: str) -> None:
    assert counted(number, "token") == said
