"""Toggles that Verilator counts = toggles that Icarus counts, net for net; and what nets are."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from equiv.networks import Maker, dense, icarus, masked, network, vectors

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.rtl.emit import emit
from gateformer.hw.settings import Settings
from gateformer.quant.errors import ToolError
from gateformer.quant.execute import run
from gateformer.sim.rtl import testbench
from gateformer.sim.rtl.activity import (
    SAIF,
    Activity,
    Count,
    Instance,
    activity,
    frames_to_send,
    tally,
    warm_up,
)
from gateformer.sim.rtl.nets import scopes
from gateformer.sim.rtl.saif import Net, toggles
from gateformer.sim.rtl.tools import run_tool, verilator_environment

COUNTED = 6
"""Frames of the window."""


@pytest.mark.verilator
@pytest.mark.icarus
@pytest.mark.parametrize(
    ("make", "reuse"), [(dense, 1), pytest.param(masked, 3, marks=pytest.mark.slow)]
)
def test_every_net_toggles_as_often_on_icarus(
    tmp_path: Path, make: Callable[[Maker], None], reuse: int
) -> None:
    graph = network(make)
    planned = plan(graph, Settings(token_parallelism=2, reuse_factor=reuse))
    design, files = planned.design, emit(planned).files
    frames = vectors(graph, frames_to_send(design, COUNTED))
    expected = run(graph, frames)
    found, result = activity(design, files, frames, expected, work=tmp_path)
    assert result.passed
    assert (found.frames, found.clocks) == (COUNTED, COUNTED * design.interval_cycles)

    counted: Counter[str] = Counter()
    for net in toggles(tmp_path / "start" / SAIF, tmp_path / SAIF):
        # Functions have no instance: Icarus names their variables by another rule.
        if len(net.scope) > 1 and "__V" not in net.name:
            path = ".".join((f"tb_{design.name}.dut", *net.scope[2:], net.name + net.word))
            counted[path] += net.toggles
    offset = warm_up(design) * design.interval_cycles
    first = min(int(clocks[0]) for clocks in result.record.sent.values())
    window = (offset - first, offset - first + found.clocks)
    files = {**files, **testbench.testbench(design, frames, expected)}
    names = sorted(counted)
    files["monitor.v"] = monitor(design.name, design.inputs[0].name, names, window)
    work = tmp_path / "icarus"
    work.mkdir()
    for name, text in files.items():
        (work / name).write_text(text, encoding="utf-8")
    sources = [name for name in files if name.endswith(".v")]
    told = icarus(work, f"tb_{design.name}", sources, "-g2012", "-DSYNTHESIS", "-s", "monitor")
    seen = dict(line.split()[1:] for line in told if line.startswith("toggles "))
    assert len(seen) == len(names) > 200
    differ = {n: (counted[n], int(seen[n])) for n in names if counted[n] != int(seen[n])}
    assert not differ
    assert sum(counted.values()) > 10_000


def monitor(design: str, port: str, names: list[str], window: tuple[int, int]) -> str:
    """Counts on its own: each net at each rising edge against its value at the one before."""
    # Icarus' own $countones is wrong for single bits.
    body = [
        "  function automatic integer ones(input [2047:0] left);",
        "    begin",
        "      ones = 0;",
    ]
    body += ["      while (left != 0) begin", "        left = left & (left - 1);"]
    body += ["        ones = ones + 1;", "      end", "    end", "  endfunction"]
    body.append(f"  wire taken = tb_{design}.{port}_taken;")
    for index, name in enumerate(names):
        body.append(f"  wire [$bits({name})-1:0] now_{index} = {name};")
        body.append(f"  reg [$bits({name})-1:0] was_{index}; integer sum_{index} = 0;")
    body += ["  integer edges = -1;", f"  always @(posedge tb_{design}.clk) begin"]
    body.append(f"    if (!tb_{design}.rst && (taken || edges >= 0)) edges = edges + 1;")
    body.append(f"    if (edges > {window[0]} && edges <= {window[1]}) begin")
    body += [f"      sum_{i} = sum_{i} + ones(now_{i} ^ was_{i});" for i in range(len(names))]
    body.append("    end")
    body += [f"    was_{i} = now_{i};" for i in range(len(names))]
    body.append(f"    if (edges == {window[1]}) begin")
    body += [f'      $display("toggles {n} %0d", sum_{i});' for i, n in enumerate(names)]
    return "\n".join(["module monitor;", *body, "    end", "  end", "endmodule", ""])


SOURCE = """
module top (input wire clk, input wire [3:0] a, input wire [3:0] b, output wire [7:0] y);
  wire [3:0] part = ~a[3:0];
  wire [3:0] sum = a + b;
  wire pick = a[b[1:0]];
  reg [3:0] held;
  reg [7:0] multiplied;
  reg [7:0] scaled;
  reg [3:0] words [0:3];
  reg [3:0] table_out;
  generate
    genvar g;
    for (g = 0; g < 2; g = g + 1) begin : gen_line
      reg [3:0] line [0:1];
      integer i;
      always @(posedge clk) begin
        line[0] <= held;
        for (i = 1; i < 2; i = i + 1) line[i] <= line[i - 1];
      end
    end
  endgenerate
  always @(*) begin
    case (a[1:0])
      2'd0: table_out = 4'd3;
      default: table_out = 4'd5;
    endcase
  end
  always @(posedge clk) begin
    held <= sum;
    multiplied <= a * b;
    scaled <= a * 3'd5;
    words[a[1:0]] <= part;
  end
  child inner (.x(held), .y(y[3:0]));
  assign y[7:4] = words[0] ^ {3'b0, pick};
endmodule
module child (input wire [3:0] x, output wire [3:0] y);
  assign y = x;
endmodule
"""


@pytest.mark.verilator
def test_kinds_of_nets(tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text(SOURCE, encoding="utf-8")
    command = ["verilator", "--json-only", "-Wno-fatal", "-Wno-lint", "--top-module", "top"]
    environment = dict(os.environ) | verilator_environment()
    run_tool([*command, "-Mdir", "tree", "top.v"], tmp_path, environment, tmp_path / "log")
    (tree,) = (tmp_path / "tree").glob("*.tree.json")
    modules = scopes(json.loads(tree.read_text("utf-8")))
    top = next(iter(modules.values()))
    assert top.module == "top"
    assert top.nets == {
        "sum": "logic", "pick": "logic", "table_out": "logic", "y": "logic", "held": "register",
        "scaled": "register", "multiplied": "product", "words": "memory",
    }  # fmt: skip
    nets = [Net(("TOP", "top"), "held", "", bit, 2) for bit in range(4)]
    nets += [Net(("TOP", "top"), "part", "", 0, 9), Net(("TOP",), "held", "", 0, 9)]
    nets += [Net(("TOP", "top", f"gen_line[{g}]"), "line", "[1]", 0, 1) for g in range(2)]
    nets += [Net(("TOP", "top", "inner"), "y", "", 0, 9)]
    whole, inner = tally(modules, nets, "top")
    assert whole == Instance("top", "top", {"register": Count(6, 10)})
    assert inner == Instance("top.inner", "child", {})
    found = Activity(1, 5, (whole, Instance("top.inner", "child", {"logic": Count(2, 5)})))
    assert found.count("register", "logic").rate(5) == 15 / 40
    assert found.by_module(["top"]) == {"top": {"register": Count(6, 10), "logic": Count(2, 5)}}
    assert found.by_module(["top", "child"])["child"] == {"logic": Count(2, 5)}
    assert Count().rate(5) == 0


def test_a_first_1_is_no_toggle(tmp_path: Path) -> None:
    nets = r"(INSTANCE TOP\n(NET\n(a\[1\] (T0 1) (T1 9) (TC {})) \n(w[3]\[0\] (T0 1) (TC {}))\n) )"
    for name, counts in (("start", (1, 0)), ("window", (4, 2))):
        text = "(SAIFILE (DURATION 9)\n" + nets.replace(r"\n", "\n").format(*counts) + "\n)\n"
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = list(toggles(tmp_path / "start", tmp_path / "window"))
    assert found == [Net(("TOP",), "a", "", 1, 3), Net(("TOP",), "w", "[3]", 0, 2)]
    (tmp_path / "start").write_text("(SAIFILE (DURATION 9)\n)\n", encoding="utf-8")
    with pytest.raises(ToolError, match="E502"):
        list(toggles(tmp_path / "start", tmp_path / "window"))
