"""``gateformer build`` with vendors' tools: fake ones, since the real ones are licensed.

Each fake tool runs the generated scripts under plain Tcl and records every command in them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest
from flows.tiny import write_model
from mock_tools.kit import Bench, bench

from gateformer.cli import build as build_command
from gateformer.cli import main
from gateformer.config.schema import Build as BuildSection
from gateformer.toolchains.registry import ENTRIES, toolchain

TYPES = "-otypes.default=fixed<8,4>"
HOSTILE = "a b$[x]{y};\"z'\\ü"
"""A folder's name with all that Tcl, shells and make give a meaning to."""

DEVICES = {
    "vivado": "xcvu13p",
    "vitis_hls": "xcvu13p",
    "vivado_hls": "xc7z020",
    "quartus": "5csema5",
    "quartus_hls": "10ax115",
    "pynq": "xc7z020",
}
PROGRAMS = {
    "vivado": "vivado",
    "vitis_hls": "vitis_hls",
    "vivado_hls": "vivado_hls",
    "quartus": "quartus_sh",
    "quartus_hls": "i++",
    "pynq": "vivado",
}
"""Each toolchain's program."""
PACKAGES = {"vitis_hls": "hls4ml", "vivado_hls": "hls4ml", "quartus_hls": "hls4ml"} | {
    "quartus": "edalize"
}
"""The Python package that a toolchain's plan needs."""

needs_tcl = pytest.mark.skipif(shutil.which("tclsh") is None, reason="not installed: tclsh")
Answer = tuple[int, dict[str, Any], str]
Run = Callable[..., Answer]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Fake tools; none is on PATH yet."""
    return bench(tmp_path, monkeypatch)


@pytest.fixture
def run(
    tmp_path: Path,
    tools: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run ``gateformer build`` in a folder with a hostile name."""
    place = tmp_path / HOSTILE
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_model(place / "net.h5")

    def do(tool: str, *arguments: str) -> Answer:
        package = PACKAGES.get(tool)
        if package and find_spec(package) is None:
            pytest.skip(f"not installed: {package}")
        device = f"-oschedule.device={DEVICES[tool]}"
        capsys.readouterr()
        words = ["build", "net.h5", "--tool", tool, device, TYPES, "--out", "out", *arguments]
        code = main([*words, "--json"])
        out, said = capsys.readouterr()
        assert "Traceback" not in said and code != 70, said
        return code, json.loads(out) if out else {}, said

    return do


def built(place: Path) -> Path:
    """The build's folder."""
    found = list((place / "out").glob("*-build*"))
    assert len(found) == 1
    return found[0]


def undocumented(tool: str, metrics: dict[str, Any]) -> set[str]:
    """Keys of a build that docs/metrics.md does not name, be it as one of several in a row."""
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text("utf-8")
    rows = [row for row in page.splitlines() if row.startswith("| `build.<tool>.")]
    known = {name.rsplit(".", 1)[-1] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    prefix = f"build.{tool}."
    keys = {key.removeprefix(prefix) for key in metrics if key.startswith(prefix)}
    return keys - known


@needs_tcl
@pytest.mark.parametrize(
    ("tool", "flow", "expected"),
    [
        ("vivado", "ooc", {"lut": 61934, "fmax_mhz": 250.0, "power_w": 5.281, "timing_met": True}),
        ("vivado", "synth", {"lut": 61934, "wns_ns": 1.0}),
        ("vivado", "axi", {"dsp": 1311, "timing_met": True}),
        ("vivado", "vhdl", {"dsp": 1311, "timing_met": True}),
        ("quartus", "ooc", {"lut": 8123, "bram": 5.0, "power_w": 0.84357, "timing_met": True}),
        ("quartus", "axi", {"lut": 8123, "timing_met": True}),
        ("quartus", "vhdl", {"lut": 8123, "timing_met": True}),
        ("pynq", "pynq-z2", {"lut": 61934, "timing_met": True, "power_w": 5.281}),
        ("vitis_hls", "csynth", {"lut": 48701, "latency_cycles": 41, "interval_cycles": 1}),
        ("vitis_hls", "ip", {"lut": 48701, "bram": 3.5}),
        ("vitis_hls", "vsynth", {"lut": 48701, "vsynth_lut": 61934}),
        ("quartus_hls", "csynth", {"alut": 28911}),
        ("quartus_hls", "fit", {"alut": 28911, "fit_dsp": 124, "fmax_mhz": 241.25}),
    ],
)
def test_each_flow_builds_in_a_hostile_folder(
    run: Run, tools: Bench, tool: str, flow: str, expected: dict[str, Any]
) -> None:
    tools.has("vivado", "vitis_hls", "quartus_sh", "i++")
    code, answer, said = run(tool, "--flow", flow)
    assert code == 0, said
    metrics = answer["metrics"]
    assert metrics[f"build.{tool}.flow"] == flow
    assert {key: metrics[f"build.{tool}.{key}"] for key in expected} == expected
    assert not undocumented(tool, metrics)
    kept = built(Path.cwd())
    assert (kept / "build.log").is_file()
    assert not (Path.cwd() / "out/scratch").exists()
    assert json.loads((Path.cwd() / "out/metrics.json").read_text("utf-8")) == metrics


@needs_tcl
def test_vivado_is_called_once_and_runs_each_step(run: Run, tools: Bench) -> None:
    tools.has("vivado")
    assert run("vivado", "-obuild.strategy=performance")[0] == 0
    (call,) = tools.calls()
    assert call[:3] == ("vivado", "-mode", "batch") and call[-2:] == ("-source", "build.tcl")
    steps = [line.split()[0] for line in tools.tcl()]
    assert [step for step in steps if step.endswith("_design")] == [
        "synth_design",
        "opt_design",
        "place_design",
        "phys_opt_design",
        "route_design",
        "phys_opt_design",
    ]
    assert "create_clock" not in steps  # the constraints are Vivado's to read
    assert (built(Path.cwd()) / "gf_net.dcp").is_file()
    assert "create_clock -name clk -period 5.000" in (built(Path.cwd()) / "clock.xdc").read_text(
        "utf-8"
    )


@needs_tcl
def test_the_axi_project_is_packaged(run: Run, tools: Bench) -> None:
    if find_spec("edalize") is None:
        pytest.skip("not installed: edalize")
    tools.has("vivado")
    assert run("vivado", "--flow", "axi")[0] == 0
    lines = tools.tcl()
    order = ["create_project net -force", "launch_runs synth_1 -jobs 2"]
    order += ["launch_runs impl_1 -jobs 2", "open_run impl_1"]
    places = [lines.index(line) for line in order]
    assert places == sorted(places)
    assert "ipx::associate_bus_interfaces -busif s_axis -clock clk ipx::current_core" not in lines
    assert any(line.startswith("ipx::associate_bus_interfaces -busif m_axis") for line in lines)
    assert (built(Path.cwd()) / "ip/component.xml").is_file()


@needs_tcl
def test_the_boards_folder_is_whole(run: Run, tools: Bench) -> None:
    tools.has("vivado")
    assert run("pynq")[0] == 0
    lines = tools.tcl()
    assert "create_bd_cell -type module -reference gf_net_shell accelerator" in lines
    assert "launch_runs impl_1 -to_step write_bitstream -jobs 2" in lines
    board = built(Path.cwd()) / "board"
    wanted = {"net.bit", "net.hwh", "net.json", "gateformer"}
    assert {path.name for path in board.iterdir()} == wanted


@needs_tcl
def test_a_run_that_stops_half_way_in_a_project(run: Run, tools: Bench) -> None:
    if find_spec("edalize") is None:
        pytest.skip("not installed: edalize")
    tools.has("vivado").behaves("stuck")
    code, answer, _ = run("vivado", "--flow", "axi")
    assert code == 11
    assert "syntax error near ';'" in answer["error"]["cause"]


@needs_tcl
def test_hls4ml_runs_its_own_script(run: Run, tools: Bench) -> None:
    tools.has("vitis_hls", "vivado")
    assert run("vitis_hls", "--flow", "vsynth")[0] == 0
    first, second = tools.calls()
    assert first == ("vitis_hls", "-f", "build_prj.tcl")
    assert second == ("vivado", "-mode", "batch", "-source", "vivado_synth.tcl")
    steps = [line.split()[0] for line in tools.tcl()]
    assert "csynth_design" in steps and "synth_design" in steps
    assert not {"csim_design", "cosim_design", "export_design"} & set(steps)


@needs_tcl
def test_the_newer_command_stands_in_for_the_older(run: Run, tools: Bench) -> None:
    tools.has("vitis-run")
    assert run("vitis_hls")[0] == 0
    assert tools.calls() == [("vitis-run", "--mode", "hls", "--tcl", "build_prj.tcl")]


@needs_tcl
def test_vivado_hls_takes_its_options_from_the_call(run: Run, tools: Bench) -> None:
    tools.has("vivado_hls")
    code, answer, _ = run("vivado_hls", "--flow", "ip")
    assert code == 14  # its report is of a design that misses its clock
    assert tools.calls()[0][:3] == ("vivado_hls", "-f", "build_prj.tcl")
    assert "export=1" in tools.calls()[0][3] and "csim=0" in tools.calls()[0][3]
    assert any(line.startswith("export_design") for line in tools.tcl())
    assert answer["metrics"]["build.vivado_hls.latency_cycles"] is None


@pytest.mark.parametrize("tool", DEVICES)
def test_without_the_tool_its_project_is_written(run: Run, tool: str) -> None:
    code, answer, _ = run(tool)
    assert code == 7
    assert answer["error"]["code"] == "E501" and answer["error"]["layer"] == PROGRAMS[tool]
    place = built(Path.cwd())
    assert f"sh build.sh in {place} builds it" in answer["error"]["fix"]
    assert (place / "build.sh").is_file()
    assert any(place.rglob("*.v")) or any(place.rglob("*.cpp"))


@pytest.mark.icarus
@pytest.mark.parametrize(
    ("tool", "flow", "top"),
    [("vivado", "ooc", "gf_net"), ("vivado", "axi", "gf_net_axis"), ("quartus", "ooc", "gf_net")],
)
def test_the_sources_of_a_project_are_all_that_it_needs(
    run: Run, tools: Bench, tool: str, flow: str, top: str
) -> None:
    assert run(tool, "--flow", flow)[0] == 7
    sources = sorted(str(path) for path in (built(Path.cwd()) / "rtl").glob("*.v"))
    tools.patch.undo()
    command = ["iverilog", "-g2001", "-Wall", "-t", "null", "-s", top, *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "error" not in done.stderr, done.stderr


@needs_tcl
@pytest.mark.parametrize("tool", [tool for tool in DEVICES if tool != "vivado_hls"])
@pytest.mark.parametrize(
    ("mode", "code", "error"),
    [
        ("fail", 11, "E502"),
        ("licence", 13, "E506"),
        ("killed", 11, "E502"),
        ("silent", 11, "E508"),
        ("garbage", 11, "E508"),
    ],
)
def test_what_goes_wrong_has_its_code_and_the_tools_own_words(
    run: Run, tools: Bench, tool: str, mode: str, code: int, error: str
) -> None:
    tools.has(PROGRAMS[tool]).behaves(mode)
    found, answer, _ = run(tool)
    assert (found, answer["error"]["code"]) == (code, error)
    cause = answer["error"]["cause"]
    if mode in ("fail", "licence"):
        assert cause.lower().startswith(("error", "firmware/")) and "follows" not in cause
    if mode == "killed" and tool != "quartus_hls":  # there make is what ends, with a status
        assert "SIGKILL" in cause
    assert (built(Path.cwd()) / "build.sh").is_file()
    assert (built(Path.cwd()) / "build.log").is_file()
    assert (Path.cwd() / "out/scratch").is_dir()


@needs_tcl
@pytest.mark.parametrize("tool", ["vivado", "quartus", "vitis_hls"])
def test_timing_not_met_keeps_all(run: Run, tools: Bench, tool: str) -> None:
    tools.has(PROGRAMS[tool]).behaves("late")
    code, answer, _ = run(tool)
    assert (code, answer["error"]["code"]) == (14, "E507")
    assert answer["metrics"][f"build.{tool}.timing_met"] is False
    assert answer["metrics"][f"build.{tool}.fmax_mhz"] < 200
    rows = {step["step"]: step for step in answer["steps"]}
    note = next(row["note"] for name, row in rows.items() if name.startswith("build"))
    assert note.startswith("E507 timing not met; ") and "LUT" in note


def test_a_tool_that_hangs_is_stopped(run: Run, tools: Bench) -> None:
    tools.has("vivado").behaves("hang")
    code, answer, _ = run("vivado", "-obuild.timeout_s=1.0")
    assert (code, answer["error"]["code"]) == (12, "E503")
    assert gone(tools)


@needs_tcl
def test_noise_is_only_noise(run: Run, tools: Bench) -> None:
    tools.has("vivado").behaves("noise")
    assert run("vivado")[0] == 0
    assert (built(Path.cwd()) / "build.log").stat().st_size > 3_000_000


def gone(tools: Bench) -> bool:
    """Whether the hanging tool and its child are gone, within seconds."""
    pids = Path(f"{tools.record}.pids").read_text("utf-8").split()
    for _ in range(100):
        if not any(running(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def running(pid: str) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_tool_too(run: Run, tools: Bench, number: signal.Signals) -> None:
    tools.has("vivado").behaves("hang")
    code = "import sys; from gateformer.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["build", "net.h5", "--tool", "vivado", TYPES, "--out", "out"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # it may be ignored here
    )
    pids = Path(f"{tools.record}.pids")
    while not pids.is_file() or len(pids.read_text("utf-8").split()) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 143)
    assert "Traceback" not in said
    assert gone(tools)
    assert not list((Path.cwd() / "out").glob("*.partial"))
    assert not list((Path.cwd() / "out").glob("*-build"))


@needs_tcl
def test_a_finished_build_is_reused_until_something_changes(run: Run, tools: Bench) -> None:
    tools.has("vivado")
    assert run("vivado")[0] == 0
    assert run("vivado")[0] == 0
    assert len(tools.calls()) == 1
    assert run("vivado", "-obuild.strategy=area")[0] == 0
    assert len(tools.calls()) == 2


@needs_tcl
def test_a_program_beside_path(run: Run, tools: Bench, tmp_path: Path) -> None:
    place = tmp_path / "opt tools"
    place.mkdir()
    (place / "vivado").symlink_to(Path(__file__).parents[1] / "mock_tools/vivado")
    assert run("vivado", f"-obuild.paths.vivado={place / 'vivado'}")[0] == 0
    assert len(tools.calls()) == 1


@needs_tcl
def test_a_path_in_the_configuration_starts_at_its_folder(run: Run, tools: Bench) -> None:
    (Path.cwd() / "my").mkdir()
    (Path.cwd() / "my/vivado").symlink_to(Path(__file__).parents[1] / "mock_tools/vivado")
    text = 'model = "net.h5"\n[build]\npaths = { vivado = "my/vivado" }\n'
    (Path.cwd() / "design.toml").write_text(text, encoding="utf-8")
    os.chdir("/")
    try:
        place = tools.record.parent / HOSTILE
        words = ["build", str(place), "--tool", "vivado", TYPES, "--out", str(place / "out")]
        assert main([*words, "--json"]) == 0
    finally:
        os.chdir(place)
    assert len(tools.calls()) == 1


@pytest.mark.parametrize(("tool", "flow"), [("vivado", "axi"), ("quartus", "ooc")])
def test_a_project_that_only_edalize_writes(
    run: Run, monkeypatch: pytest.MonkeyPatch, tool: str, flow: str
) -> None:
    monkeypatch.setattr("gateformer.toolchains.edalize_projects.find_spec", lambda name: None)
    code, answer, _ = run(tool, "--flow", flow)
    assert (code, answer["error"]["code"]) == (7, "E505")
    assert answer["error"]["fix"] == "pip install -e '.[build]'"


def test_a_path_that_leads_nowhere(run: Run, tools: Bench) -> None:
    tools.has("vivado")
    code, answer, _ = run("vivado", "-obuild.paths.vivado=/no/such/vivado")
    assert code == 7 and "not at /no/such/vivado" in answer["error"]["cause"]
    assert not tools.calls()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--flow", "bitstream"], "E002", "ooc, axi, vhdl, synth"),
        (["-obuild.strategy=hope"], "E002", "default, performance, area, runtime"),
        (["-oschedule.device=5csema5"], "E006", "cyclonev"),
        (["-obuild.part=x; exec rm"], "E002", "1 to 64 letters"),
        (["-ohls.part=x; exec rm"], "E002", "1 to 64 letters"),
        (["-obuild.jobs=0"], "E002", "greater than or equal to 1"),
        (["-obuild.paths.vivdo=/x"], "E002", "vivado"),
    ],
)
def test_what_cannot_be_asked(run: Run, arguments: list[str], code: str, words: str) -> None:
    found, answer, _ = run("vivado", *arguments)
    assert found == 2
    assert answer["error"]["code"] == code
    assert words in f"{answer['error']['cause']} {answer['error']['fix']}"
    assert not (Path.cwd() / "out").exists()


def test_all_problems_come_at_once(run: Run) -> None:
    _, answer, _ = run("vivado", "--flow=no", "-obuild.strategy=no", "-oschedule.device=10ax115")
    assert [one["code"] for one in answer["error"]["errors"]] == ["E002", "E002", "E006"]


def test_the_names_of_toolchains_agree() -> None:
    choices, none = get_args(BuildSection.model_fields["tool"].annotation)
    assert none is type(None)
    assert set(get_args(choices)) == set(ENTRIES)
    assert {tool.value for tool in build_command.Tool} >= set(ENTRIES)
    for name in ENTRIES:
        chosen = toolchain(name)
        assert chosen.name == name and chosen.flows and chosen.strategies and chosen.summary


def test_run_leaves_builds_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "net.h5")
    off = [
        f"-o{key}.enabled=false"
        for key in ("simulate.icarus", "simulate.verilator", "read_back", "synth", "report")
    ]
    assert main(["run", "net.h5", TYPES, *off, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["build.skipped"] == "build.tool names no toolchain"
