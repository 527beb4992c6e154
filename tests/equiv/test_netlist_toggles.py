"""Toggles of the RTL times cells, as the energy model takes them, against a mapped netlist's own.

yosys maps every stage to cells; Icarus runs the netlists in place of the stages, LUTs with a delay,
and counts at each LUT and flip-flop what it does at all (glitches too) and once settled.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from equiv.networks import Maker, dense, icarus, layer_norm, network, self_attention, vectors

from gateformer.energy.fpga import GLITCHES, RTL_ERROR
from gateformer.hw.dataflow.plan import plan
from gateformer.hw.rtl.emit import emit
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.sim.rtl import testbench
from gateformer.sim.rtl.activity import Count, activity, frames_to_send, warm_up

COUNTED = 20
"""Frames of the window."""
NETLIST = """
import sys
from pyosys import libyosys
from gateformer.toolchains.yosys_worker import MAPPING, SYNTHESIS, TABLE_ENTRIES
design = libyosys.Design()
for command in (
    "read_verilog -D SYNTHESIS " + " ".join(sys.argv[2:]),
    f"hierarchy -check -top {sys.argv[1]}",
    "proc; flatten; opt; memory_collect",
    f"memory_map -rom-only t:$mem_v2 r:SIZE<={TABLE_ENTRIES} %i",
    "opt; mcm; opt_clean",
    f'scratchpad -set abc9.script "{MAPPING}"',
    f"{SYNTHESIS['xcup']} -top {sys.argv[1]} -run begin:check",
    f"write_verilog -noattr {sys.argv[1]}.mapped",
):
    libyosys.run_pass(command, design)
"""
MULTIPLIER = """
module DSP48E2 #(parameter ACASCREG = 0, ADREG = 0, ALUMODEREG = 0, AMULTSEL = "A", AREG = 0,
  A_INPUT = "", BCASCREG = 0, BMULTSEL = "B", BREG = 0, B_INPUT = "", CARRYINREG = 0,
  CARRYINSELREG = 0, CREG = 0, DREG = 0, INMODEREG = 0, MREG = 0, OPMODEREG = 0, PREG = 0,
  USE_MULT = "", USE_SIMD = "") (
  input [29:0] A, ACIN, input [3:0] ALUMODE, input [17:0] B, BCIN, input [47:0] C, PCIN,
  input CARRYIN, input [2:0] CARRYINSEL, input [26:0] D, input [4:0] INMODE, input [8:0] OPMODE,
  output [47:0] P
);
  assign #0.3 P = $signed(A[26:0]) * $signed(B);
endmodule
"""
"""As yosys uses it: no registers, one product."""
WATCH = """
  reg settled;
  initial monitor.{kind}_cells = monitor.{kind}_cells + 1;
  always @({port}) if (monitor.on) monitor.{kind}_all = monitor.{kind}_all + 1;
  always @(posedge monitor.clk) begin
    if (monitor.on && settled !== {port}) monitor.{kind}_settled = monitor.{kind}_settled + 1;
    settled = {port};
  end
endmodule
"""


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.verilator
@pytest.mark.icarus
@pytest.mark.parametrize("make", [dense, layer_norm, self_attention])
def test_rtl_toggles_times_cells_meet_the_netlist(
    tmp_path: Path, make: Callable[[Maker], None]
) -> None:
    graph = network(make)
    planned = plan(graph, Settings())
    design, rtl = planned.design, emit(planned)
    frames = vectors(graph, frames_to_send(design, COUNTED), seed=3)
    expected = run(graph, frames)
    found, result = activity(design, rtl.files, frames, expected, work=tmp_path / "rtl")
    assert result.passed

    work = tmp_path / "netlist"
    work.mkdir()
    files = {name: text for name, text in rtl.files.items() if not defines(text, rtl.stages)}
    for name, text in rtl.files.items():
        (work / name).write_text(text, encoding="utf-8")
    sources = [name for name in rtl.files if name.endswith(".v")]
    mapped = ""
    for stage in rtl.stages:
        command = [sys.executable, "-c", NETLIST, stage, *sources]
        subprocess.run(command, cwd=work, check=True, capture_output=True)
        mapped += (work / f"{stage}.mapped").read_text("utf-8")
    # What nothing sets before reset is 0 here, as in the device.
    files["mapped.v"] = re.sub(r"(\d+)'[hb]x+\b", r"\1'h0", mapped)
    files["cells.v"] = MULTIPLIER + cells(mapped)
    files |= testbench.testbench(design, frames, expected)
    first = warm_up(design) * design.interval_cycles
    files["monitor.v"] = monitor(design.name, first, first + found.clocks)
    for path in work.iterdir():
        path.unlink()
    for name, text in files.items():
        prefix = "`timescale 1ns/1ps\n" if name.endswith(".v") else ""
        (work / name).write_text(prefix + text, encoding="utf-8")
    sources = [name for name in files if name.endswith(".v")]
    told = icarus(work, f"tb_{design.name}", sources, "-g2012", "-s", "monitor")
    assert told[-1].startswith("PASS"), told[-3:]
    (line,) = (line for line in told if line.startswith("cells "))
    luts, settled, every, registers, toggled = map(int, line.split()[1:])

    logic, register = Count(), Count()
    for kinds in found.by_module(rtl.stages).values():
        logic += kinds.get("logic", Count())
        register += kinds.get("register", Count())
    of_luts = logic.rate(found.clocks) * luts * found.clocks
    of_registers = register.rate(found.clocks) * registers * found.clocks
    ratio = (of_luts + of_registers) / (settled + toggled)
    print(f"{make.__name__}: {luts} LUTs x{of_luts / settled:.2f}, {registers} FFs "
          f"x{of_registers / toggled:.2f}, together x{ratio:.2f}; "
          f"glitches x{every / settled:.3f}")  # fmt: skip
    assert 1 / RTL_ERROR < ratio < RTL_ERROR
    assert 1 <= every / settled < GLITCHES


def defines(text: str, modules: dict[str, str]) -> bool:
    """Whether a file holds one of the modules."""
    return any(name in modules for name in re.findall(r"^module (\w+)", text, re.MULTILINE))


def cells(netlist: str) -> str:
    """Return yosys' own models of the cells that a netlist uses, with delays and counters."""
    spec = find_spec("pyosys")
    assert spec is not None and spec.submodule_search_locations
    text = (Path(spec.submodule_search_locations[0]) / "share/xilinx/cells_sim.v").read_text()
    text = re.sub(r"specify.*?endspecify", "", text, flags=re.DOTALL)
    used = set(re.findall(r"^\s+([A-Z][A-Z0-9_]+) ", netlist, re.MULTILINE))
    found = ""
    for model in re.findall(r"^module \w+.*?^endmodule", text, re.MULTILINE | re.DOTALL):
        name = re.match(r"module (\w+)", model)
        if name is None or name[1] not in used:
            continue
        if name[1].startswith(("LUT", "INV")):
            model = model.replace("assign O =", "assign #0.1 O =")
            model = model.replace("endmodule", WATCH.format(kind="lut", port="O"))
        elif name[1].startswith("FD"):
            model = model.replace("endmodule", WATCH.format(kind="ff", port="Q"))
        elif name[1].startswith(("CARRY", "MUXF")):
            model = model.replace("assign ", "assign #0.02 ")
        found += model + "\n"
    return found


def monitor(design: str, first: int, last: int) -> str:
    """Counters, on from one clock after reset to another."""
    sums = " ".join(
        f"integer {kind}_{what} = 0;"
        for kind in ("lut", "ff")
        for what in ("cells", "settled", "all")
    )
    return f"""
module monitor;
  wire clk = tb_{design}.clk;
  reg on = 0;
  integer clocks = 0;
  {sums}
  always @(posedge clk) if (!tb_{design}.rst) begin
    clocks = clocks + 1;
    if (clocks == {first}) on = 1;
    if (clocks == {last}) begin
      on = 0;
      $display("cells %0d %0d %0d %0d %0d",
        lut_cells, lut_settled, lut_all, ff_cells, ff_settled);
    end
  end
endmodule
"""
