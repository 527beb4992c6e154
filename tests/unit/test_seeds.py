"""The page of the published systems: their claims, our rows, and no ratio that must not be."""

from __future__ import annotations

from typing import Any

from gateformer.comparing import seeds
from gateformer.comparing.rows import Absent, Comparison, Row, Subject
from gateformer.energy.figure import Energy
from gateformer.pim.comparing import CLAIMS, versus
from gateformer.sim.pim import simulate


def row(model: str, platform: Any, seconds: float, precision: str, **more: Any) -> Row:
    given: dict[str, Any] = {
        "machine": platform,
        "system": "some",
        "tier": "tuned",
        "kind": "measured",
        "per_second": 1 / seconds,
        "source": "how",
        "transfer": "device",
    }
    return Row(model=model, platform=platform, median=seconds, precision=precision,
               **(given | more))  # fmt: skip


FOUND = Comparison(
    (
        Subject(name="btag", kind="network", words="9,135 parameters", accuracy="AUC 0.85"),
        Subject(name="gpt2-small", kind="decode", words="124 M", context=128),
    ),
    (
        row(
            "btag", "FPGA", 7e-7, "integers", kind="simulated", tier="hardware", samples=9,
            system="5 ns, unrouted", area={"DSP": 1314.0}, area_note="counted by yosys",
            energy=Energy(
                value=2e-6, low=1e-6, high=4e-6, kind="modelled", source="s", boundary="chip"
            ),
        ),
        row("btag", "CPU", 5e-5, "fp32", p99=9e-5, samples=99, system="torch", tier="eager"),
        row("gpt2-small", "PIM", 1e-4, "bf16", kind="simulated", tier="hardware"),
        row("gpt2-small", "CPU", 4e-2, "bf16", tier="eager", system="torch"),
        row("gpt2-small", "CPU", 2e-2, "bf16", system="openvino"),
        row("gpt2-small", "CPU", 5e-3, "q4_0", system="llama.cpp"),
        row("gpt2-small", "GPU", 2e-3, "fp16", kind="modelled", machine="T4", tier="tuned"),
    ),
    (Absent(model="gpt2-xl", platform="CPU", reason="nothing is recorded of it"),),
    ("Measured here: a machine.",),
)  # fmt: skip


def page() -> str:
    return seeds.page(FOUND, {"gpt2-small": versus(simulate("gpt2-small", 2))})


def test_every_published_claim_stands_on_the_page_with_its_source() -> None:
    text = page()
    for number in ("2402.01047", "2409.05207", "2510.24784", "under 2", "0.044 to 0.104"):
        assert number in text
    for claim in CLAIMS.values():
        for low, high in (claim.speed, claim.first, claim.revised):
            assert f"{low:g} to {high:g}x" in text


def test_our_rows_say_what_they_are() -> None:
    line = next(line for line in page().splitlines() if line.startswith("| FPGA: "))
    assert "| 0.7 |" in line
    assert "2 (1 to 4); modelled" in line
    assert "1,314" in line
    assert "| simulated |" in line
    assert "No clock was routed" in page()
    assert "No CPU's time of gpt2-xl: nothing is recorded of it" in page()


def test_only_rows_of_one_precision_are_divided() -> None:
    line = next(line for line in page().splitlines() if line.startswith("| gpt2-small |"))
    assert "40 ms, torch bf16: 400x" in line
    assert "20 ms, openvino bf16: 200x" in line
    assert "5 ms, llama.cpp q4_0 |" in line
    assert "2 ms: about 20x" in line


def test_columns_that_nobody_has_are_left_out() -> None:
    text = page()
    assert "H100, tuned" not in text
    assert "GPU, measured" not in text


def test_modelled_times_have_their_error_bar_and_the_command_its_overrides() -> None:
    gpu = row(
        "btag", "GPU", 2e-4, "fp32", kind="modelled", low=1e-4, high=3e-4,
        source="93 operations x 2 us (a manual)",
    )  # fmt: skip
    some = Comparison(FOUND.subjects, (*FOUND.rows, gpu), FOUND.absent)
    text = seeds.page(some, {"gpt2-small": versus(simulate("gpt2-small", 2))}, ("synth=off",))
    line = next(line for line in text.splitlines() if line.startswith("| GPU: "))
    assert "| 200 (100 to 300) |" in line
    assert line.endswith("| 93 operations x 2 us |")
    assert "docs/seeds.md synth=off`" in text


def test_same_rows_same_page() -> None:
    assert page() == page()
