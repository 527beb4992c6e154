"""The side by side with other generators: equality is seen and missed, the page is what is kept."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict, replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from gateformer.errors import ConfigError, GateformerError
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.study.rivals import __main__ as command
from gateformer.study.rivals import measure
from gateformer.study.rivals.page import page, verdict
from gateformer.study.rivals.program import Program, attention, dense, subjects, token_mlp

ROOT = Path(__file__).parents[2]
SMALL = (
    dense("small", "4 x 3", (3, 4), 4, 1.0),
    token_mlp((3, 4, 2), 4),
    attention(2, 3, 2, 3),
)
da4ml = pytest.mark.skipif(find_spec("da4ml") is None, reason="da4ml is not installed")


def told_of(package: str, program: Program, folder: Path) -> measure.Row:
    """A rival's row without yosys: generated, and compared in Icarus."""
    found = measure.theirs(program, package, sys.executable, folder, None, 2)
    assert isinstance(found, measure.Row), found
    return found


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Synthesis left out: these tests are of what comes before."""
    from gateformer.toolchains.yosys import Synthesis

    def nothing(files: object, top: str, family: str, *rest: object) -> Synthesis:
        return Synthesis(top, family, 1, 2, 0, 0.0, logic_ns=3.0)

    monkeypatch.setattr(measure, "synthesize", nothing)


@pytest.mark.parametrize("program", subjects(), ids=lambda p: p.name)
def test_programs_compute_what_they_say(program: Program) -> None:
    """Line by line in plain numpy, on raw integers."""
    graph, x = program.graph(), measure.frames(program)[:20]
    values = {"x": x}
    for line in program.lines:
        a = values[line.inputs[0]]
        if line.kind == "dense":
            assert line.weight is not None
            values[line.output] = a @ line.weight.T
        elif line.kind in ("relu", "drop"):
            assert line.kind == "relu" or a.min() >= 0
            values[line.output] = np.maximum(a, 0) >> line.drop
        else:
            b = values[line.inputs[1]]
            values[line.output] = a @ (b.transpose(0, 2, 1) if line.kind == "scores" else b)
    found = run(graph, {"x": x[:, 0] if program.tokens == 1 else x})
    for name in program.outputs:
        np.testing.assert_array_equal(found[name].reshape(values[name].shape), values[name])
        assert np.unique(values[name]).size > 4


@pytest.mark.icarus
@pytest.mark.parametrize("program", SMALL, ids=lambda p: p.name)
def test_ours_is_held_to_the_executor(program: Program, tmp_path: Path, uncounted: None) -> None:
    for lanes in dict.fromkeys((1, program.tokens)):
        settings = Settings(token_parallelism=lanes, joint=True, ternary=True)
        row = measure.ours(program, settings, "ours", tmp_path / str(lanes), None)
        assert row.interval == -(-program.tokens // lanes)
        assert row.ff == 2 + 8 * lanes * program.features


@da4ml
@pytest.mark.icarus
@pytest.mark.parametrize("program", SMALL, ids=lambda p: p.name)
def test_a_rival_that_computes_the_same_gets_a_row(
    program: Program, tmp_path: Path, uncounted: None
) -> None:
    row = told_of("da4ml", program, tmp_path)
    assert (row.program, row.by.split()[0], row.interval) == (program.name, "da4ml", 1)
    assert row.clocks >= 2


@da4ml
@pytest.mark.icarus
def test_a_rival_that_computes_something_else_gets_none(
    tmp_path: Path, uncounted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = SMALL[0]
    weight = right.lines[0].weight
    assert weight is not None
    other = weight.copy()
    other[0, 0] += 1
    wrong = replace(right, lines=(replace(right.lines[0], weight=other),))
    monkeypatch.setattr(Program, "plain", lambda self, was=Program.plain: was(wrong))
    with pytest.raises(GateformerError, match="computes something else"):
        told_of("da4ml", right, tmp_path)


def test_a_rival_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(GateformerError, match="nonesuch failed"):
        measure.theirs(SMALL[0], "nonesuch", sys.executable, tmp_path, None, 2)


def test_elements_are_packed_in_their_own_widths() -> None:
    assert measure.packed([-1.0, 2.5, 3.0], [(2, 0), (4, 1), (0, 0)]) == 0b0101_11
    assert measure.packed([], []) == 0


def test_the_page_is_what_is_kept() -> None:
    kept = json.loads((ROOT / "docs/rivals.json").read_text())
    assert (ROOT / "docs/rivals.md").read_text() == page(kept, subjects())
    programs = {program.name for program in subjects()}
    assert {row["program"] for row in kept["rows"]} <= programs
    rivals = {row["by"].split()[0].rstrip(",") for row in kept["rows"]}
    assert rivals == {"gateformer", "da4ml", "alkaid"}


def test_a_loss_is_told_as_one() -> None:
    rows = [
        {"program": "a", "by": by, "interval": 1, "lut": lut, "ff": ff, "clocks": 3}
        for by, lut, ff in (("gateformer, joint, in threes", 30, 10), ("da4ml 0.6.0", 20, 20))
    ]
    told = verdict(rows, "joint, in threes")
    assert "LUTs: 1.50 to 1.50 of da4ml's; fewer in 0 of 1." in told
    assert "flip-flops: 0.50 to 0.50 of da4ml's; fewer in 1 of 1." in told
    assert "alkaid" not in told


def rival_that(folder: Path, does: str) -> str:
    """An interpreter that does something in the folder that it is given."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nfolder="$5"\n{does}\n')
    script.chmod(0o755)
    return str(script)


def test_what_a_rival_does_not_finish_is_kept_as_it_said_it(tmp_path: Path) -> None:
    started = """echo '{"version": "7.8"}' > "$folder/started.json\""""
    told = "echo 'Traceback:' >&2; echo 'KeyError: `x`' >&2; exit 1"
    python = rival_that(tmp_path, f"{started}\n{told}")
    found = measure.theirs(SMALL[0], "alkaid", python, tmp_path, None, 2)
    today = date.today().isoformat()
    assert found == measure.Failure("small", "alkaid 7.8", "KeyError: `x`", today)
    rows = [asdict(measure.Row("small", "gateformer, joint", 1, 3, 30, 10, 0, 1.0))]
    kept = {"yosys": "1", "frames": 2, "rows": rows, "failed": measure.plain([found])}
    assert f"alkaid 7.8 made nothing of it ({today}): `KeyError: 'x'`." in page(kept, SMALL)


def test_failures_are_kept_beside_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [program.name for program in subjects()]
    failures = [measure.Failure(name, "alkaid 7.8", "no", "2026-01-01") for name in names]
    monkeypatch.setattr(command, "KEPT", tmp_path / "rivals.json")
    monkeypatch.setattr("gateformer.toolchains.yosys.yosys_version", lambda: "1")
    monkeypatch.setattr(command, "each", lambda program, *_: [failures[names.index(program.name)]])
    told = command.measured(Namespace(only=None, cache=None))
    assert (told["rows"], told["failed"]) == ([], [asdict(one) for one in failures])
    command.KEPT.write_text(json.dumps(told), encoding="utf-8")
    monkeypatch.setattr(command, "each", lambda *_: [])
    left = command.measured(Namespace(only=[names[0]], cache=None))
    assert left["failed"] == told["failed"][1:]


def test_rows_of_another_yosys_do_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One version stands above all rows, so that it must be that of all."""
    kept = json.loads((ROOT / command.KEPT).read_text(encoding="utf-8"))
    monkeypatch.setattr(command, "KEPT", tmp_path / "rivals.json")
    monkeypatch.setattr(command, "each", lambda *_: [])
    monkeypatch.setattr("gateformer.toolchains.yosys.yosys_version", lambda: "9.99")
    command.KEPT.write_text(json.dumps(kept), encoding="utf-8")
    name = kept["rows"][0]["program"]
    asked = Namespace(only=[name], cache=None)
    with pytest.raises(ConfigError, match=r"E006.*yosys .*, not 9.99"):
        command.measured(asked)
    monkeypatch.setattr("gateformer.toolchains.yosys.yosys_version", lambda: kept["yosys"])
    left = command.measured(asked)["rows"]
    assert left == [row for row in kept["rows"] if row["program"] != name]
