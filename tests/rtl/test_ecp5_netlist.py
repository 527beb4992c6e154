"""What is placed and routed computes what the model does: ECP5 netlists simulated cell by cell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from equiv.networks import NETWORKS, network, vectors
from equiv.serial_bench import bench

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.devices import load
from gateformer.hw.rtl.emit import emit
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.toolchains import nextpnr
from gateformer.toolchains.execute import write
from gateformer.toolchains.plan import PYTHON, Plan, Request

pytestmark = [pytest.mark.icarus, pytest.mark.synth]

PRODUCT = """
module product (
  input wire clk, input wire signed [17:0] a, input wire signed [11:0] b,
  output wire signed [30:0] y
);
  reg signed [17:0] a_reg;
  reg signed [11:0] b_reg;
  reg signed [29:0] p_reg;
  reg signed [30:0] s_reg;
  assign y = s_reg;
  always @(posedge clk) begin
    a_reg <= a;
    b_reg <= b;
    p_reg <= a_reg * b_reg;
    s_reg <= p_reg + 1;
  end
endmodule
"""
PRODUCT_BENCH = """
module bench;
  reg clk = 0;
  always #5 clk = !clk;
  reg signed [17:0] a;
  reg signed [11:0] b;
  wire signed [30:0] y;
  product dut (.clk(clk), .a(a), .b(b), .y(y));
  integer i, seed, wrong;
  reg signed [30:0] w0, w1, w2;
  initial begin
    seed = 1;
    wrong = 0;
    for (i = 0; i < 300; i = i + 1) begin
      a = i % 5 == 0 ? -131072 : i % 5 == 1 ? 131071 : $random(seed);
      b = i % 7 == 0 ? -2048 : i % 7 == 1 ? 2047 : $random(seed);
      @(posedge clk);
      w2 = w1;
      w1 = w0;
      w0 = a * b + 1;
      #1 if (i > 4 && y !== w2) wrong = wrong + 1;
    end
    $display("%0d wrong", wrong);
    $finish;
  end
endmodule
"""
MODEL = Path(__file__).with_name("mult18x18d.v")
NETLIST = """
from pyosys import libyosys
design = libyosys.Design()
libyosys.run_pass("read_json netlist.json", design)
libyosys.run_pass("delete =A:blackbox =A:whitebox", design)
libyosys.run_pass("write_verilog -noattr netlist.v", design)
"""


def _mapped(made: Plan, folder: Path) -> None:
    """Synthesize, move registers, and write the netlist as Verilog beside the models of cells."""
    write(made, folder)
    for call in made.calls:
        if call.program == PYTHON:
            _python(folder, *call.arguments)
    _python(folder, "-c", NETLIST)
    shutil.copyfile(MODEL, folder / MODEL.name)
    spec = find_spec("pyosys")
    assert spec is not None and spec.submodule_search_locations
    cells = Path(spec.submodule_search_locations[0]) / "share" / "lattice"
    for name in ("cells_sim_ecp5.v", "common_sim.vh", "ccu2c_sim.vh"):
        # Icarus 11 knows no $error outside of a block
        text = re.sub(r"\$error\(.*\);", "", (cells / name).read_text(encoding="utf-8"))
        (folder / name).write_text(text, encoding="utf-8")


def _python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def _simulate(folder: Path) -> str:
    sources = ["bench.v", "netlist.v", "cells_sim_ecp5.v", MODEL.name]
    command = [
        "iverilog",
        "-g2012",
        "-DNO_INCLUDES",
        "-I",
        ".",
        "-s",
        "bench",
        "-o",
        "netlist.vvp",
        *sources,
    ]
    for step in (command, ["vvp", "-n", "netlist.vvp"]):
        done = subprocess.run(step, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def _multipliers(folder: Path) -> list[str]:
    netlist = json.loads((folder / "netlist.json").read_text(encoding="utf-8"))
    return [
        cell["parameters"].get("REG_OUTPUT_CLK", "NONE")
        for module in netlist["modules"].values()
        for cell in module["cells"].values()
        if cell["type"] == "MULT18X18D"
    ]


def test_a_product_keeps_its_register(tmp_path: Path) -> None:
    script = "read_verilog product.v\nsynth_ecp5 -top product -json mapped.json\n"
    worker, mover = (Path(m.__file__) for m in (nextpnr.yosys_script, nextpnr.ecp5_multipliers))
    made = Plan(
        "nextpnr",
        {
            "synth.ys": script,
            "product.v": PRODUCT,
            "bench.v": PRODUCT_BENCH,
            "run_yosys.py": worker.read_text("utf-8"),
            "ecp5_multipliers.py": mover.read_text("utf-8"),
        },
        tuple(call for call in _plan("dense").calls if call.program == PYTHON),
    )
    _mapped(made, tmp_path)
    assert _multipliers(tmp_path) == ["CLK0"]
    assert _simulate(tmp_path) == "0 wrong"
    text = (tmp_path / "netlist.v").read_text("utf-8")
    assert '"CLK0"' in text
    # the model is not blind: without its register the product comes a clock early
    early = text.replace('.REG_OUTPUT_CLK("CLK0")', '.REG_OUTPUT_CLK("NONE")')
    (tmp_path / "netlist.v").write_text(early, encoding="utf-8")
    assert _simulate(tmp_path) != "0 wrong"


def _plan(name: str, divisor: int = 4) -> Plan:
    planned = plan(network(NETWORKS[name], kind="fixed<8,3>"), Settings(logic_ns=2.0))
    device = load("lfe5u-85f")
    clock_ns = 1e9 / nextpnr.BAUD / divisor
    return nextpnr.plan(
        Request(
            name,
            device,
            device.part,
            clock_ns,
            planned.design,
            emit(planned),
            flow="uart",
            strategy="default",
        )
    )


@pytest.mark.slow
def test_an_attention_network_cell_by_cell(tmp_path: Path) -> None:
    graph = network(NETWORKS["one_head"], kind="fixed<8,3>")
    design = plan(graph, Settings(logic_ns=2.0)).design
    frames = vectors(graph, 4)
    about, told = bench(design, frames, run(graph, frames), 4)
    made = _plan("one_head")
    # yosys has no model of the block RAM, which the output FIFO would become
    script = made.files["synth.ys"].replace("synth_ecp5", "synth_ecp5 -nobram")
    _mapped(replace(made, files={**made.files, **about, "synth.ys": script}), tmp_path)
    found = _multipliers(tmp_path)
    assert len(found) > 20
    assert set(found) == {"CLK0"}
    assert _simulate(tmp_path) == told
