"""``gateformer build --tool nextpnr``: its calls against fake tools, then one real bitstream."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flows.tiny import write_model
from mock_tools.kit import Bench, bench

from gateformer.cli import main
from gateformer.quant import tools as catalogue
from gateformer.toolchains import nextpnr

TYPES = "-otypes.default=fixed<8,4>"
PLACE = "a b$[x]{y};\"z'\\ü"
ECP5 = ("nextpnr-ecp5", "ecppack")
YOSYS = """
import sys, pathlib
print("yosys>", sys.argv[1:])
script = pathlib.Path(sys.argv[1]).read_text()
if "gf_net_ulx3s" in script:
    assert pathlib.Path("pll.v").is_file()
pathlib.Path("mapped.json").write_text('{"modules": {}}')
cells = '{"design": {"num_cells_by_type": {"LUT4": 3000, "CCU2C": 400}}}'
pathlib.Path("cells.json").write_text(cells)
"""
Answer = tuple[int, dict[str, Any], str]
Run = Callable[..., Answer]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Fake tools, none on PATH yet, and a fake yosys; what pip installed is out of reach."""
    fake = tmp_path / "yosys_script.py"
    fake.write_text(YOSYS)
    monkeypatch.setattr(nextpnr.yosys_script, "__file__", str(fake))
    monkeypatch.setattr(catalogue, "BESIDE", str(tmp_path))
    return bench(tmp_path, monkeypatch)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``gateformer build`` in a folder with a hostile name."""
    place = tmp_path / PLACE
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_model(place / "net.h5")

    def do(*arguments: str, device: str = "lfe5u-85f") -> Answer:
        capsys.readouterr()
        words = ["build", "net.h5", "--tool", "nextpnr", TYPES, f"-oschedule.device={device}"]
        code = main([*words, *arguments, "--out", "out", "--json"])
        out, said = capsys.readouterr()
        assert "Traceback" not in said and code != 70, said
        return code, json.loads(out) if out else {}, said

    return do


def _kept() -> Path:
    (found,) = Path("out").glob("*-build")
    return found


@pytest.mark.synth
def test_ecp5_from_verilog_to_bitstream(tools: Bench, run: Run) -> None:
    tools.has(*ECP5)
    code, answer, said = run("-obuild.strategy=seed3")
    assert code == 0, said
    assert [(call[0], call[-2:]) for call in tools.calls()] == [
        ("nextpnr-ecp5", ("--textcfg", "net.config")),
        ("ecppack", ("--bit", "net.bit")),
    ]
    (place,) = (call for call in tools.calls() if call[0] == "nextpnr-ecp5")
    assert place[1:6] == ("--85k", "--package", "CABGA381", "--speed", "6")
    assert place[place.index("--seed") + 1] == "3"
    assert place[place.index("--freq") + 1] == "200"
    found = {k.removeprefix("build.nextpnr."): v for k, v in answer["metrics"].items()}
    expected = {"lut": 4210, "ff": 3100, "dsp": 12, "ebr": 2, "bram": 1.0, "fmax_mhz": 231.5}
    assert {key: found[key] for key in expected} == expected
    assert (found["timing_met"], found["wns_ns"], found["flow"]) == (True, 0.68, "uart")
    assert (found["cells.LUT4"], found["cells.CCU2C"]) == (3000, 400)
    kept = {path.name for path in _kept().iterdir()}
    assert kept >= {"net.bit", "net.config", "timing.json", "synth.ys", "pins.lpf", "build.sh"}
    assert (_kept() / "net.bit").read_bytes() == b"\xff\x00LSCC"


@pytest.mark.synth
def test_a_board_has_its_pll_made_first(tools: Bench, run: Run) -> None:
    tools.has(*ECP5, "ecppll")
    code, _, said = run("--flow", "ulx3s")
    assert code == 0, said
    assert [call[0] for call in tools.calls()] == ["ecppll", "nextpnr-ecp5", "ecppack"]
    assert tools.calls()[0][1:5] == ("-i", "25", "-o", "200")


@pytest.mark.synth
def test_gowin_quotes_no_clock_where_multipliers_have_no_times(tools: Bench, run: Run) -> None:
    tools.has("nextpnr-himbaechel", "gowin_pack")
    code, answer, said = run(device="gw2a-18")
    assert code == 0, said
    assert [call[0] for call in tools.calls()] == ["nextpnr-himbaechel", "gowin_pack"]
    found = answer["metrics"]
    assert found["build.nextpnr.fmax_without_multipliers_mhz"] == 210.0
    assert "build.nextpnr.fmax_mhz" not in found
    assert (found["build.nextpnr.lut"], found["build.nextpnr.dsp"]) == (1210, 3)
    assert (_kept() / "net.fs").is_file()


@pytest.mark.synth
@pytest.mark.parametrize("missing", ECP5)
def test_without_the_tool_the_folder_builds_elsewhere(tools: Bench, run: Run, missing: str) -> None:
    tools.has(*(tool for tool in ECP5 if tool != missing))
    code, _, said = run()
    assert code == 7, said
    assert tools.calls() == []
    script = (_kept() / "build.sh").read_text("utf-8")
    assert "python3 run_yosys.py synth.ys\n" in script
    assert (_kept() / "run_yosys.py").is_file() and (_kept() / "ecp5_multipliers.py").is_file()


@pytest.mark.synth
@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        ("fail", 11, "no BELs remaining to implement cell type 'MULT18X18D'"),
        ("missed", 14, "160 MHz can be had"),
        ("silent", 11, "report not there"),
        ("garbage", 11, "report not understood"),
    ],
)
def test_how_it_goes_wrong(tools: Bench, run: Run, mode: str, code: int, words: str) -> None:
    tools.has(*ECP5).behaves(mode)
    found, answer, _ = run()
    assert found == code
    error = answer["error"]
    assert words in json.dumps(error)
    assert not (mode == "missed" and answer["metrics"]["build.nextpnr.timing_met"])


def test_what_contradicts_is_told_before_anything_is_done(tools: Bench, run: Run) -> None:
    for arguments, device in (
        (("--flow", "axi"), "lfe5u-85f"),
        (("-obuild.strategy=wish",), "lfe5u-85f"),
        ((), "xcvu13p"),
    ):
        assert run(*arguments, device=device)[0] == 2
    assert run("-obuild.part=LFE5U-99F-6BG381C")[0] == 2
    assert tools.calls() == []


@pytest.mark.slow
@pytest.mark.nextpnr
def test_a_real_bitstream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A small network on the board, from its file to a bitstream; the clock is met."""
    place = tmp_path / "a b"
    place.mkdir()
    monkeypatch.chdir(place)
    write_model(place / "net.h5")
    words = ["build", "net.h5", "--tool", "nextpnr", "--flow", "ulx3s", TYPES, "--out", "out"]
    keys = ("device=lfe5u-85f", "clock_ns=12.5", "logic_ns=2.5")
    assert main([*words, *(f"-oschedule.{key}" for key in keys), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found["build.nextpnr.timing_met"] is True
    assert found["build.nextpnr.fmax_mhz"] >= 80
    assert found["build.nextpnr.cells.EHXPLLL"] == 1
    bits = (_kept() / "net.bit").read_bytes()
    assert b"LFE5U-85F" in bits[:200] and len(bits) > 100_000


@pytest.mark.slow
@pytest.mark.nextpnr
def test_a_real_gowin_bitstream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "net.h5")
    words = ["build", "net.h5", "--tool", "nextpnr", TYPES, "--out", "out", "--json"]
    keys = ("device=gw2a-18", "clock_ns=20", "logic_ns=2.5")
    assert main([*words, *(f"-oschedule.{key}" for key in keys)]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found["build.nextpnr.lut"] > 100 and found["build.nextpnr.ff"] > 100
    assert (_kept() / "net.fs").stat().st_size > 100_000
