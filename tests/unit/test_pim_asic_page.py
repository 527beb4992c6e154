"""The page of the ASIC's Verilog: what stands there is what its command writes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateformer.pim import asic_page
from gateformer.pim.asic_accuracy import DOMAINS, accuracies, forms_apart, of_vectors

PAGE = Path(__file__).parents[2] / "docs/pim_asic.md"


def test_page_is_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "page.md"
    monkeypatch.setattr(sys, "argv", ["asic_page", str(found)])
    assert asic_page.main() == 0
    assert found.read_text("utf-8") == PAGE.read_text("utf-8")
    monkeypatch.setattr(sys, "argv", ["asic_page"])
    assert asic_page.main() == 2
    assert "usage" in capsys.readouterr().err


def test_errors_where_functions_are_used() -> None:
    """Rounding alone is off by up to half a unit in the last place."""
    found = {(one.function, one.domain): one for one in accuracies()}
    used = {name: found[name, domains[0][0]] for name, domains in DOMAINS.items()}
    for name, (relative, ulps) in {
        "exp": (8e-4, 0.60), "reciprocal": (1.3e-5, 0.5), "rsqrt": (5e-6, 0.5),
        "gelu": (8e-4, 0.63), "silu": (8e-4, 0.63),
    }.items():  # fmt: skip
        assert used[name].relative is not None
        assert used[name].relative <= relative
        assert used[name].ulps <= ulps
        assert used[name].missed < 0.003
    for one in found.values():
        assert one.ulps <= 0.63 or one.absolute < 3e-36
    assert forms_apart() < 5e-4


def test_domains_are_all_numbers() -> None:
    """But for those whose results are settled: 0, infinities, NaN, and rsqrt's negative numbers."""
    numbers: dict[str, int] = {}
    for one in accuracies():
        numbers[one.function] = numbers.get(one.function, 0) + one.numbers
    finite = (1 << 16) - 2 * 128
    own = {"reciprocal": finite - 2, "rsqrt": finite // 2 - 1}
    assert numbers == {name: own.get(name, finite) for name in DOMAINS}


@pytest.mark.parametrize("lanes", [4, 16, 64])
def test_errors_of_vectors(lanes: int) -> None:
    """A softmax has exp's error, and norms those of sums; the lanes matter little."""
    most = {"softmax": 8e-4, "layernorm": 1e-3, "rmsnorm": 1e-5}
    for name, relative, ulps, missed in of_vectors(lanes):
        assert relative <= most.pop(name)
        assert ulps <= 0.63
        assert missed <= 0.03
    assert not most
