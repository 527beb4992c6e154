"""Traces, drawings, tables and the page of a simulated memory."""

from __future__ import annotations

import gzip
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from gateformer.baselines.machines import MACHINES
from gateformer.hw.pim.device import load
from gateformer.pim import (
    figures,
    perfetto,
    plots,
    replication,
    replication_page,
    replication_tables,
    screen,
    sections,
    simulating,
)
from gateformer.pim.comparing import versus
from gateformer.pim.plots import Bar
from gateformer.quant.decoder import Decoder
from gateformer.sim.pim import simulate as generate
from gateformer.sim.pim.bounds import row_stream
from gateformer.sim.pim.parts import Slice
from gateformer.sim.pim.results import Generation
from gateformer.sim.pim.tornado import Constant, Sensitivity

HOSTILE = "<script>alert(1)</script>\"'&"
SLICES = [
    Slice("tokens", "token 0", 0, 100),
    Slice("memory", "block0/qkv", 0, 60),
    Slice("ASIC", HOSTILE, 60, 40),
    Slice("memory", "block0/up", 100, 25),
    Slice("tokens", "token 1", 100, 25),
]


def read(path: Path) -> list[dict[str, Any]]:
    raw = path.read_bytes()
    events: list[dict[str, Any]] = json.loads(
        gzip.decompress(raw) if path.suffix == ".gz" else raw
    )["traceEvents"]
    return events


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_slices_of_a_track_add_up_and_touch(tmp_path: Path, name: str) -> None:
    tally = perfetto.write(tmp_path / name, SLICES, 0.5, {"model": HOSTILE})
    assert tally.slices == len(SLICES)
    assert tally.clocks == {"tokens": 125, "memory": 85, "ASIC": 40}
    events = read(tmp_path / name)
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    for track, clocks in tally.clocks.items():
        found = [e for e in events if e["ph"] == "X" and tracks[e["tid"]] == track]
        assert sum(e["args"]["clocks"] for e in found) == clocks
        for event in found:
            assert event["ts"] * 1000 / 0.5 == pytest.approx(event["args"]["clock"])
            assert event["dur"] * 1000 / 0.5 == pytest.approx(event["args"]["clocks"])
    assert not list(tmp_path.glob(".*"))


def test_same_slices_same_bytes(tmp_path: Path) -> None:
    for name in ("one.json.gz", "two.json.gz"):
        perfetto.write(tmp_path / name, SLICES, 0.5, {})
    assert (tmp_path / "one.json.gz").read_bytes() == (tmp_path / "two.json.gz").read_bytes()


def test_a_trace_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        yield SLICES[0]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        perfetto.write(tmp_path / "trace.json", broken(), 0.5, {})
    assert not list(tmp_path.iterdir())


def test_logarithmic_bars_start_at_1_and_go_both_ways() -> None:
    values = {"slower": 0.603, "same": 1.0, "faster": 12.0, "most": 12_000.0}
    found = [Bar(name, value, f"{value:g}x", "s5") for name, value in values.items()]
    tree = ElementTree.fromstring(plots.bars(found, "times", logarithmic=True, name="times"))
    places = [
        (float(one.attrib["x"]), float(one.attrib["width"]))
        for one in tree
        if one.attrib.get("class") == "s5"
    ]
    slower, same, faster, most = places
    assert same[0] == faster[0] == most[0]
    assert slower[0] + slower[1] == pytest.approx(same[0], abs=0.02)
    assert slower[0] < same[0] and faster[1] < most[1]
    ticks = [one.text for one in tree if one.attrib.get("class") == "tick"]
    assert ticks == ["1x", "10x", "100x", "1,000x", "10,000x"]


def test_the_map_of_banks_names_its_axes_beside_their_numbers() -> None:
    tree = ElementTree.fromstring(plots.banks(np.full((8, 16), 0.5), "busy"))
    words = {one.text: one.attrib for one in tree if one.attrib.get("class") == "name"}
    first = next(one.attrib for one in tree if one.text == "0")
    assert float(first["y"]) - float(words["bank"]["y"]) >= 16
    assert float(words["channel"]["x"]) < float(first["x"]) - 20


XS = np.arange(10.0)
DRAWINGS = {
    "bars": plots.bars([Bar(HOSTILE, 3, HOSTILE), Bar("zero", 0, "0")], HOSTILE),
    "no bars": plots.bars([], "nothing"),
    "ranges": plots.bars([Bar("a", 41, "x", "s1", 137)], "r", logarithmic=True, name="times"),
    "curve": plots.curves([(HOSTILE, XS, XS)], "x", "y", "one"),
    "curves": plots.curves([(HOSTILE, XS, XS), ("b", XS[:1], XS[:1])], "x", "y", "two"),
    "stack": plots.stacked(XS, [(HOSTILE, XS), ("b", XS)], "x", "y", "stack"),
    "one token": plots.stacked(XS[:1], [("a", XS[:1] + 1)], "x", "y", "stack"),
    "banks": plots.banks(np.linspace(0, 1, 32).reshape(2, 16), HOSTILE),
    "many banks": plots.banks(np.zeros((64, 16)), "idle"),
    "tornado": plots.tornado([(HOSTILE, -0.1, 0.2), ("b", 0.0, 0.0)], "t", "%"),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_are_whole_and_escaped(name: str) -> None:
    text = str(DRAWINGS[name])
    tree = ElementTree.fromstring(text)
    assert tree.tag == "svg"
    assert "<script" not in text
    assert "nan" not in text


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    places = plots.sampled(5000)
    assert len(places) <= plots.POINTS
    assert (places[0], places[-1]) == (0, 4999)
    assert list(plots.sampled(3)) == [0, 1, 2]


TINY = Decoder(
    name="tiny & <small>", layers=2, d_model=64, heads=4, kv_heads=4, d_head=16, d_ff=256,
    vocab=500, context=64,
)  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Generation:
    return generate(TINY, 3, prompt=2, method="command")


MOVED = (
    Sensitivity(Constant("timing", "nRP", 12), 10, 14, (-0.01, 0.02), (0.0, 0.01)),
    Sensitivity(Constant("asic", "clock_ns", 1.0), None, 1.2, (0.0, 0.1), (0.0, 0.0)),
)


class Reader(HTMLParser):
    """Notes tags that are not closed, and what a page would load or run."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe"):
            self.loads.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_loads_nothing(found: Generation) -> None:
    settings = {**simulating.DEFAULTS, "tokens": 3, "prompt": 2, "hot": True}
    page = simulating.render_page("tiny", found, settings, versus(found), MOVED)
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert not reader.loads
    assert "tiny &amp; &lt;small&gt;" in page
    assert "gateformer pim simulate tiny --tokens 3 --prompt 2 --hot" in page
    for section in ("latency", "breakdown", "rows", "banks", "waits", "bandwidth", "energy",
                    "host", "beside", "sensitivity"):  # fmt: skip
        assert f'<section id="{section}">' in page
    assert "nan" not in page.lower().replace("nanoseconds", "")
    assert page == simulating.render_page("tiny", found, settings, versus(found), MOVED)


def test_slices_of_a_generation_add_up(found: Generation, tmp_path: Path) -> None:
    tally = perfetto.write(tmp_path / "t.json", found.slices(), 1.0, {})
    assert tally.clocks["token"] == found.clocks
    assert tally.clocks["memory"] + tally.clocks["asic"] == found.clocks


def test_time_over_tokens_adds_up(found: Generation) -> None:
    places, layers = figures.over_tokens(found)
    assert list(places) == [0, 1, 2, 3, 4]
    ms = sum(ys.sum() for _, ys in layers)
    assert ms == pytest.approx(found.clocks * found.device.clock_ns * 1e-6)


def test_energy_table_adds_up(found: Generation) -> None:
    rows = {row[0]: row[1:] for row in figures.energy(found).rows}
    for column, one in enumerate(found.device.powers):
        items = [float(rows[item][column]) for item in found.energy(one.name)]
        assert sum(items) == pytest.approx(float(rows["total"][column]))


def test_machines_beside_a_generation_are_modelled(found: Generation) -> None:
    rows = versus(found)
    assert {one.machine for one in rows} == set(MACHINES)
    for one in rows:
        assert one.faster == pytest.approx(one.ms / found.ms_per_token)
    (eager,) = (one for one in rows if (one.machine, one.tier) == ("t4", "eager"))
    assert eager.ms == pytest.approx(0.7 * TINY.layers)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (1.0, "1"), (1474.56, "1,475"), (0.5900, "0.59"), (12345.6, "12,346"),
     (0.000012345, "1.234e-05"), (98.4375, "98.44"), (-0.25, "-0.25")],
)  # fmt: skip
def test_numbers_are_short(value: float, words: str) -> None:
    assert screen.digits(value) == words


def test_amounts_take_a_prefix() -> None:
    assert screen.amount(0.0038, "J") == "3.8 mJ"
    assert screen.amount(15.9e6, "B") == "15.9 MB"
    assert screen.amount(0.0, "J") == "0 J"


def study_of(run: replication.Run) -> replication.Study:
    """Return a study in which every way took the same."""
    ways = ("paper", "overlap", "batched", "both", "slow ASIC", "no refresh")
    runs = {way: {"gpt3-xl": run} for way in ways}
    runs["choices"] = {"as above": run, replication.WIDE: run}
    runs["channels gpt3-xl"] = {"8": run, "16": run}
    return replication.Study(
        3,
        runs,
        (replication.Moved("nRP 12: 10 / 14", (-0.1, 0.1), (0.0, 0.0)),),
        (replication.Overtaken("t4", "gpt3-xl", None, 64),),
    )


def test_tables_beside_the_paper(found: Generation) -> None:
    run = replication.Run("gpt3-xl", found.as_dict(), tuple(versus(found)))
    study = study_of(run)
    tables = replication_tables.blocks(study)
    (gain,) = tables["gains"].rows
    assert gain[2:] == (0, "0.00 %", 0, "0.00 %", 0, "0.00 %")
    assert [row[4] for row in tables["channels"].rows] == ["100.0 %", "50.0 %"]
    assert tables["batches"].rows == (("T4", "over 64"),)
    (ours,) = (row for row in tables["claims"].rows if row[0] == "not VMM, gpt3-xl")
    assert ours[1:3] == ("1.16 %", screen.percent(found.other_share, 2))
    t4, xeon = tables["power"].rows
    assert t4[1:3] == ("7.9 to 8.3x", "2.8 to 3x")
    assert xeon[1:3] == ("1.4 to 1.5x", "0.51 to 0.56x")
    page = replication_page.page(study, tables)
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
    assert "modelled" in page
    assert "Of gpt3-xl, 3 tokens in the middle of all" in page
    assert "of a row's 93 clocks nRP and nRCDRDMAC take 12 each" in page
    assert page == replication_page.page(study, tables)


def test_jobs_are_all_distinct() -> None:
    found = replication.jobs(8)
    assert len({str(job) for _, job in found}) == len(found)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_tables_break_no_word(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    names = ("attention/append_values", "roofline", "Xeon Gold 6154", "nCLREG + nBL + 3 - nCWLREG")
    rows = tuple((name, "memory", 6_336, 12_932_151, 25_344, "24.65 %") for name in names)
    heads = ("operation", "on", "times", "clocks", "of them refresh", "share")
    screen.Answer({}, (screen.Block("Title", heads, rows),)).give(as_json=False)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    words = {word for line in printed.splitlines() for word in line.split()}
    expected = {word for name in (*names, *heads) for word in name.replace("/", "/ ").split()}
    if "attention/append_values" in words:
        expected = expected - {"attention/", "append_values"}
    assert expected <= words
    assert printed.count("12,932,151") == printed.count("24.65 %") == len(rows)


def test_columns_of_dashes_give_way_where_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (("a model with a long name", None, 1), ("another with a long name", None, None))
    block = screen.Block("", ("model", "of threads", "times"), rows)
    for width, shown in ((60, True), (45, False)):
        monkeypatch.setenv("COLUMNS", str(width))
        screen.Answer({}, (block,)).give(as_json=False)
        out = capsys.readouterr().out
        assert ("threads" in out) == shown
        assert "a model with a long name" in out and "–" in out


def test_a_table_wider_than_the_screen_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    rows = (("gpt2-small", 12_932_151, 25_344),)
    screen.Answer({}, (screen.Block("", ("model", "clocks", "times"), rows),)).give(as_json=False)
    printed = capsys.readouterr().out
    assert "gpt2-small  12,932,151  25,344" in printed


def test_time_to_first_token_is_the_prompt_s_and_that_token_s(found: Generation) -> None:
    rows = {row[0]: row[1:] for row in figures.summary(found).rows}
    whole = found.as_dict()
    read, first = whole["prompt_ms"], whole["first_token_ms"]
    assert whole["clocks"] * 1e-6 == pytest.approx(read + sum(found.token_clocks) * 1e-6)
    assert rows["Time to first token"][0] == f"{screen.digits(read + first)} ms"
    assert f"{screen.digits(read)} ms; first token {screen.digits(first)} ms" in str(
        rows["Time to first token"][1]
    )
    alone = figures.key_figures(generate(TINY, 1))
    assert "Time to first token" not in {one.name for one in alone}


def test_all_that_binds_is_named(found: Generation) -> None:
    """On pim-gpt a row's precharge and its activate take 12 of 93 clocks each."""
    figure = figures.binds(found.bound)
    assert figure.value == "nRP, nRCDRDMAC"
    assert figure.note == "12 clocks each of a streamed row's 93"
    assert figures.binds(row_stream(load("gddr6-aim"))).value == "nRCDRDMAC"
    assert found.as_dict()["binding_constraints"] == ["nRP", "nRCDRDMAC"]


def test_cards_and_console_say_the_same(found: Generation) -> None:
    cards = [(one.name, one.value, one.note, one.source) for one in figures.key_figures(found)]
    assert list(figures.summary(found).rows) == cards
    assert {"Not memory", "Binds"} <= {name for name, *_ in cards}


def test_eager_times_are_said_to_be_from_where_they_are(found: Generation) -> None:
    lead = sections.beside(found, versus(found)).lead
    assert "own ratios (T4, Xeon Gold 6154) or from a published time of one model (V100)" in lead
    assert "ONNX Runtime" in MACHINES["v100"].sources["eager_layer_us"]


def test_labels_say_what_a_figure_is_the_mean_of() -> None:
    alone = generate("gpt2-small", tokens=1)
    several = generate("gpt2-small", tokens=1, prompt=1, batch=2)
    assert figures.each(alone) == "a token"
    assert figures.each(several) == "a step of 2 tokens, mean over prompt and generated"
    assert figures.energy(several).title == f"Energy, mJ {figures.each(several)}"
    assert figures.comparison(several, versus(several)).heads[2] == "ms a step"


def test_a_memory_without_currents_says_so() -> None:
    found = generate("gpt2-small", device="hbm-pim", tokens=1)
    assert any("states no currents" in one for one in found.remarks)
    rows = {row[0]: row[1:] for row in figures.summary(found).rows}
    for name in ("Energy", "Power"):
        assert rows[name] == ("–", "no currents in this device", "modelled")
    constant = Constant("timing", "nRP", 12.0)
    moved = [Sensitivity(constant, 10.0, 14.0, (-0.01, 0.01), (0.0, 0.0))]
    assert figures.sensitivity(moved).heads == ("assumed: moved to", "time, lowered", "raised")


def test_tables_hold_no_markup_and_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    block = screen.Block(
        "a\x1b[31m", ("name", "value"), (("<img src=x>|\n# head", "\x1b]0;own\x07 < 3"),)
    )
    screen.Answer({}, (block,), ("note\x1b[2J",)).give(as_json=False)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[31m" in shown
    assert "\\x1b[2J" in shown
    last = replication_page.markdown(block).splitlines()[-1]
    assert last.startswith("| &lt;img src=x>/ # head |")
    assert len(replication_page.markdown(block).splitlines()) == 3
    assert last.endswith("< 3 |")
