"""The comparison's rows, what may be divided, its drawings and its page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gateformer.baselines import store
from gateformer.baselines.record import Hardware, Record, Setup, Times, Workload
from gateformer.comparing import collect, fpga, measured, modelled, page, pim, plots, tables
from gateformer.comparing.rows import (
    Absent,
    Comparison,
    Ratio,
    Row,
    Subject,
    times_as_fast,
    times_less_energy,
)
from gateformer.comparing.subjects import find
from gateformer.energy.figure import Energy
from gateformer.energy.meters.estimate import Constants
from gateformer.pim.screen import Block
from gateformer.quant import models
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, PimError, Problems

HOSTILE = "<script>alert(1)</script>\"'&|"
VOID = {"meta", "br", "hr", "img", "input", "link"}
TINY = Decoder("tiny", 2, 64, 4, 4, 16, 256, 500, 128)


def joules(value: float = 2e-6, boundary: Any = "chip", **more: Any) -> Energy:
    return Energy(value=value, kind="modelled", source="toggles", boundary=boundary, **more)


def row(**changes: Any) -> Row:
    base: dict[str, Any] = {
        "model": "net", "platform": "CPU", "machine": "a machine", "system": "runtime 1",
        "tier": "tuned", "precision": "fp32", "kind": "measured", "median": 2e-6, "p99": 3e-6,
        "samples": 100, "per_second": 5e5, "source": "a command", "transfer": "device",
    }  # fmt: skip
    return Row(**base | changes)


def record(**changes: Any) -> Record:
    base: dict[str, Any] = {
        "workload": Workload(
            name="net", kind="network", fingerprint="ab", batch=1, context=0, layers=2,
            parameters=10, operations=20, bytes=4000,
        ),
        "hardware": Hardware(
            id="here", kind="cpu", name="A processor", cores=2, memory_gb=8.0, bandwidth_gbs=40.0,
            bandwidth_method="triad", details={},
        ),
        "setup": Setup(
            runtime="onnxruntime", version="1.2", precision="fp32", tier="tuned", threads=1,
            options={},
        ),
        "times": Times(
            samples=50, warmup=3, minimum=1e-6, median=2e-6, p90=3e-6, p99=4e-6, mean=2e-6
        ),
        "energy": None, "energy_note": "not measurable here: no RAPL", "transfer": False,
        "difference": 0.0, "load": 0.1, "date": "2026-11-02", "command": "gateformer baseline cpu",
    }  # fmt: skip
    return Record(**base | changes)


def test_only_like_is_divided_by_like() -> None:
    ours = row(platform="PIM", precision="bf16", median=1e-6, energy=joules(1e-6))
    assert times_as_fast(ours, row(precision="fp16")) == Ratio(2, 2, 2, exact=True)
    assert times_as_fast(ours, row(precision="fp16", transfer="with host")) == "other transfer"
    assert times_as_fast(ours, row(precision="fp32")) == "other precision"
    assert times_as_fast(ours, row(precision="bf16", batch=4)) == "other batch"
    same = {"precision": "fp16", "energy": joules(3e-6)}
    assert times_less_energy(ours, row(**same)) == Ratio(
        pytest.approx(3), pytest.approx(3), pytest.approx(3), exact=False
    )
    assert times_less_energy(ours, row(**same, energy_bound=True)) == "upper bound"
    assert times_less_energy(ours, row(**same | {"batch": 2})) == "other batch"
    assert times_less_energy(ours, row(**same | {"precision": "int8"})) == "other precision"
    assert times_less_energy(ours, row(precision="fp16")) == "no joules"
    assert times_less_energy(row(), row(**same)) == "no joules"
    board = row(**same | {"energy": joules(3e-6, "board")})
    assert times_less_energy(ours, board) == "other boundary"


def test_a_ratio_spans_its_error_bars_and_has_no_digits_that_say_nothing() -> None:
    ours = row(platform="PIM", kind="simulated", energy=joules(2e-6, low=1e-6, high=4e-6))
    other = row(kind="modelled", median=32.64e-6, low=16e-6, high=64e-6, energy=joules(3.3333e-5))
    found = times_as_fast(ours, other)
    assert isinstance(found, Ratio)
    assert (found.low, found.high) == (pytest.approx(8), pytest.approx(32))
    assert tables.times_words(found) == "16x (8 to 32x)"
    assert tables.times_words(times_less_energy(ours, other)) == "17x (8.3 to 33x)"
    assert tables.times_words(times_as_fast(ours, row(kind="modelled", median=2.469e-4))) == (
        "about 120x"
    )
    assert tables.times_words(times_as_fast(ours, row(median=2.469e-4))) == "123x"


def test_energy_times_delay_is_of_one_inference_alone() -> None:
    assert row(energy=joules(4e-6), median=0.5).edp == pytest.approx(2e-6)
    streamed = row(energy=joules(4e-6), energy_alone=joules(9e-6), median=0.5)
    assert streamed.edp == pytest.approx(4.5e-6)
    ratio = times_less_energy(streamed, row(energy=joules(18e-6)))
    assert isinstance(ratio, Ratio) and ratio.value == pytest.approx(2)
    assert row(energy=joules(4e-6), energy_bound=True).edp is None
    assert row().edp is None


def test_records_become_rows_that_say_where_and_when() -> None:
    other = Hardware(
        id="h100", kind="gpu", name="H100", cores=132, memory_gb=80.0, bandwidth_gbs=None,
        bandwidth_method="not measured", details={},
    )  # fmt: skip
    metered = Energy(value=0.5, kind="measured", source="NVML", boundary="board")
    gpu = record(hardware=other, energy=metered, energy_note="NVML", transfer=True, difference=None)
    own = [record().hardware]
    (now,) = measured.rows("net", [record()], own, fresh={store.key(record())})
    assert (now.recorded, now.here) == ("", True)
    here, there = measured.rows("net", [record(), gpu], own)
    assert (here.platform, here.recorded, here.kind) == (
        "CPU", "this machine, 2026-11-02", "measured",
    )  # fmt: skip
    assert here.samples == 50 and here.p99 is None and now.p90 == 3e-6
    assert here.gbs == pytest.approx(2.0) and here.share == pytest.approx(0.05)
    assert here.name == "onnxruntime, fp32"
    assert here.energy is None and "no RAPL" in here.energy_note
    assert (there.platform, there.recorded) == ("GPU", "H100 (h100), 2026-11-02")
    assert there.energy == metered and there.share is None
    assert "not compared" in there.exactness and there.transfer == "with host"
    assert here.transfer == "device"
    assert there.name.startswith("H100, ") and not there.here


def test_a_machine_of_one_id_and_another_kernel_is_another() -> None:
    details = {"kernel": "2.6", "caches": "L3 8M"}
    old = record().hardware.model_copy(update={"details": details})
    (found,) = measured.rows("net", [record(hardware=old)], [record().hardware])
    assert not found.here and found.recorded == "A processor (here), 2026-11-02"
    assert found.name.startswith("A processor, ")
    board = record().hardware.model_copy(update={"kind": "gpu"})
    assert not measured.same(board, record().hardware)


def test_huge_pages_and_eager_are_told_apart() -> None:
    setup = record().setup.model_copy(
        update={"options": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}, "tier": "eager"}
    )
    own = [record().hardware]
    one, other = measured.rows("net", [record(), record(setup=setup)], own)
    assert (one.system, other.system) == ("onnxruntime", "onnxruntime, eager, huge pages")
    assert other.version == "onnxruntime 1.2"


def test_estimates_are_modelled_of_this_machine_alone_and_never_replace_a_meter() -> None:
    constants = Constants(100.0, 10.0, 4, "a table")
    metered = Energy(value=0.5, kind="measured", source="RAPL", boundary="package")
    there = record(hardware=record().hardware.model_copy(update={"id": "there"}))
    some = [record(), record(energy=metered, energy_note="RAPL"), there]
    here, read, other = measured.rows("net", some, [record().hardware], constants)
    assert here.energy is not None and here.energy.kind == "modelled"
    assert here.energy.value == pytest.approx((100 / 4 + 10) * 2e-6)
    assert "nothing was metered" in here.energy.source and "a table" in here.energy.source
    assert read.energy == metered and other.energy is None


def test_a_crowded_machine_is_told() -> None:
    own = [record().hardware]
    (alone,) = measured.rows("net", [record()], own)
    assert alone.load == pytest.approx(0.05)
    (crowded,) = measured.rows("net", [record(load=8.0)], own)
    assert not [one for one in collect.notes([alone]) if "beside" in one]
    (note,) = (one for one in collect.notes([alone, crowded]) if "beside" in one)
    assert note.startswith("Up to 4.0 processes a core")


def test_what_shares_a_reason_shares_a_row() -> None:
    why = [
        ("a:fp32", "not installed: a"),
        ("b:int8", "E851 runtime failed"),
        ("a:int8", "not installed: a"),
    ]
    found = measured.lacking("net", "CPU", why)
    assert [one.reason for one in found] == [
        "a:fp32, a:int8: not installed: a",
        "b:int8: E851 runtime failed",
    ]


METRICS: dict[str, Any] = {
    "simulate.verilator.latency_cycles": 137,
    "simulate.verilator.interval_cycles": 15,
    "simulate.verilator.vectors": 10_000,
    "events.latency_cycles": 999,
    "schedule.interval_cycles": 15,
    "synth.lut": 100,
    "synth.ff": 200,
    "synth.dsp": 3,
    "synth.bram": 0.5,
    "estimate.lut_inputs": 6,
}


@pytest.fixture
def design(tmp_path: Path) -> Any:
    from flows.tiny import write_model

    write_model(tmp_path / "tiny.h5")
    return find([str(tmp_path / "tiny.h5")])[0]


def test_fpga_time_is_simulated_cycles_times_the_clock(design: Any) -> None:
    found = fpga.row(design, METRICS)
    assert found.median == found.p99 == pytest.approx(137 * 5e-9)
    assert found.per_second == pytest.approx(1 / (15 * 5e-9))
    assert found.kind == "simulated" and found.samples == 10_000
    assert found.system == "5 ns, unrouted" and found.transfer == "device"
    assert fpga.row(design, METRICS | {"simulate.verilator.vectors": 99}).p99 is None
    assert found.area == {"LUT": 100, "FF": 200, "DSP": 3, "BRAM": 0.5}
    assert "137 cycles" in found.source and "10,000 frames" in found.exactness


def test_fpga_takes_a_batch_as_a_stream(design: Any) -> None:
    found = fpga.row(design, METRICS, batch=4)
    assert found.median == pytest.approx((137 + 3 * 15) * 5e-9)
    assert found.per_second == pytest.approx(1 / (15 * 5e-9)) and found.batch == 4


def test_fpga_row_without_simulator_or_synthesis_says_so(design: Any) -> None:
    found = fpga.row(
        design,
        {"events.latency_cycles": 20, "schedule.interval_cycles": 4, "estimate.lut": 70,
         "estimate.lut_inputs": 4},
    )  # fmt: skip
    assert "event simulator" in found.source and found.exactness == ""
    assert found.system == "5 ns, unrouted, predicted cycles"
    assert found.area == {"LUT4": 70} and "predicted" in found.area_note


def test_toggles_are_counted_unless_told_otherwise(design: Any) -> None:
    assert design.activity.enabled is False
    assert fpga.counting(design, ["schedule.clock_ns=3"]).activity.enabled == "auto"
    assert fpga.counting(design, ["activity.enabled=false"]) is design
    table = design.activity.model_copy(update={"enabled": True})
    always = design.model_copy(update={"activity": table})
    assert fpga.counting(always, []) is always


ENERGY: dict[str, Any] = {
    "energy.frame_j": 3e-7, "energy.frame_low_j": 1e-7, "energy.frame_high_j": 9e-7,
    "energy.kind": "modelled", "energy.boundary": "chip", "energy.source": "toggles",
    "energy.dynamic_j": 1e-7, "energy.dynamic_low_j": 5e-8, "energy.dynamic_high_j": 2e-7,
    "energy.logic_j": 1e-7, "energy.static_j": 2e-7, "energy.bram_j": 0.0,
}  # fmt: skip
ALONE = {
    "energy.joules_alone": 19e-7, "energy.joules_alone_low": 10e-7,
    "energy.joules_alone_high": 38e-7, "schedule.latency_cycles": 135, "energy.clock_ns": 5.0,
}  # fmt: skip


def test_fpga_energy_and_time_are_of_one_clock(design: Any) -> None:
    build = design.build.model_copy(update={"tool": "nextpnr"})
    late = design.model_copy(update={"build": build})
    missed = {"build.nextpnr.fmax_mhz": 100.0, "build.nextpnr.timing_met": False}
    asked, reached = (fpga.row(late, METRICS | ENERGY | ALONE | more) for more in ({}, missed))
    assert asked.energy is not None and reached.energy is not None
    assert reached.median == pytest.approx(2 * asked.median)
    # Twice the period: twice the static 200 nJ of the interval, and of nine of them alone.
    assert reached.energy.value == pytest.approx(asked.energy.value + 2e-7)
    assert reached.energy_parts["static"] == pytest.approx(4e-7)
    assert sum(reached.energy_parts.values()) == pytest.approx(reached.energy.value)
    assert reached.energy.high == pytest.approx(9e-7 * 5 / 3)
    assert asked.energy_alone is not None and reached.energy_alone is not None
    assert asked.energy_alone.value == pytest.approx(19e-7)
    assert reached.energy_alone.value == pytest.approx(19e-7 + 9 * 2e-7)
    assert asked.edp == pytest.approx(19e-7 * asked.median)


def test_a_batch_on_an_fpga_pays_its_latency_once(design: Any) -> None:
    found = fpga.row(design, METRICS | ENERGY | ALONE, batch=4)
    assert found.energy_alone is not None
    assert found.energy_alone.value == pytest.approx((19e-7 + 3 * 3e-7) / 4)
    assert "one of 4 frames that nothing follows" in found.energy_note


def test_fpga_energy_is_the_models_with_its_error_bar(design: Any) -> None:
    found = fpga.row(design, METRICS | ENERGY)
    assert found.energy == joules(3e-7, low=1e-7, high=9e-7)
    assert "100 nJ of it switches (50 nJ to 200 nJ)" in found.energy_note
    assert found.energy_parts == {"logic": 1e-7, "static": 2e-7}
    shares = tables.parts([found]).rows
    assert [one[3:] for one in shares] == [
        ("static", "200 nJ", "66.7 %"),
        ("logic", "100 nJ", "33.3 %"),
    ]
    why = {"activity.skipped": "E501 no verilator", "energy.skipped": "it needs activity"}
    assert fpga.row(design, METRICS | why).energy_note == "not modelled: E501 no verilator"


@pytest.mark.parametrize(
    ("metrics", "clock"),
    [
        ({}, (5.0, "unrouted")),
        ({"build.skipped": "no tool", "build.nextpnr.fmax_mhz": 100.0}, (5.0, "unrouted")),
        ({"build.nextpnr.fmax_mhz": 210.0, "build.nextpnr.timing_met": True},
         (5.0, "met by nextpnr")),
        ({"build.nextpnr.fmax_mhz": 100.0, "build.nextpnr.timing_met": False},
         (10.0, "as nextpnr reached")),
        ({"build.nextpnr.fmax_mhz": 100.0}, (5.0, "routed by nextpnr, timing not stated")),
    ],
)  # fmt: skip
def test_clock_is_unrouted_unless_a_build_routed_it(
    design: Any, metrics: dict[str, Any], clock: tuple[float, str]
) -> None:
    build = design.build.model_copy(update={"tool": "nextpnr"})
    assert fpga.clock(design.model_copy(update={"build": build}), metrics) == clock
    assert fpga.clock(design, metrics) == (5.0, "unrouted")


def test_decoder_that_does_not_fit_on_chip_says_by_how_much() -> None:
    reason = fpga.decoder(models.load("gpt2-small")).reason
    assert "no KV cache" in reason and "124 M" in reason and "494 Mbit" in reason
    assert "5 times the block RAM" in reason and "UltraRAM, 377 Mbit" in reason
    small = fpga.decoder(TINY).reason
    assert "fit in the block RAM" in small and "0 M" not in small and "times" not in small


def test_pim_row_is_the_simulation(tmp_path: Path) -> None:
    from gateformer.sim.pim import simulate

    found = pim.row(TINY, 64, 2)
    assert isinstance(found, Row)
    there = simulate(TINY, pim.TOKENS, past=64 - pim.TOKENS // 2, batch=2)
    clocks = sorted(there.token_clocks.tolist())
    middle = (clocks[7] + clocks[8]) / 2
    assert found.median == pytest.approx(middle * there.device.clock_ns * 1e-9)
    assert found.per_second == pytest.approx(2 / found.median)
    assert found.samples == pim.TOKENS and found.kind == "simulated"
    assert found.energy is not None and found.energy.boundary == "package and memory"
    each = [there.joules(one.name) / (2 * pim.TOKENS) for one in there.device.powers]
    assert found.energy.value == pytest.approx(each[0])
    assert (found.energy.low, found.energy.high) == pytest.approx((min(each), max(each)))
    assert sum(found.energy_parts.values()) == pytest.approx(found.energy.value)
    assert found.share is not None and 0 < found.share < 1


def test_decoder_too_large_for_the_memory_has_a_reason() -> None:
    huge = Decoder("huge", 96, 12288, 96, 96, 128, 49152, 50257, 2048)
    found = pim.row(huge, 128, 1)
    assert isinstance(found, Absent) and "E806" in found.reason


def test_modelled_rows_say_so_and_bound_energy_by_the_power_limit() -> None:
    found = modelled.decoder(models.load("gpt2-small"), 128, 1)
    assert {one.kind for one in found} == {"modelled"}
    assert {one.platform for one in found} == {"CPU", "GPU"}
    for one in found:
        assert one.energy is not None and one.energy.kind == "modelled"
        assert "upper bound" in one.energy.source
        assert one.energy_bound and one.edp is None
        assert one.tier in ("tuned", "eager") and one.samples is None and one.p99 is None


def test_fastest_that_ran_goes_before_a_faster_formula() -> None:
    rows = (row(median=1e-3), row(median=2e-3), row(median=1e-6, kind="modelled"))
    found = Comparison((Subject(name="net", kind="network", words="w"),), rows, ())
    best = found.best("net", "CPU")
    assert best is not None and best.median == 1e-3
    assert found.best("net", "GPU") is None
    assert [one.median for one in found.of("net")] == [1e-6, 1e-3, 2e-3]


def test_network_on_a_gpu_takes_the_time_of_its_launches(design: Any) -> None:
    from gateformer.baselines.launching import launching
    from gateformer.flow.steps.importing import Import
    from gateformer.flow.view import Memory

    graph = Memory(design).get(Import)
    captured, eager = modelled.network("tiny", graph, 1)
    assert eager.median == launching(graph, "eager").value > captured.median
    assert eager.low is not None and eager.high is not None and eager.low < eager.high
    assert {one.kind for one in (captured, eager)} == {"modelled"}
    assert modelled.network("tiny", graph, 8) == []


def test_model_arguments() -> None:
    assert [one.name for one in find(["gpt2-small", "gpt2-xl", "gpt2-small"])] == [
        "gpt2-small",
        "gpt2-xl",
    ]
    with pytest.raises(Problems) as several:
        find(["gpt2-smal", "nowhere/design.toml", "gone.json"])
    assert [one.code for one in several.value.errors] == ["E807", "E003", "E003"]
    with pytest.raises(ConfigError, match=r"E006.*override without a design"):
        find(["gpt2-small"], ["schedule.clock_ns=3"])


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    from flows.tiny import write_model

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_model(tmp_path / name / "tiny.h5")
    with pytest.raises(ConfigError, match=r"E006 two models of one name: 'tiny'"):
        find([str(tmp_path / name / "tiny.h5") for name in ("one", "two")])
    with pytest.raises(PimError, match="E807"):
        find(["no such model"])


def comparison(name: str = "net", words: str = "small") -> Comparison:
    subjects = (
        Subject(name=name, kind="network", words=words, accuracy="AUC 0.9"),
        Subject(name="gpt", kind="decode", words="large", context=128),
        Subject(name="gpt-2", kind="decode", words="larger", context=128),
    )
    bar = joules(2e-6, low=1e-6, high=5e-6)
    rows = [
        row(model=name, platform="FPGA", precision="integers", energy=bar, area={"LUT": 9.0},
            kind="simulated", tier="hardware"),
        row(model=name, system=words, energy_note="not measurable here"),
        row(model=name, precision="integers", median=8e-6),
    ]  # fmt: skip
    for one in ("gpt", "gpt-2"):
        energy = joules(1e-3, "package and memory")
        rows.append(row(model=one, platform="PIM", precision="bf16", median=1e-4, energy=energy))
        rows.append(row(model=one, platform="GPU", kind="modelled", p99=None, samples=None))
    absent = (Absent(model="gpt", platform="FPGA", reason=f"too large {words}"),)
    return Comparison(subjects, tuple(rows), absent, (f"note {words}",))


def cells(block: Block, head: str) -> list[object]:
    return [one[block.heads.index(head)] for one in block.rows]


def test_tables() -> None:
    found = comparison()
    times = tables.times(found, "network")
    assert cells(times, "p50, µs") == [pytest.approx(2), pytest.approx(2), pytest.approx(8)]
    energies = tables.energies(found, "network")
    assert cells(energies, "error bar") == ["1 to 5"]
    assert cells(energies, "EDP, pJ s") == ["4"]
    lacking = [one[1:] for one in tables.absent(found).rows]
    assert ("CPU", "joules, 1 row", "not measurable here") in lacking
    assert ("GPU", "joules, 1 row", "not had") in lacking
    ratios = tables.ratios(found, "network")
    assert cells(ratios, "times as fast") == ["other precision", "4x"]
    assert cells(ratios, "kinds of time") == ["simulated, measured"] * 2
    assert len(tables.ratios(found, "decode").rows) == 2
    titles = [one.title for one in tables.all_blocks(found)]
    assert titles[0].startswith("The fastest") and titles[-1] == "Not in the tables"
    assert tables.glance(found).rows[1] == (
        "gpt", None, "100 µs bf16, measured", None, "2 µs fp32, modelled",
    )  # fmt: skip


def test_a_terminal_s_tables_hold_the_same_cells_model_by_model() -> None:
    found = comparison()
    blocks = tables.narrow_blocks(found)
    assert blocks[0] == tables.glance(found)
    for name, make in (("Time of one", tables.times), ("Energy of one", tables.energies)):
        whole = [
            (one.kind, row) for one in found.subjects for row in make(found, one.kind).rows
            if row[0] == one.name
        ]  # fmt: skip
        apart = [
            (block.title.partition(":")[0], *row)
            for block in blocks if f": {name}" in block.title for row in block.rows
        ]  # fmt: skip
        assert apart == [row for _, row in whole]
    assert all("model" not in one.heads for one in blocks if ": " in one.title)


def test_an_upper_bound_is_marked_and_a_lone_inference_has_columns() -> None:
    bound = row(model="net", platform="GPU", energy=joules(3.3333e-6), energy_bound=True)
    streamed = row(model="net", energy=joules(2e-6), energy_alone=joules(4e-6, high=8e-6))
    found = Comparison((Subject(name="net", kind="network", words="w"),), (bound, streamed), ())
    energies = tables.energies(found, "network")
    assert cells(energies, "µJ") == ["2", "<= 3.3"]
    assert cells(energies, "alone, µJ") == ["4", None]
    assert cells(energies, "its error bar") == ["4 to 8", None]
    assert cells(energies, "EDP, pJ s") == ["8", None]
    assert "&lt;= 3.3 µJ" in str(plots.energy_bars([bound], models=False))
    assert plots.field([bound, streamed], models=False) is None


class Reader(HTMLParser):
    """Checks that tags close, and keeps what is said and drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_page_is_whole_escaped_and_loads_nothing() -> None:
    found = comparison(words=HOSTILE)
    text = page.render(found, f"gateformer compare {HOSTILE}", Block("", ("a", "b"), (("c", "d"),)))
    reader = Reader()
    reader.feed(text)
    assert not reader.open and "script" not in reader.tags
    assert "http" not in text.replace("http-equiv", "")
    assert reader.tags.count("svg") == 7
    said = "".join(reader.words)
    for kind in ("measured", "simulated", "modelled", "published"):
        assert kind in said
    assert f"too large {HOSTILE}" in said


def test_markdown_has_every_row_and_keeps_its_columns() -> None:
    found = comparison(words=HOSTILE)
    text = page.markdown(found, "gateformer compare net")
    for block in text.split("\n\n"):
        lines = [one for one in block.splitlines() if one.startswith("| ")]
        assert len({line.count("|") for line in lines}) <= 1, block
    assert text.count("| gpt-2 | PIM |") >= 3


def test_drawings_are_well_formed_and_keep_inside() -> None:
    found = comparison()
    rows = list(found.rows)
    drawn = [
        plots.time_bars(rows, models=True),
        plots.energy_bars(rows, models=True),
        plots.field(rows, models=True),
        plots.over_models([("a", "measured", [1e-3, None, 2e-3]), ("b", "modelled", [None] * 3)],
                          ["x", "y", "z"]),
    ]  # fmt: skip
    for one in drawn:
        assert one is not None
        root = ElementTree.fromstring(str(one))
        width = float(root.attrib["viewBox"].split()[2])
        for rect in root.iter("rect"):
            assert 0 <= float(rect.attrib["x"]) <= width
    assert plots.energy_bars([row()], models=False) is None
    assert plots.field([row(energy=joules())], models=False) is None
