from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gateformer.errors import RunError
from gateformer.report import confusion, plots, svg, tables
from gateformer.report.html import render, write
from gateformer.report.read import read

HOSTILE = "<script>alert(1)</script>\"'&"
STAGES: list[dict[str, Any]] = [
    {
        "name": "attention/query",
        "kind": "stream",
        "links": [{"source": "x", "kind": "stream", "delay": 0, "depth": 0}],
        "latency": 4,
        "beats": 3,
        "reuse": 1,
        "paced": "input",
        "offset": 4,
        "formula": "attention/query: Dense -> Cast; fixed<8,6>",
        "cost": {"lut": 100.0, "ff": 50.0, "dsp": 0.0, "bram": 0.0},
        "multipliers": 0,
    },
    {
        "name": "attention/score",
        "kind": "gather",
        "links": [
            {"source": "attention/query", "kind": "stream", "delay": 0, "depth": 3},
            {"source": "x", "kind": "frame", "delay": 0, "depth": 0},
        ],
        "latency": 4,
        "beats": 3,
        "reuse": 1,
        "paced": "frame",
        "offset": 5,
        "formula": "attention/score: MatMul; fixed<9,7>",
        "cost": {"lut": 10.0, "ff": 20.0, "dsp": 9.0, "bram": 0.5},
        "multipliers": 9,
    },
    {
        "name": "head",
        "kind": "reduce",
        "links": [
            {"source": "attention/score", "kind": "stream", "delay": 0, "depth": 0},
            {"source": "x", "kind": "stream", "delay": 2, "depth": 0},
        ],
        "latency": 5,
        "beats": 1,
        "reuse": 1,
        "paced": "frame",
        "offset": 13,
        "formula": "head: Dense; fixed<9,7>",
        "cost": {"lut": 30.0, "ff": 20.0, "dsp": 0.0, "bram": 0.0},
        "multipliers": 0,
    },
]
DESIGN = {
    "name": "toy",
    "inputs": [{"name": "s_axis", "value": "x", "tokens": 3, "features": 2, "lanes": 1}],
    "outputs": [{"name": "m_axis", "value": "head", "tokens": 1, "features": 2, "lanes": 1}],
    "stages": STAGES,
    "beat_interval": 1,
    "output_stages": ["head"],
    "capacity": 2,
}
METRICS: dict[str, Any] = {
    "schedule.latency_cycles": 17,
    "schedule.interval_cycles": 3,
    "schedule.multipliers": 9,
    "events.latency_cycles": 17,
    "events.interval_cycles": 3,
    "simulate.verilator.vectors": 10_000,
    "simulate.verilator.mismatches": 0,
    "simulate.verilator.latency_cycles": 17,
    "simulate.verilator.interval_cycles": 3,
    "estimate.device": "xcvu13p",
    "estimate.fits": True,
    "estimate.lut": 140,
    "estimate.ff": 90,
    "estimate.dsp": 9,
    "estimate.bram": 0.5,
    "icarus.skipped": f"simulate.icarus.enabled is false {HOSTILE}",
    "accuracy.metric": "auc",
    "accuracy.float": 0.9,
    "accuracy.integer": 0.899,
    "accuracy.ratio": 0.9989,
    "accuracy.samples": 300,
    "accuracy.argmax_agreement": 0.98,
    "synth.lut": 150,
    "synth.ff": 100,
    "synth.dsp": 9,
    "synth.bram": 0.5,
    "synth.logic_ns": 2.71,
    "synth.logic_module": "gf_toy_attention",
    "synth.logic_path": "a [1] -> b",
}


def step(folder: Path, place: str, files: dict[str, Any], failed: bool = False) -> None:
    made = folder / place
    made.mkdir(parents=True)
    record = {"step": place[3:], "seconds": 1.25, "note": f"note {HOSTILE}", "failed": failed}
    for name, content in {"step.json": record, **files}.items():
        (made / name).write_text(json.dumps(content))


def start(folder: Path, metrics: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{}")
    (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    start(folder, METRICS)
    (folder / "config.resolved.toml").write_text(f"[schedule]\nclock_ns = 4.0\n# {HOSTILE}\n")
    layers = [
        {"name": "x", "kind": "Input", "shape": [3, 2]},
        {"name": "attention", "kind": HOSTILE, "shape": [3, 2]},
        {"name": "sum", "kind": "Add", "shape": [3, 2]},
        {"name": "head", "kind": "Linear", "shape": [2]},
    ]
    step(folder, "01-import", {"layers.json": layers})
    note = {"layer": HOSTILE, "choice": "fold", "detail": "folded"}
    step(folder, "02-fold", {"notes.json": [note]})
    error = {"value": "head", "layer": "head", "type": "fixed<9,7>", "largest": 0.1, "rms": 0.01}
    error |= {"reference": 0.5, "saturated": 3, "elements": 900}
    blank = {**error, "value": "other", "largest": None, "rms": None, "reference": None}
    step(folder, "03-calibrate", {"errors.json": [error, blank]})
    step(folder, "04-lower", {"types.json": {"head": "fixed<9,7>"}})
    step(folder, "07-schedule", {"design.json": DESIGN})
    step(folder, "05-accuracy", {})
    random = np.random.default_rng(1)
    real = random.random((300, 3))
    labels = random.integers(0, 3, 300)
    real[np.arange(300), labels] += 0.4
    outputs = {"float": real, "integer": real + 0.01, "labels": labels, "classes": ["b", "c"]}
    np.savez(folder / "05-accuracy" / "outputs.npz", **outputs)
    module = {"module": "gf_toy_attention_score", "instances": 2, "lut": 7, "ff": 8, "dsp": 9}
    rows = [{**module, "bram": 0.5, "logic_ns": 2.71}, {"module": "gf_toy_sum", "lut": 5}]
    step(folder, "13-synth", {"modules.json": rows})
    return folder


class Page(HTMLParser):
    """Collects what could load or run something, and checks that tags nest."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        for name in ("src", "href", "data", "action"):
            target = found.get(name)
            if target and not target.startswith("#"):
                self.loads.append(target)
        if tag == "script" or any(name.startswith("on") for name in found):
            self.loads.append(tag)
        if identity := found.get("id"):
            self.ids.append(identity)
        if tag not in ("meta", "br", "link", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    assert page.open == []
    return page


def test_the_page_stands_alone_and_escapes_what_strangers_wrote(run_dir: Path) -> None:
    page = write(run_dir)
    text = page.read_text()
    found = parsed(text)
    assert page == run_dir / "report.html"
    assert found.loads == []
    assert "<script" not in text
    assert "http://" not in text and "https://" not in text
    assert "&lt;script&gt;" in text
    assert len(text) < 1_000_000
    assert sorted(set(found.ids)) == sorted(found.ids)
    assert set(re.findall(r'href="#(\w+)"', text)) <= set(found.ids)


def test_the_page_says_what_was_found(run_dir: Path) -> None:
    text = render(read(run_dir))
    for words in (
        "Bit-exact and cycle-exact",
        "10,000 frames on Verilator",
        "17 cycles",
        "68 ns",
        "AUC of 300 samples",
        "class 2 against b",
        "2.71 ns",
        "xcvu13p",
        "gateformer run config.resolved.toml",
    ):
        assert words in text


def test_the_same_run_gives_the_same_page(run_dir: Path) -> None:
    assert render(read(run_dir)) == render(read(run_dir))


def test_every_drawing_is_well_formed(run_dir: Path) -> None:
    found = re.findall(r"<svg.*?</svg>", render(read(run_dir)), re.DOTALL)
    assert len(found) == 7
    for one in found:
        ElementTree.fromstring(one)


def test_an_empty_run_names_what_is_missing(tmp_path: Path) -> None:
    start(tmp_path / "bare", {"synth.skipped": "pyosys is not installed"})
    text = render(read(tmp_path / "bare"))
    parsed(text)
    assert "Not simulated" in text
    assert "pyosys is not installed" in text
    assert text.count("Not run:") >= 4


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("07-schedule/design.json", "{"),
        ("07-schedule/design.json", '{"inputs": []}'),
        ("07-schedule/design.json", "[1, 2]"),
        ("07-schedule/design.json", json.dumps({**DESIGN, "beat_interval": "x"})),
        ("01-import/layers.json", '{"name": 1}'),
        ("13-synth/modules.json", "[3]"),
        ("13-synth/modules.json", '[{"module": "gf_toy_head"}, {}]'),
        ("03-calibrate/errors.json", '[{"value": "head"}]'),
        ("02-fold/notes.json", '[{"layer": "head"}]'),
        ("05-accuracy/outputs.npz", "no archive"),
        ("05-accuracy/step.json", "[]"),
        ("04-lower/types.json", "null"),
    ],
)
def test_damaged_parts_read_as_missing(run_dir: Path, place: str, content: str) -> None:
    (run_dir / place).write_text(content)
    parsed(render(read(run_dir)))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="E703"):
        write(tmp_path)


@pytest.mark.parametrize(
    ("changes", "mood", "words"),
    [
        ({}, "good", "no integer and no clock differs"),
        ({"simulate.verilator.mismatches": 3}, "bad", "3 of 10,000 frames differ"),
        ({"simulate.verilator.latency_cycles": 18}, "bad", "takes 18 cycles"),
        ({"simulate.verilator.vectors": None}, "open", "nothing here is proven"),
    ],
)
def test_the_verdict_follows_the_simulations(
    run_dir: Path, changes: dict[str, Any], mood: str, words: str
) -> None:
    start(run_dir, {**METRICS, **changes})
    found = tables.verdict(read(run_dir))
    assert found[0] == mood
    assert words in found[2]


def test_one_frame_shows_no_interval(run_dir: Path) -> None:
    start(run_dir, {**METRICS, "simulate.verilator.interval_cycles": None})
    found = read(run_dir)
    assert tables.verdict(found)[2].endswith("One frame shows no interval.")
    sources = {one.name: one.source for one in tables.figures(found)}
    assert (sources["Latency"], sources["Interval"]) == ("simulated", "predicted")
    start(run_dir, {key.replace("verilator", "icarus"): one for key, one in METRICS.items()})
    sources = {one.name: one.source for one in tables.figures(read(run_dir))}
    assert (sources["Latency"], sources["Interval"]) == ("simulated", "simulated")


def test_a_failed_step_decides_the_verdict(run_dir: Path) -> None:
    step(run_dir, "10-read_back", {}, failed=True)
    assert tables.verdict(read(run_dir))[:2] == ("bad", "The step read_back failed")


def test_steps_of_an_earlier_run_are_not_shown(run_dir: Path) -> None:
    """Their folders stay for another run to reuse, but they tell of another design."""
    for place in run_dir.glob("??-*"):
        path = place / "step.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "key": "now"}))
    keys = dict.fromkeys(("import", "fold", "calibrate", "lower", "accuracy"), "now")
    mark = {"format": 1, "steps": {**keys, "synth": "another"}}
    (run_dir / "run.json").write_text(json.dumps(mark))
    found = read(run_dir)
    assert found.layers and found.types
    assert not found.modules and not found.design
    status = {row.name: row.status for row in found.steps}
    assert (status["import"], status["synth"], status["schedule"]) == ("done", "not run", "not run")
    parsed(render(found))


@pytest.mark.parametrize("name", ["synth.lut", "schedule.latency_cycles", "accuracy.float"])
def test_a_metric_that_is_no_number_is_refused(run_dir: Path, name: str) -> None:
    start(run_dir, {**METRICS, name: "many"})
    with pytest.raises(RunError, match=f"E705.*{name}"):
        write(run_dir)


def test_costs_of_stages_and_modules_meet_in_their_layer(run_dir: Path) -> None:
    lines = {line.name: line for line in tables.layer_lines(read(run_dir))}
    assert lines["attention"].predicted == {"lut": 110, "ff": 70, "dsp": 9, "bram": 0.5}
    assert lines["attention"].made["lut"] == 14
    assert lines["sum"].fused and not lines["x"].fused
    assert lines["head"].made["lut"] == 5, "what is computed inside the next layer counts there"
    assert (lines["attention"].clocks, lines["head"].clocks) == ("8 – 10", "16")


def test_roc_areas_equal_the_rank_statistic() -> None:
    random = np.random.default_rng(3)
    score, positive = random.integers(0, 12, 500) / 12, random.random(500) < 0.4
    false, true = plots.roc(score, positive)
    above = score[positive][:, None] - score[~positive][None]
    area = (above > 0).mean() + 0.5 * (above == 0).mean()
    assert np.trapezoid(true, false) == pytest.approx(area)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)


def test_ticks_are_round_and_inside() -> None:
    assert svg.Scale(0, 183, 0, 1).ticks(12) == [i * 20 for i in range(10)]
    assert svg.Scale(1e-3, 1, 0, 1, logarithmic=True).ticks() == [0.001, 0.01, 0.1, 1.0]
    assert svg.label(1e-5) == "10⁻⁵"
    assert svg.Scale(0, 10, 100, 200)(25) == 200


def test_long_names_are_shortened_in_the_middle() -> None:
    assert plots.shortened("a" * 20 + "b" * 20, 11) == "aaaa…bbbbbb"


def test_the_table_of_classes_equals_scikit_learn_s() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(11)
    outputs, labels = random.normal(size=(400, 7)), random.integers(0, 7, 400)
    wanted = metrics.confusion_matrix(labels, outputs.argmax(1), labels=range(7))
    assert_array_equal(confusion.counts(outputs, labels), wanted)
    beyond = np.append(labels, [-1, 7])
    assert_array_equal(confusion.counts(np.append(outputs, outputs[:2], 0), beyond), wanted)


def test_the_table_of_classes_names_them_and_escapes() -> None:
    outputs = np.eye(5)[[0, 1, 2, 3, 4, 4]]
    drawn = str(confusion.confusion(outputs, np.array([0, 1, 2, 3, 4, 0]), ["<b>", "charm"]))
    assert "<b>" not in drawn
    assert "&lt;b&gt; taken for 4: 1 of 2" in drawn
    assert "charm taken for charm: 1 of 1" in drawn
