"""The PYNQ project's Tcl, text for text, and as the netlist that Vivado would make of it.

``python tests/golden/test_pynq_scripts.py`` writes the texts in ``pynq/`` anew, to be reviewed.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gateformer.host.bundle import bundle
from gateformer.host.description import Description
from gateformer.hw.dataflow.design import Design, Link, Port, Stage
from gateformer.hw.devices import load as load_device
from gateformer.hw.rtl.boundary import boundary
from gateformer.hw.rtl.emit import Rtl
from gateformer.quant.errors import GateformerError, Problems
from gateformer.quant.types import Fixed
from gateformer.quant.version import __version__
from gateformer.toolchains.plan import Plan, Request
from gateformer.toolchains.pynq import PYNQ, period_ns

GOLDEN = Path(__file__).with_name("pynq")
SIX, TWELVE = Fixed(True, 6, 4), Fixed(True, 12, 4)
IMAGE = Port("s_axis", "pixels", 16, 4, SIX, 1)
MASKED = Port("s_axis_context", "context", 9, 3, TWELVE, 3, mask="keep")
DIGIT = Port("m_axis", "digit", 1, 10, TWELVE, 1)

DESIGNS = {
    "one": ((IMAGE,), (DIGIT,)),
    "two": ((IMAGE, MASKED), (DIGIT,)),
}
"""Inputs and outputs by the folder's name."""

STUBS = """
proc record {args} { puts [join $args \\t] }
proc unknown {command args} { record $command {*}$args; return $command }
proc create_bd_cell {args} { record create_bd_cell {*}$args; return [lindex $args end] }
proc get_bd_pins {name} { return $name }
proc get_bd_intf_pins {name} { return $name }
proc get_bd_intf_ports {name} { return $name }
proc get_bd_cells {name} { return $name }
proc get_files {name} { return $name }
proc get_runs {name} { return $name }
proc get_property {key of} { return [expr {$key eq "PROGRESS" ? "100%" : $of}] }
"""
"""Vivado's commands for plain Tcl: each is printed, its words apart by tabs."""


def planned(name: str, device: str = "xc7z020", clock_ns: float = 9.5) -> Plan:
    inputs, outputs = DESIGNS[name]
    stages = (Stage("all", "reduce", (Link("pixels", "stream"),), 5, 1, 1, "frame", 5),)
    design = Design("tiny", inputs, outputs, stages, 1, ("all",), 3)
    files = {"gf_tiny.v": "module gf_tiny ();\nendmodule\n", **boundary(design)}
    rtl = Rtl(files, "gf_tiny", "gf_tiny_axis", {}, {}, {})
    found = load_device(device)
    return PYNQ.plan(
        Request("tiny", found, found.part, clock_ns, design, rtl, None, "pynq-z2", "default")
    )


def texts(name: str) -> dict[str, str]:
    """What is compared, by name; the version and the sources' hash left out."""
    kept = ("block_design.tcl", "build.tcl", "board/tiny.json", "rtl/gf_tiny_shell.v")
    kept = kept if name == "one" else ("block_design.tcl", "rtl/gf_tiny_dma.v")
    files = planned(name).files
    hash_of_sources = re.compile(r"(?<=\"identity\": )\d+|(?<=31'h)[0-9a-f]{8}")
    return {
        Path(path).name: hash_of_sources.sub("0", files[path].replace(__version__, "VERSION"))
        for path in kept
    }


@pytest.mark.parametrize("name", DESIGNS)
def test_the_scripts_are_the_reviewed_texts(name: str) -> None:
    folder = GOLDEN / name
    assert texts(name) == {path.name: path.read_text("utf-8") for path in folder.iterdir()}


@pytest.mark.parametrize("name", DESIGNS)
def test_the_same_request_gives_the_same_plan(name: str) -> None:
    plan = planned(name)
    assert plan.files == planned(name).files
    assert plan.clock_ns == 10.0
    assert not any(str(Path.home()) in text for text in plan.files.values())
    for path, text in plan.files.items():
        if path.endswith(".tcl"):
            assert max(map(len, text.splitlines())) <= 100, path


def commands(plan: Plan, script: str, folder: Path) -> list[list[str]]:
    """Run a script under plain Tcl; the commands of Vivado's that it calls."""
    for path, text in plan.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (folder / "stubs.tcl").write_text(STUBS + f"source {script}\n", encoding="utf-8")
    done = subprocess.run(
        ["tclsh", "stubs.tcl"], cwd=folder, capture_output=True, text=True, check=True
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


needs_tcl = pytest.mark.skipif(shutil.which("tclsh") is None, reason="not installed: tclsh")


@needs_tcl
@pytest.mark.parametrize("name", DESIGNS)
def test_the_block_design_is_a_whole_netlist(name: str, tmp_path: Path) -> None:
    called = commands(planned(name), "block_design.tcl", tmp_path)
    cells = [words[-1] for words in called if words[0] == "create_bd_cell"]
    assert len(cells) == len(set(cells))
    interfaces = [words[1:] for words in called if words[0] == "connect_bd_intf_net"]
    used = Counter(pin for pair in interfaces for pin in pair)
    assert all(len(pair) == 2 for pair in interfaces)
    assert set(used.values()) == {1}
    inputs, outputs = DESIGNS[name]
    wanted = {f"accelerator/{port.name}" for port in (*inputs, *outputs)}
    for index in range(max(len(inputs), len(outputs))):
        wanted.add(f"dma_{index}/S_AXI_LITE")
        if index < len(inputs):
            wanted |= {f"dma_{index}/M_AXIS_MM2S", f"dma_{index}/M_AXI_MM2S"}
        if index < len(outputs):
            wanted |= {f"dma_{index}/S_AXIS_S2MM", f"dma_{index}/M_AXI_S2MM"}
    wanted |= {"accelerator_status/S_AXI", "ps/M_AXI_GP0", "ps/S_AXI_HP0", "ps/DDR", "ps/FIXED_IO"}
    assert wanted <= used.keys()
    settings = {
        words[-1]: dict(zip(words[2].split()[::2], words[2].split()[1::2], strict=False))
        for words in called
        if words[:2] == ["set_property", "-dict"]
    }
    for switch, side in (("registers", "M"), ("memory", "S")):
        ports = [pin for pin in used if pin.startswith(f"{switch}/{side}")]
        assert len(ports) == int(settings[switch][f"CONFIG.NUM_{side}I"])
    nets = [words[1:] for words in called if words[0] == "connect_bd_net"]
    assert all(count == 1 for count in Counter(p for net in nets for p in net).values())
    (clocked,) = (net for net in nets if net[0] == "ps/FCLK_CLK0")
    assert {pin.split("/")[0] for pin in clocked} == set(cells)
    (reset,) = (net for net in nets if net[0] == "reset/peripheral_aresetn")
    (joined,) = (net for net in nets if net[0] == "reset/interconnect_aresetn")
    active_high = {"accelerator", "ps", "reset"}
    assert {pin.split("/")[0] for pin in (*reset, *joined)} | active_high == set(cells)
    assert ["reset/peripheral_reset", "accelerator/rst"] in nets
    assert ["accelerator/status", "accelerator_status/gpio_io_i"] in nets
    assert ["accelerator_status/gpio2_io_o", "accelerator/soft_reset"] in nets
    widths = {"pixels": "32", "context": "64", "digit": "64"}
    for index, port in enumerate(inputs):
        key = "CONFIG.c_m_axis_mm2s_tdata_width"
        assert settings[f"dma_{index}"][key] == widths[port.value]
    assert [words[0] for words in called[-4:]] == [
        "assign_bd_address",
        "regenerate_bd_layout",
        "validate_bd_design",
        "save_bd_design",
    ]


@needs_tcl
@pytest.mark.parametrize("moved", ["gen", "srcs"])
def test_the_build_leaves_what_the_board_takes(moved: str, tmp_path: Path) -> None:
    handoff = tmp_path / f"project/tiny.{moved}/sources_1/bd/tiny/hw_handoff"
    made = tmp_path / "project/tiny.runs/impl_1"
    for folder, file in ((handoff, "tiny.hwh"), (made, "tiny_wrapper.bit")):
        folder.mkdir(parents=True)
        (folder / file).write_text(file)
    called = commands(planned("one"), "build.tcl", tmp_path)
    names = [words[0] for words in called]
    order = ["create_project", "add_files", "create_bd_design", "validate_bd_design"]
    order += ["generate_target", "make_wrapper", "launch_runs", "open_run", "report_power"]
    assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)
    assert ["launch_runs", "impl_1", "-to_step", "write_bitstream", "-jobs", "2"] in called
    (sources,) = (words[-1].split() for words in called if words[:2] == ["add_files", "-norecurse"]
                  and words[-1] != "make_wrapper")  # fmt: skip
    assert sources == sorted(path for path in planned("one").files if path.startswith("rtl/"))
    board = tmp_path / "board"
    assert (board / "tiny.bit").read_text() == "tiny_wrapper.bit"
    assert (board / "tiny.hwh").read_text() == "tiny.hwh"
    assert Description.load(board / "tiny.json").name == "tiny"


def test_the_boards_folder_runs_by_itself(tmp_path: Path) -> None:
    plan = planned("one")
    for path, text in plan.files.items():
        if path.startswith("board/"):
            target = tmp_path / Path(path).relative_to("board")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    probe = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from gateformer.host import Accelerator\n"
        "from gateformer.quant.errors import GateformerError\n"
        "own = [m for n, m in sys.modules.items() if n.split('.')[0] == 'gateformer']\n"
        f"assert all(m.__file__.startswith({str(tmp_path)!r}) for m in own), own\n"
        "heavy = {'pydantic', 'h5py', 'jinja2', 'typer', 'cocotb'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "try:\n    Accelerator.open('tiny.bit')\n"
        "except GateformerError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "E906 no .bit file",
        "E906 no .hwh file",
    ]


def test_the_driver_is_written_for_the_boards_python() -> None:
    newer = {"Self", "StrEnum", "tomllib", "assert_never", "ExceptionGroup", "override", "Unpack"}
    for path, text in bundle().items():
        tree = ast.parse(text, feature_version=(3, 10))
        guarded = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in guarded:
                names = {alias.name for alias in node.names}
                roots = {(getattr(node, "module", None) or name).split(".")[0] for name in names}
                assert not names & newer, path
                assert roots <= {"gateformer", "numpy", *sys.stdlib_module_names}, path


@pytest.mark.parametrize(
    ("asked", "given"), [(4.0, 4), (4.2, 5), (9.5, 10), (10.0, 10), (20, 20), (66.5, 68), (73, 74)]
)
def test_the_clock_is_one_that_the_processor_divides(asked: float, given: int) -> None:
    assert period_ns(asked) == given


def test_what_the_board_does_not_have_is_refused_at_once() -> None:
    with pytest.raises(Problems) as caught:
        planned("one", "xc7a100t", 2.0)
    assert [error.code for error in caught.value.errors] == ["E006", "E306"]
    with pytest.raises(GateformerError, match="E306"):
        planned("one", clock_ns=5000)


def rewrite() -> None:
    """Write all texts anew."""
    for name in DESIGNS:
        folder = GOLDEN / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, text in texts(name).items():
            (folder / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
