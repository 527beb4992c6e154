"""Scripts and constraints of vendor builds, text for text, and read by Tcl itself.

``python tests/golden/test_build_scripts.py`` writes the texts in ``toolchains/`` anew, for review.
"""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateformer.hw.dataflow.design import Design, Port
from gateformer.hw.devices import load as load_device
from gateformer.hw.hls.project import HlsSettings, Project
from gateformer.hw.rtl.emit import Rtl
from gateformer.quant.types import Fixed
from gateformer.quant.version import __version__
from gateformer.toolchains.plan import Plan, Request
from gateformer.toolchains.registry import toolchain
from gateformer.toolchains.shell_script import script

GOLDEN = Path(__file__).with_name("toolchains")
KEPT = (".tcl", ".xdc", ".sdc")
"""Files that are compared; sources are not the toolchains'."""

CORE = """\
module gf_tiny (
  input  wire clk,
  input  wire rst,
  input  wire in_valid,
  input  wire [15:0] in_x,
  output wire out_valid,
  output wire [7:0] out_y
);
  gf_delay delay (.clk(clk));
endmodule
"""
AXIS = """\
module gf_tiny_axis (
  input  wire clk,
  input  wire rst,
  input  wire [15:0] s_axis_tdata,
  input  wire s_axis_tvalid,
  output wire s_axis_tready,
  input  wire s_axis_tlast,
  output wire [7:0] m_axis_tdata,
  output wire m_axis_tvalid,
  input  wire m_axis_tready,
  output wire m_axis_tlast,
  output wire frame_error
);
  gf_tiny core (.clk(clk));
endmodule
"""
DELAY = "module gf_delay (input wire clk);\nendmodule\n"
EIGHT = Fixed.parse("fixed<8,4>")

BUILDS = {
    "vivado_ooc": ("vivado", "ooc", "xcvu13p", "performance"),
    "vivado_synth": ("vivado", "synth", "xc7z020", "default"),
    "vivado_axi": ("vivado", "axi", "xczu9eg", "default"),
    "vivado_vhdl": ("vivado", "vhdl", "xc7z020", "area"),
    "quartus_ooc": ("quartus", "ooc", "10ax115", "default"),
    "quartus_axi": ("quartus", "axi", "5csema5", "performance"),
    "vitis_hls_csynth": ("vitis_hls", "csynth", "xcvu13p", "default"),
    "vitis_hls_vsynth": ("vitis_hls", "vsynth", "xcvu13p", "default"),
    "vivado_hls_ip": ("vivado_hls", "ip", "xc7z020", "default"),
    "quartus_hls_fit": ("quartus_hls", "fit", "10ax115", "default"),
}
"""Toolchain, flow, device and strategy of each folder in ``toolchains/``."""


def request(flow: str, device: str, strategy: str) -> Request:
    """A design of one stage, as it would come from the flow."""
    found = load_device(device)
    design = Design.__new__(Design)
    object.__setattr__(design, "name", "tiny")
    object.__setattr__(design, "inputs", (Port("s_axis", "x", 4, 2, EIGHT, 1),))
    object.__setattr__(design, "outputs", (Port("m_axis", "y", 4, 1, EIGHT, 1),))
    files = {"gf_tiny.v": CORE, "gf_tiny_axis.v": AXIS, "gf_delay.v": DELAY}
    return Request(
        "tiny",
        found,
        found.part,
        4.0,
        design,
        Rtl(files, "gf_tiny", "gf_tiny_axis", {}, {}, {}),
        Project("tiny", HlsSettings(), "tiny", {"firmware/tiny.cpp": "void tiny() {}\n"}, (), ()),
        flow,
        strategy,
        4,
    )


def planned(build: str) -> Plan:
    """The plan of a build."""
    tool, flow, device, strategy = BUILDS[build]
    return toolchain(tool).plan(request(flow, device, strategy))


def texts(build: str) -> dict[str, str]:
    """What is compared, by name, the version left out."""
    plan = planned(build)
    found = {name: text for name, text in plan.files.items() if Path(name).suffix in KEPT}
    found["build.sh"] = script(plan)
    return {name: text.replace(__version__, "VERSION") for name, text in found.items()}


def need(build: str) -> None:
    """Skip what needs a package that is not here."""
    tool, flow, *_ = BUILDS[build]
    projects = tool == "quartus" or flow in ("axi", "vhdl")
    if projects and find_spec("edalize") is None:
        pytest.skip("not installed: edalize")


@pytest.mark.parametrize("build", BUILDS)
def test_a_build_is_the_reviewed_text(build: str) -> None:
    need(build)
    reviewed = {path.name: path.read_text("utf-8") for path in (GOLDEN / build).iterdir()}
    assert texts(build) == reviewed


@pytest.mark.parametrize("build", BUILDS)
def test_the_same_request_gives_the_same_plan(build: str) -> None:
    need(build)
    plan = planned(build)
    assert plan.files == planned(build).files
    assert not any(str(Path.home()) in text or "/tmp" in text for text in plan.files.values())


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="not installed: tclsh")
@pytest.mark.parametrize("build", BUILDS)
def test_tcl_reads_each_script_as_whole_commands(build: str, tmp_path: Path) -> None:
    need(build)
    check = tmp_path / "check.tcl"
    check.write_text("puts [info complete [read stdin]]", encoding="utf-8")
    for name, text in texts(build).items():
        if name.endswith(KEPT):
            done = subprocess.run(["tclsh", check], input=text, capture_output=True, text=True)
            assert done.stdout == "1\n", name


def rewrite() -> None:
    """Write all texts anew."""
    for build in BUILDS:
        folder = GOLDEN / build
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, text in texts(build).items():
            (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
