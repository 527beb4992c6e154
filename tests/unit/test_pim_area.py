"""Area of the memory's Verilog: the library, what yosys counts, and the page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateformer.pim import area_page
from gateformer.pim.area import sky130, synthesize
from gateformer.quant.errors import ToolError

PAGE = Path(__file__).parents[2] / "docs/pim_area.md"


def test_the_library_is_sizes_and_functions() -> None:
    library = sky130()
    assert library.unit_um2 == pytest.approx(3.7536)
    assert library.areas["dfxtp"] == pytest.approx(20.0192)
    text = library.liberty()
    assert text.count("  cell (") == len(library.functions) + 1 == len(library.areas)
    cell = text[text.index("cell (o21ai)") : text.index("cell (a22oi)")]
    assert cell.split("\n", 1)[1] == (
        "    area : 5.0048;\n"
        "    pin (A1) { direction : input; }\n"
        "    pin (A2) { direction : input; }\n"
        "    pin (B1) { direction : input; }\n"
        '    pin (Y) { direction : output; function : "!((A1|A2)&B1)"; }\n'
        "  }\n  "
    )


@pytest.mark.synth
def test_registers_of_a_pipeline(tmp_path: Path) -> None:
    """Two additions that differ in their registers alone."""
    plain = synthesize("gf_pim_fp32_add", tmp_path / "0")
    staged = synthesize("gf_pim_fp32_add", tmp_path / "2", parameters={"STAGES": 2})
    assert plain.registers == 0 == plain.register_um2
    # 63 bits before the sum; sum, exponent, sign, NaN, infinity and count before the shift
    assert 90 <= staged.registers <= 63 + 28 + 9 + 3 + 5
    assert staged.register_um2 == pytest.approx(staged.registers * 20.0192)
    assert 0.9 < (staged.um2 - staged.register_um2) / plain.um2 < 1.1


@pytest.mark.synth
def test_what_is_kept_apart_is_counted(tmp_path: Path) -> None:
    kept = area_page.OPERATORS
    tree = synthesize("gf_pim_fp32_tree", tmp_path, parameters={"LANES": 4}, kept=kept)
    add = synthesize("gf_pim_fp32_add", tmp_path / "add")
    assert tree.inside == {"gf_pim_fp32_add": 3}
    assert tree.parts["gf_pim_fp32_add"] == pytest.approx(tree.um2)
    assert tree.um2 == pytest.approx(3 * add.um2, rel=0.02)


@pytest.mark.synth
def test_a_parameter_that_the_module_has_not(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="exit code") as caught:
        synthesize("gf_pim_fp32_add", tmp_path, parameters={"LANES": 4})
    assert caught.value.code == "E502"


@pytest.mark.synth
def test_a_macs_row_of_the_page(tmp_path: Path) -> None:
    mac = area_page.MACS[0]
    found = synthesize(
        mac.top, tmp_path, parameters=mac.parameters, kept=area_page.OPERATORS
    )  # fmt: skip
    cells = [f"{found.cells:,}", f"{found.registers:,}", f"{found.um2 / 1e6:.3f}"]
    assert f"| {' | '.join([mac.label, *cells])} |" in PAGE.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.synth
def test_page_is_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "page.md"
    monkeypatch.setattr(sys, "argv", ["area_page", str(found)])
    assert area_page.main() == 0
    assert found.read_text("utf-8") == PAGE.read_text("utf-8")
    monkeypatch.setattr(sys, "argv", ["area_page"])
    assert area_page.main() == 2
    assert "usage" in capsys.readouterr().err
