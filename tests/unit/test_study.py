"""Studies: files and their faults, points, caching, what is gained, and the page of the records."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from multiprocessing import active_children
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from xml.etree import ElementTree

import pytest

from gateformer import cli
from gateformer.quant.errors import ConfigError, GateformerError, Problems, RunError, ToolError
from gateformer.quant.train.held import locked
from gateformer.study import page, running, studying, training
from gateformer.study.pareto import frontier, plot
from gateformer.study.points import Point, points
from gateformer.study.rows import Row, read_rows, rows_text
from gateformer.study.running import Place, point_key, run_point
from gateformer.study.schema import Study, Variant, read
from gateformer.study.summary import against, lut_per_dsp, summaries
from gateformer.study.workers import rows_of

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "fpga_projects" / "studies"

RECIPE = """
framework = "brevitas"
task = "digits"

[data]
seed = 1
tokens = 8
train = 100
valid = 50
test = 60
calibration = 50

[network]
blocks = 1
width = 4
heads = 2
key_dim = 2
ffn = 4
norm = "batch"
pool = "mean"

[training]
seed = 1
batch = 50
float_epochs = 1
float_rate = 1e-2
quantized_epochs = 1
quantized_rate = 1e-3
"""

STUDY = """
name = "small"
title = "Small"
recipe = "recipe.toml"
bits = [6, 4]
seeds = [1, 2]

[design.schedule]
token_parallelism = 2

[[variants]]
name = "plain"

[[variants]]
name = "log-sqrt2 softmax"
bits = [6]
recipe = {techniques = {log_sqrt2 = 4}}

[[variants]]
name = "PTQ"
seeds = [3]
ptq = {step = "float"}
design = {schedule = {reuse_factor = 4}}
"""


def written(folder: Path, text: str = STUDY, recipe: str = RECIPE) -> Path:
    (folder / "recipe.toml").write_text(recipe)
    path = folder / "small.toml"
    path.write_text(text)
    return path


def small(folder: Path) -> Study:
    return read(written(folder))


# Files and points


def test_points_are_variants_at_widths_and_seeds(tmp_path: Path) -> None:
    found = points(small(tmp_path))
    assert [point.slug for point in found] == [
        "plain-6-1", "plain-6-2", "plain-4-1", "plain-4-2",
        "log-sqrt2-softmax-6-1", "log-sqrt2-softmax-6-2", "ptq-6-3", "ptq-4-3",
    ]  # fmt: skip
    bits = found[2].recipe.bits
    assert (bits.weight, bits.activation, bits.attention, bits.input) == (4, 4, 4, 8)
    assert [point.recipe.training.seed for point in found[:2]] == [1, 2]
    assert found[4].recipe.techniques.log_sqrt2 == 4
    assert found[0].recipe.techniques.log_sqrt2 is None
    assert dict(found[7].ptq or ()) == {"weights": 4, "activations": 4, "step": "float"}


def test_designs_are_the_studys_with_the_variants_on_top(tmp_path: Path) -> None:
    found = points(small(tmp_path))
    assert set(found[0].overrides) == {
        "synth.enabled=true", "schedule.token_parallelism=2",
    }  # fmt: skip
    assert "synth.enabled=false" in found[1].overrides  # the second seed
    assert "schedule.reuse_factor=4" in found[6].overrides


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('name = "small"', ("name = 1",)),
        ('name = "PTQ"', ('name = "plain"',)),
        ("bits = [6, 4]", ("bits = []",)),
        ("seeds = [3]", ('against = "nothing"',)),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, change: str, told: tuple[str]) -> None:
    with pytest.raises((ConfigError, Problems), match="E002"):
        read(written(tmp_path, STUDY.replace(change, told[0])))


def test_unknown_keys_of_variants_get_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises((ConfigError, Problems), match=r"E001.*variants.*Did you mean 'seeds'"):
        read(written(tmp_path, STUDY.replace("seeds = [3]", "sedes = [3]")))


def test_faults_of_recipes_and_designs_are_told_at_once_and_once(tmp_path: Path) -> None:
    text = STUDY.replace("log_sqrt2 = 4", "log_sqrt3 = 4").replace("reuse_factor", "reuse_fctor")
    with pytest.raises(Problems) as caught:
        points(read(written(tmp_path, text)))
    told = [str(error) for error in caught.value.errors]
    assert len(told) == 2
    assert any("log_sqrt3" in one and "Did you mean 'log_sqrt2'" in one for one in told)
    assert any("reuse_fctor" in one and "Did you mean 'reuse_factor'" in one for one in told)


def test_numbers_that_are_none_are_refused_wherever_they_stand(tmp_path: Path) -> None:
    text = STUDY.replace(
        "{techniques = {log_sqrt2 = 4}}", "{training = {float_rate = inf, decay = nan}}"
    )
    text = text.replace("token_parallelism = 2", "clock_ns = nan\n[design.build]\ntimeout_s = inf")
    recipe = RECIPE.replace("quantized_rate = 1e-3", "quantized_rate = nan")
    with pytest.raises(Problems) as caught:
        points(read(written(tmp_path, text, recipe)))
    told = "\n".join(str(error) for error in caught.value.errors)
    for key, value in (
        ("log-sqrt2 softmax:training.float_rate", "inf is no finite"),
        ("log-sqrt2 softmax:training.decay", "nan is no finite"),
        ("plain:training.quantized_rate", "nan is no finite"),
        ("PTQ: design:schedule.clock_ns", "nan should be a finite"),
        ("PTQ: design:build.timeout_s", "inf should be a finite"),
    ):
        assert f"'small: {key}'. {value} number." in told


def test_a_date_in_a_design_is_a_wrong_value(tmp_path: Path) -> None:
    text = STUDY.replace("token_parallelism = 2", "clock_ns = 2026-01-01")
    with pytest.raises(Problems, match=r"E002.*schedule.clock_ns.*valid number"):
        points(read(written(tmp_path, text)))


@pytest.mark.parametrize(
    ("ptq", "told"),
    [
        ('stepp = "float"', r"E001.*ptq.stepp.*Did you mean 'step'"),
        ('step = "odd"', r"E002.*ptq.step"),
        ('percentile = "x"', r"E002.*ptq.percentile"),
        ("correct_bias = 3", r"E002.*ptq.correct_bias"),
        ("activations = 99", "E022"),
        ("percentile = nan", r"E002.*PTQ: ptq.percentile.*finite number"),
        ("techniques = {clipped_softmax = inf}", r"E005.*clipped_softmax=inf"),
        ("techniques = 3", r"E002.*ptq.techniques"),
        ("techniques = {repque = 1}", r"E005.*Did you mean 'repq'"),
        ('techniques = {prune = "much"}', "E005"),
        ('stepp = 1, step = "odd"', r"(?s)ptq.stepp.*ptq.step'|ptq.step'.*ptq.stepp"),
    ],
)
def test_what_quantization_does_not_take_is_told_before_any_training(
    tmp_path: Path, ptq: str, told: str
) -> None:
    text = STUDY.replace('ptq = {step = "float"}', f"ptq = {{{ptq}}}")
    with pytest.raises((ConfigError, Problems), match=told):
        points(read(written(tmp_path, text)))


def test_a_width_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="E006"):
        points(read(written(tmp_path, STUDY.replace("[6, 4]", "[6, 6]"))))


def test_a_missing_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(GateformerError, match=r"E00[34]"):
        read(tmp_path / "none.toml")


# Rows


def row(variant: str, bits: int = 6, seed: int = 1, **figures: float | str) -> Row:
    usual: dict[str, float | str] = {
        "integer": 0.9, "samples": 1000, "lut": 1000, "ff": 10, "dsp": 0, "latency": 100,
    }  # fmt: skip
    return Row(variant, bits, seed, f"{variant}{bits}{seed}", figures=usual | figures)


def test_rows_come_back(tmp_path: Path) -> None:
    rows = [row("plain"), Row("PTQ", 4, 1, "k", failed="E505 cannot train.")]
    path = tmp_path / "small.json"
    path.write_text(rows_text(rows, {"torch": "2"}))
    assert read_rows(path) == (rows, {"torch": "2"})
    assert read_rows(tmp_path / "none.json") == ([], {})


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1, "rows": [{"bits": 1}]}', '{"rows": 1}'])
def test_damaged_rows_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "small.json"
    path.write_text(text)
    with pytest.raises(RunError, match="E705"):
        read_rows(path)


# What is gained


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ({"lut": 900}, "gains"),
        ({"lut": 900, "integer": 0.892}, "gains"),  # a standard error is 0.0095
        ({"lut": 900, "integer": 0.889}, "loses accuracy"),
        ({"lut": 995}, "no change"),
        ({"latency": 90}, "gains"),
        ({"lut": 900, "latency": 110}, "trades"),
        ({"lut": 990, "dsp": 1}, "costs"),
        ({"lut": 1100}, "costs"),
    ],
)
def test_a_gain_is_less_area_or_time_at_equal_accuracy(
    tmp_path: Path, figures: dict[str, float], verdict: str
) -> None:
    study = small(tmp_path)
    rows = [row("plain", lut=1000), row("PTQ", **figures)]
    (found,) = against(study, summaries(rows))
    assert found.verdict == verdict


def test_the_same_samples_are_compared_in_pairs(tmp_path: Path) -> None:
    """Of 16 samples one differs: the error of the difference is a quarter of a share's."""
    study = small(tmp_path)
    rows = [
        row("plain", lut=1000, samples=16, integer=12 / 16, right="fff0", dsp=2),
        row("PTQ", lut=900, samples=16, integer=11 / 16, right="ffe0", dsp=5),
    ]
    (found,) = against(study, summaries(rows))
    assert found.paired and found.dsp == 3
    assert found.allowed == pytest.approx((1 - 1 / 16) ** 0.5 / 16)
    assert found.verdict == "loses accuracy"
    assert "| -6.25 | -6.05 (paired) |" in page.markdown([(study, rows, {})], "study")
    alone = [rows[0], row("PTQ", lut=900, samples=16, integer=11 / 16)]
    (found,) = against(study, summaries(alone))
    assert not found.paired and found.allowed > 0.1
    other = [rows[0], row("PTQ", seed=2, samples=16, right="ffe0")]
    assert not against(study, summaries(other))[0].paired


def test_yosys_is_believed_where_it_counted_both(tmp_path: Path) -> None:
    study = small(tmp_path)
    rows = [
        row("plain", synth_lut=2000, synth_dsp=0),
        row("PTQ", lut=900, synth_lut=2200, synth_dsp=0),
    ]
    (found,) = against(study, summaries(rows))
    assert found.synthesized
    assert found.verdict == "costs"
    (found,) = against(study, summaries([row("plain"), rows[1]]))
    assert found.verdict == "gains"


def test_seeds_are_averaged_and_failures_left_out() -> None:
    rows = [
        row("plain", integer=0.8),
        row("plain", seed=2, integer=0.9),
        Row("plain", 6, 3, "k", failed="E505"),
    ]
    (found,) = summaries(rows)
    assert found.mean("integer") == pytest.approx(0.85)
    assert found.mean("auc") is None
    assert len(found.rows) == 2


def test_area_weighs_dsp_blocks_as_the_device_has_them() -> None:
    (found,) = summaries([row("plain", lut=1000, dsp=2)])
    assert lut_per_dsp() == pytest.approx(140.6, abs=0.1)
    assert found.area(synthesized=False) == pytest.approx(1000 + 2 * lut_per_dsp())


def test_the_frontier_is_what_nothing_beats() -> None:
    (one,) = summaries([row("plain")])
    marks = [(1.0, 0.5, one), (2.0, 0.4, one), (2.0, 0.7, one), (3.0, 0.7, one), (4.0, 0.8, one)]
    assert [mark[:2] for mark in frontier(marks)] == [(1.0, 0.5), (2.0, 0.7), (4.0, 0.8)]


def test_the_plot_is_well_formed_and_escapes_names(tmp_path: Path) -> None:
    study = small(tmp_path)
    text = plot(study, [row("a < b & c"), row("plain", bits=4, integer=0.8, lut=500)])
    tree = ElementTree.fromstring(text)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(tree.findall("{*}circle")) == 2 + 2  # the marks, and what they mean
    assert "a < b & c" in "".join(tree.itertext())
    ElementTree.fromstring(plot(study, []))


def test_the_page_tells_figures_and_failures(tmp_path: Path) -> None:
    study = small(tmp_path)
    rows = [row("plain"), row("PTQ", lut=500), Row("plain", 4, 1, "k", failed="E505 no torch.")]
    text = page.markdown([(study, rows, {"torch": "2.0"})], "study")
    assert "| PTQ | plain | 6 | +0.00 | -0.95 | -50.0 % | +0 | +0.0 % | gains |" in text
    assert "- failed: plain, 4 bits, seed 1: E505 no torch." in text
    assert "torch 2.0" in text
    assert "- not run yet: log-sqrt2 softmax" in text
    assert "`{schedule = {reuse_factor = 4}}`" in text


# Running


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let points take no time, and list those that run."""
    ran: list[str] = []

    def fake(point: Point, key: str, place: Place, say: Any) -> Row:
        ran.append(point.slug)
        if point.bits == 4:
            return Row(point.variant, point.bits, point.seed, key, failed="E102 unsupported")
        return replace(row(point.variant, point.bits, point.seed), key=key)

    monkeypatch.setattr(studying, "run_point", fake)
    monkeypatch.setattr(training, "data_digest", lambda task, wanted, folder: "same")
    return ran


def silent(line: str) -> None:
    pass


def test_recorded_points_are_not_run_again_but_failed_ones_are(
    tmp_path: Path, counted: list[str]
) -> None:
    path, out = written(tmp_path), tmp_path / "study"
    failed = studying.study([path], out, tmp_path / "work", 1, silent)
    assert len(counted) == 8
    assert {(one.variant, one.bits) for one in failed} == {("plain", 4), ("PTQ", 4)}
    assert "E102 unsupported" in (tmp_path / "study.md").read_text()
    counted.clear()
    studying.study([path], out, tmp_path / "work", 1, silent)
    assert counted == ["plain-4-1", "plain-4-2", "ptq-4-3"]
    counted.clear()
    studying.study([path], out, tmp_path / "work", 1, silent, recorded=True)
    assert counted == []


def test_a_changed_recipe_runs_again(tmp_path: Path, counted: list[str]) -> None:
    path, out = written(tmp_path), tmp_path / "study"
    studying.study([path], out, tmp_path / "work", 1, silent)
    counted.clear()
    written(tmp_path, recipe=RECIPE.replace("ffn = 4", "ffn = 8"))
    studying.study([path], out, tmp_path / "work", 1, silent)
    assert len(counted) == 8


def test_an_interrupted_study_keeps_what_it_has(
    tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = written(tmp_path), tmp_path / "study"
    usual = studying.run_point

    def interrupted(point: Point, key: str, place: Place, say: Any) -> Row:
        if len(counted) == 2:
            raise KeyboardInterrupt
        return usual(point, key, place, say)

    monkeypatch.setattr(studying, "run_point", interrupted)
    with pytest.raises(KeyboardInterrupt):
        studying.study([path], out, tmp_path / "work", 1, silent)
    monkeypatch.setattr(studying, "run_point", usual)
    counted.clear()
    studying.study([path], out, tmp_path / "work", 1, silent)
    assert "plain-6-1" not in counted
    assert "plain-6-2" not in counted
    assert len(counted) == 6


def test_the_key_holds_recipe_data_design_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["a"]
    monkeypatch.setattr(training, "data_digest", lambda task, wanted, folder: data[0])
    place = Place(tmp_path, tmp_path)
    first = points(small(tmp_path))[0]
    keys = {point_key(first, place)}
    keys.add(point_key(replace(first, overrides=("schedule.reuse_factor=2",)), place))
    keys.add(point_key(replace(first, ptq=(("weights", 6),)), place))
    keys.add(point_key(replace(first, recipe=replace(first.recipe, task="vowels")), place))
    data[0] = "b"
    keys.add(point_key(first, place))
    monkeypatch.setattr(training, "version", lambda name: "99")
    keys.add(point_key(first, place))
    assert len(keys) == 6


def test_an_error_of_a_point_is_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> Path:
        raise ToolError("E505", "cannot train: Python package not installed", layer="torch")

    monkeypatch.setattr(running, "design", fails)
    point = points(small(tmp_path))[0]
    found = run_point(point, "key", Place(tmp_path, tmp_path / "work"), silent)
    assert found.failed.startswith("E505 cannot train")
    assert not found.figures


@pytest.mark.slow
@pytest.mark.brevitas
def test_a_study_trains_quantizes_and_builds(tmp_path: Path) -> None:
    text = STUDY.replace("seeds = [1, 2]", 'seeds = [1]\nsynthesize = "none"').replace(
        "bits = [6, 4]", "bits = [6]"
    )
    text = text.replace("token_parallelism = 2", "token_parallelism = 1")
    path, out = written(tmp_path, text), tmp_path / "study"
    failed = studying.study([path], out, tmp_path / "work", 1, silent)
    assert failed == []
    rows, _ = read_rows(out / "small.json")
    plain, log, ptq = rows
    assert plain["agreement"] == pytest.approx(1.0, abs=0.05)
    assert log.number("dsp") < plain.number("dsp")
    assert (plain["framework"], ptq["framework"]) != (None, None)
    assert plain.number("weight_bits") <= 6
    said: list[str] = []
    studying.study([path], out, tmp_path / "work", 1, said.append)
    assert [line.rpartition(": ")[2] for line in said] == ["recorded"] * 3


# What is shipped


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_studies_are_sound(path: Path) -> None:
    study = read(path)
    assert study.name == path.stem
    assert points(study)


def test_the_shipped_page_is_that_of_the_shipped_rows(tmp_path: Path) -> None:
    kept = ROOT / "docs" / "study"
    done = []
    text = (ROOT / "docs" / "study.md").read_text()
    names = text.split("gateformer study ")[1].splitlines()[0].split()
    for name in names:
        study = read(ROOT / name)
        done.append((study, *read_rows(kept / f"{study.name}.json")))
        assert (kept / f"{study.name}.svg").read_text() == plot(study, done[-1][1])
    assert text == page.markdown(done, "study")


def test_the_shipped_rows_are_those_of_the_shipped_studies() -> None:
    for path in (ROOT / "docs" / "study").glob("*.json"):
        rows, _ = read_rows(path)
        told = {(row.variant, row.bits, row.seed) for row in rows}
        wanted = {(p.variant, p.bits, p.seed) for p in points(read(STUDIES / f"{path.stem}.toml"))}
        assert told
        assert told <= wanted
        assert json.loads(path.read_text())["versions"]


def test_a_variant_may_stand_alone() -> None:
    study = Study(
        name="s", title="t", recipe="r", bits=[6],
        variants=[Variant(name="a"), Variant(name="b", against="b"), Variant(name="c")],
    )  # fmt: skip
    assert [study.base(variant) for variant in study.variants] == [None, None, "a"]


# Interruptions


POINTS = """
import os, time
from gc import get_objects
from multiprocessing.connection import Connection
from pathlib import Path
from gateformer.study.rows import Row

def do(point, key, place, say):
    Path(place.work, point.slug).write_text("")
    if point.variant == "dies":
        os._exit(3)
    if point.variant == "torn":
        pipe = next(one for one in get_objects() if isinstance(one, Connection) and one.writable)
        os.write(pipe.fileno(), (1000).to_bytes(4, "big") + b"no whole row")
        os._exit(3)
    if point.variant == "wrong":
        raise RuntimeError("a defect")
    if point.variant == "long":
        try:
            time.sleep(60)
        except BaseException:
            Path(place.work, f"{point.slug}-cleared").write_text("")
            raise
    return Row(point.variant, point.bits, point.seed, key)
"""


@pytest.fixture
def do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What makes rows, of a module that other processes find."""
    (tmp_path / "made_points.py").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return import_module("made_points").do


def made(tmp_path: Path, do: Any, *names: str, jobs: int = 2) -> Generator[tuple[Point, Row]]:
    """Rows of points of these variants, each in a group of its own."""
    (tmp_path / "work").mkdir()
    first = points(small(tmp_path))[0]
    every = [replace(first, variant=name, seed=seed) for seed, name in enumerate(names)]
    keys = {point.slug: f"key of {point.slug}" for point in every}
    place = Place(tmp_path, tmp_path / "work")
    return rows_of([[point] for point in every], keys, place, jobs, do)


def test_rows_come_from_processes_of_their_own(tmp_path: Path, do: Any) -> None:
    found = list(made(tmp_path, do, "a", "dies", "b"))
    assert {point.slug for point, _ in found} == {"a-6-0", "dies-6-1", "b-6-2"}
    for point, one in found:
        assert (one.variant, one.key) == (point.variant, f"key of {point.slug}")
        died = (
            "E502 process ended: 'dies-6-1'. It ended with exit code 3, without a row. "
            "Give it more memory, or the study fewer --jobs."
        )
        assert one.failed == (died if point.variant == "dies" else "")


def test_a_process_that_dies_within_a_row_is_told(tmp_path: Path, do: Any) -> None:
    told = {point.variant: row.failed for point, row in made(tmp_path, do, "torn", "a")}
    assert told["a"] == "" and "exit code 3, without a row" in told["torn"]


def test_a_defect_in_a_process_is_raised_with_its_place(tmp_path: Path, do: Any) -> None:
    with pytest.raises(RuntimeError, match="a defect") as caught:
        list(made(tmp_path, do, "wrong", "long"))
    assert any("made_points.py" in note for note in caught.value.__notes__)
    assert not active_children()


def test_processes_are_stopped_and_clear_up(tmp_path: Path, do: Any) -> None:
    work = tmp_path / "work"
    start = monotonic()
    with closing(made(tmp_path, do, "a", "long", "b", "c")) as rows:
        for point, _ in rows:
            if point.variant == "c":
                break
        while not (work / "long-6-1").exists():
            sleep(0.01)
    assert not active_children()
    assert (work / "long-6-1-cleared").exists()
    assert monotonic() - start < 50


def test_processes_of_a_killed_study_stop(tmp_path: Path, do: Any) -> None:
    """Nothing that Python does at its end is done there."""
    script = tmp_path / "killed.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        f"sys.path[:0] = {[str(Path(__file__).parent), str(tmp_path)]}\n"
        "if __name__ == '__main__':\n"
        "    import test_study, made_points\n"
        "    list(test_study.made(Path(sys.argv[1]), made_points.do, 'long'))\n"
    )
    place = tmp_path / "killed"
    place.mkdir()
    begun, cleared = (place / "work" / name for name in ("long-6-0", "long-6-0-cleared"))
    with subprocess.Popen([sys.executable, str(script), str(place)]) as study:
        while not begun.exists():
            assert study.poll() is None
            sleep(0.01)
        study.kill()
    end = monotonic() + 30
    while not cleared.exists() and monotonic() < end:
        sleep(0.01)
    assert cleared.exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_command_says_so_and_goes_on(
    tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch, jobs: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def interrupted(*arguments: Any) -> Generator[tuple[Point, Row]]:
        groups, keys, place, _, do = arguments
        for group in groups:
            for point in group:
                yield point, do(point, keys[point.slug], place, silent)
                raise KeyboardInterrupt

    usual = studying.run_point

    def second(point: Point, key: str, place: Place, say: Any) -> Row:
        if counted:
            raise KeyboardInterrupt
        return usual(point, key, place, say)

    path, out, work = written(tmp_path), tmp_path / "study", tmp_path / "work"
    asked = ["study", str(path), "--out", str(out), "--work", str(work), "--jobs", str(jobs)]
    with monkeypatch.context() as patch:
        patch.setattr(studying, "rows_of", interrupted)
        patch.setattr(studying, "run_point", second if jobs == 1 else usual)
        assert cli.main(asked) == 130
    told = "E707 interrupted. Nothing is half-written: the same command goes on with what is whole."
    assert told in capsys.readouterr().err
    assert [one.variant for one in read_rows(out / "small.json")[0]] == ["plain"]
    assert sorted(path.name for path in out.iterdir()) == ["small.json"]
    counted.clear()
    assert cli.main([*asked[:-1], "1"]) == 1  # points of 4 bits fail
    assert len(counted) == 7


def test_one_study_at_a_time_works_in_a_folder(
    tmp_path: Path, counted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, out, work = written(tmp_path), tmp_path / "study", tmp_path / "work"
    asked = ["study", str(path), "--out", str(out), "--work", str(work)]
    assert cli.main(asked) == 1
    before = read_rows(out / "small.json")
    counted.clear()
    for place, option in ((work / ".study.lock", "--work"), (out / ".rows.lock", "--out")):
        with locked(place, "", ""):
            capsys.readouterr()
            assert cli.main(asked) == 9
        told = capsys.readouterr().err
        assert f"E704 folder is in use: '{place.parent}'. Another study works in it. " in told
        assert f"Wait for it, or choose another folder with {option}." in told
    assert counted == []
    assert read_rows(out / "small.json") == before
    with locked(work / ".study.lock", "", ""):
        assert cli.main([*asked, "--recorded"]) == 1
