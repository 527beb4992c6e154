"""Every file of the library, read by every tool that must read it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest

from gateformer.hw.rtl.boundary import library
from gateformer.quant.errors import MismatchError
from gateformer.sim.rtl.build import build
from gateformer.sim.rtl.simulate import job_of, run_jobs
from gateformer.sim.rtl.tools import verilator_environment

FILES = tuple(
    sorted(
        item.name
        for item in (resources.files("gateformer.hw.rtl") / "lib").iterdir()
        if item.name.endswith(".v")
    )
)
SYNTHESIZE = """
import sys
from pyosys import libyosys
design = libyosys.Design()
libyosys.run_pass("read_verilog " + " ".join(sys.argv[1:]), design)
libyosys.run_pass("synth_xilinx -family xcup -flatten -noiopad -top memories", design)
libyosys.run_pass("check -assert; stat", design)
"""
MEMORIES = """
module memories (
  input wire clk, input wire rst, input wire [2:0] go, input wire [35:0] in,
  output wire [35:0] out, output wire valid, output wire [7:0] popped, output wire [7:0] late
);
  gf_delay #(.Width(8), .Depth(9)) line (.clk(clk), .in(in[7:0]), .out(late));
  gf_fifo #(.Width(8), .Depth(32)) fifo (
    .clk(clk), .rst(rst), .push(go[0]), .push_data(in[7:0]),
    .pop(go[1] && valid), .valid(valid), .pop_data(popped)
  );
  gf_skip_fifo #(.Width(36), .Depth(1024)) skip (
    .clk(clk), .rst(rst), .in_valid(go[0]), .in(in), .read(go[2]), .out(out)
  );
endmodule
"""


def _written(files: dict[str, str], folder: Path) -> list[str]:
    for name, text in files.items():
        (folder / name).write_text(text)
    return [str(folder / name) for name in files]


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    return told


def test_headers_and_guards() -> None:
    for name, text in library(FILES).items():
        lines = text.splitlines()
        assert lines[0].startswith(f"// {name.removesuffix('.v')}: "), name
        assert "`default_nettype none" in lines and lines[-1] == "`default_nettype wire", name
        assert max(map(len, lines)) <= 100, name


@pytest.mark.icarus
@pytest.mark.parametrize("name", FILES)
def test_icarus_has_no_warning(name: str, tmp_path: Path) -> None:
    sources = _written(library(FILES), tmp_path)
    top = name.removesuffix(".v")
    command = ["iverilog", "-g2001", "-Wall", "-s", top, "-o", "out", *sources]
    assert _run(command, tmp_path) == ""


@pytest.mark.verilator
@pytest.mark.parametrize("name", FILES)
def test_verilator_has_no_warning(name: str, tmp_path: Path) -> None:
    sources = _written(library(FILES), tmp_path)
    top = name.removesuffix(".v")
    command = ["verilator", "--lint-only", "-Wall", "--top-module", top, *sources]
    told = _run(command, tmp_path, dict(os.environ) | verilator_environment())
    assert "Warning" not in told


@pytest.mark.icarus
@pytest.mark.verilator
@pytest.mark.parametrize(
    ("core", "settings"),
    [
        ("affine", {}),
        ("affine", {"tokens": 1, "features": 1, "lanes": 1, "width": 1, "capacity": 1}),
        ("affine", {"tokens": 16, "lanes": 1, "width": 16, "interval": 3, "latency": 0}),
        ("mixer", {"masked": True, "interval": 2}),
    ],
)
def test_tops_have_no_warning(
    toys: ModuleType, core: str, settings: dict[str, int], tmp_path: Path
) -> None:
    toy = getattr(toys, core)(**settings)
    top = f"gf_{toy.design.name}_axis"
    files = {name: text for name, text in toy.files.items() if core not in name or "axis" in name}
    for name, text in toy.files.items():
        if name not in files:  # the toy's own core need not be clean
            files[name] = f"/* verilator lint_off WIDTH */\n{text}"
    sources = _written(files, tmp_path)
    assert _run(["iverilog", "-g2001", "-Wall", "-s", top, "-o", "o", *sources], tmp_path) == ""
    environment = dict(os.environ) | verilator_environment()
    command = ["verilator", "--lint-only", "-Wall", "-Wno-UNUSEDSIGNAL", "--top-module", top]
    assert "Warning" not in _run([*command, *sources], tmp_path, environment)


@pytest.mark.synth
def test_yosys_infers_memories_and_shift_registers(tmp_path: Path) -> None:
    names = ("gf_delay.v", "gf_fifo.v", "gf_skip_fifo.v")
    sources = _written({**library(names), "memories.v": MEMORIES}, tmp_path)
    told = _run([sys.executable, "-c", SYNTHESIZE, *sources], tmp_path)
    cells = told.rsplit("Printing statistics", 1)[1]
    for cell, count in {"SRL16E": 8, "RAM32M": 1, "RAMB36E2": 1}.items():
        assert re.search(rf"\b{count}\b.*{cell}", cells), (cell, cells)


@pytest.mark.icarus
def test_pyverilog_reads_every_file(tmp_path: Path) -> None:
    pytest.importorskip("pyverilog", reason="pyverilog is not installed")
    sources = _written(library(FILES), tmp_path)
    script = (
        "import sys\nfrom pyverilog.vparser.parser import parse\n"
        "ast, _ = parse(sys.argv[1:])\n"
        "print(*(m.name for m in ast.description.definitions))"
    )
    told = _run([sys.executable, "-c", script, *sources], tmp_path)
    assert {name.removesuffix(".v") for name in FILES} <= set(told.split())


@pytest.mark.icarus
def test_a_skip_fifo_that_is_too_small_ends_the_simulation(
    toys: ModuleType, builds: Path, tmp_path: Path
) -> None:
    toy = toys.mixer(tokens=8, lanes=2, reverse=6)
    text = toy.files["gf_mixer.v"]
    assert ".Depth(5)" in text
    files = {**toy.files, "gf_mixer.v": text.replace(".Depth(5)", ".Depth(2)")}
    built = build("icarus", files, "gf_mixer_axis", builds)
    with pytest.raises(MismatchError, match="a beat came while all 2 places were taken") as caught:
        run_jobs(built, [job_of(toy.design, toy.frames(4))], tmp_path)
    assert caught.value.code == "E405"
