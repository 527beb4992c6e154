from __future__ import annotations

import re
import shutil
from importlib import resources
from importlib.util import find_spec

import pytest

from gateformer.errors import ToolError
from gateformer.hw.dataflow.design import Design, Link, Port, Stage
from gateformer.hw.rtl.boundary import boundary
from gateformer.hw.rtl.read_back import ReadBack, read_back
from gateformer.quant.types import Fixed

pytestmark = [
    pytest.mark.icarus,
    pytest.mark.skipif(find_spec("pyverilog") is None, reason="pyverilog is not installed"),
    pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH"),
]

WIDE, NARROW = Fixed(True, 12, 6), Fixed(True, 9, 3)
DESIGN = Design(
    name="toy",
    inputs=(Port("s_axis", "x", 4, 2, WIDE, 1),),
    outputs=(Port("m_axis", "total", 1, 2, NARROW, 1),),
    stages=(
        Stage("scaled", "stream", (Link("x", "stream"),), 3, 4, 1, "input", 3),
        Stage("rows", "gather", (Link("scaled", "frame"),), 2, 4, 2, "frame", 5),
        Stage("total", "reduce", (Link("rows", "stream"),), 2, 1, 1, "frame", 13),
    ),
    beat_interval=2,
    output_stages=("total",),
    capacity=2,
)
STAGES = """
`default_nettype none
module gf_toy_scaled (
  input  wire clk,
  input  wire rst,
  input  wire in_valid,
  input  wire [23:0] x,
  output wire scaled_valid,
  output wire [23:0] scaled
);
  reg [2:0] valid_reg;
  reg [23:0] first, second, third;
  always @(posedge clk) begin
    if (rst) begin
      valid_reg <= 3'd0;
    end else begin
      valid_reg <= {valid_reg[1:0], in_valid};
    end
    first <= x;
    second <= first;
    third <= second;
  end
  assign scaled_valid = valid_reg[2];
  assign scaled = third;
endmodule

module gf_toy_total (
  input  wire clk,
  input  wire rst,
  input  wire in_valid,
  input  wire [23:0] rows,
  output reg  total_valid,
  output reg  [17:0] total
);
  reg [1:0] count;
  reg last;
  always @(posedge clk) begin
    total <= rows[3 +: 18];
    if (rst) begin
      count <= 2'd0;
      last <= 1'b0;
      total_valid <= 1'b0;
    end else begin
      case (count)
        2'd3: last <= in_valid;
        default: last <= 1'b0;
      endcase
      if (in_valid) count <= count + 1'b1;
      total_valid <= last;
    end
  end
endmodule
`default_nettype wire
"""
CORE = """
`default_nettype none
module gf_toy (
  input  wire clk,
  input  wire rst,
  input  wire in_valid,
  input  wire [23:0] in_x,
  output wire out_valid,
  output wire [17:0] out_total
);
  wire scaled_valid, rows_valid, total_valid;
  wire [23:0] scaled;
  reg  [1:0] slot;
  wire frame_last = in_valid && slot == 2'd3;
  wire trigger;
  always @(posedge clk) begin
    if (rst) begin
      slot <= 2'd0;
    end else if (in_valid) begin
      slot <= frame_last ? 2'd0 : slot + 1'b1;
    end
  end
  gf_toy_scaled stage_scaled (
    .clk(clk), .rst(rst), .in_valid(in_valid), .x(in_x),
    .scaled_valid(scaled_valid), .scaled(scaled)
  );
  gf_valid_delay #(.Depth(5)) delay_trigger (
    .clk(clk), .rst(rst), .in(frame_last), .out(trigger)
  );
  gf_rows #(.Rows(4), .Interval(2)) call_rows (
    .clk(clk), .rst(rst), .trigger(trigger), .strobe(rows_valid)
  );
  gf_toy_total stage_total (
    .clk(clk), .rst(rst), .in_valid(rows_valid), .rows(scaled),
    .total_valid(total_valid), .total(out_total)
  );
  assign out_valid = total_valid;
endmodule
`default_nettype wire
"""
LIBRARY = resources.files("gateformer.hw.rtl") / "lib"
FILES = {
    "gf_toy.v": CORE,
    "stages.v": STAGES,
    "gf_rows.v": (LIBRARY / "gf_rows.v").read_text(),
    "gf_valid_delay.v": (LIBRARY / "gf_valid_delay.v").read_text(),
    "note.txt": "no Verilog",
    **boundary(DESIGN),
}


def changed(file: str, old: str, new: str) -> ReadBack:
    assert old in FILES[file]
    return read_back({**FILES, file: FILES[file].replace(old, new, 1)}, DESIGN)


def test_verilog_that_keeps_to_its_schedule_has_no_findings() -> None:
    found = read_back(FILES, DESIGN)
    assert [str(one) for one in found.findings] == []
    assert found.metrics["read_back.findings"] == 0
    assert found.metrics["read_back.registers_on_valid_path"] == 13
    assert found.metrics["read_back.stages"] == 3
    assert found.metrics["read_back.instances"] >= 8


@pytest.mark.parametrize(
    ("file", "old", "new", "kind", "words"),
    [
        ("gf_toy.v", ".Depth(5)", ".Depth(6)", "valid", "'rows' leaves at clock 12, the"),
        ("stages.v", "valid_reg[2];", "valid_reg[1];", "valid", "'scaled' leaves at clock 2"),
        ("stages.v", "2'd3: last", "2'd2: last", "valid", "stage 'total' leaves at clock"),
        ("gf_toy.v", ".Rows(4)", ".Rows(3)", "valid", "stage 'rows' gives 6 beats"),
        ("gf_toy.v", "[17:0] out_total", "[16:0] out_total", "port", "output of 17 bits"),
        ("gf_toy.v", "wire [23:0] scaled", "wire [21:0] scaled", "width", "has 24 bits, its"),
        ("gf_toy.v", ".trigger(trigger)", ".start(trigger)", "connection", "start, no port"),
        ("gf_toy.v", ".trigger(trigger), ", "", "connection", "input trigger of instance call"),
        ("gf_toy.v", "gf_rows #", "gf_row #", "hierarchy", "gf_row, which no file has"),
        ("gf_toy.v", ".Interval(2)", ".Pause(2)", "connection", "Pause, no parameter"),
        ("stages.v", "valid_reg <= 3'd0;", "valid_reg <= 3'd0", "parse", "Pyverilog cannot"),
        ("stages.v", "{valid_reg[1:0], in_valid}", "{valid_reg[1:0], gone}", "valid", "gone"),
        ("stages.v", "total_valid <= last;", "total_valid <= $signed(last);", "valid", "kind"),
    ],
)  # fmt: skip
def test_each_departure_is_found(file: str, old: str, new: str, kind: str, words: str) -> None:
    found = changed(file, old, new)
    assert found.findings, "nothing was found"
    assert kind in {one.kind for one in found.findings}
    assert words in " / ".join(str(one) for one in found.findings)


def test_a_stage_inside_a_chain_is_followed() -> None:
    total = re.search(r"  gf_toy_total stage_total.*?;\n", CORE, re.DOTALL)
    assert total is not None
    outer = total[0].replace("gf_toy_total stage_total", "gf_toy_chain chain")
    core = CORE.replace(total[0], outer.replace(".total_valid(total_valid)", ".done(total_valid)"))
    core = core.replace("total_valid", "done")
    ports = "".join(
        f"  {port},\n"
        for port in ("input wire clk", "input wire rst", "input wire in_valid",
                     "input wire [23:0] rows", "output wire done")
    )  # fmt: skip
    chain = f"module gf_toy_chain (\n{ports}  output wire [17:0] total\n);\n  wire total_valid;\n"
    inner = total[0].replace(".rows(scaled)", ".rows(rows)").replace("rows_valid", "in_valid")
    chain += inner.replace("out_total", "total") + "  assign done = total_valid;\nendmodule\n"
    found = read_back({**FILES, "gf_toy.v": core, "chain.v": chain}, DESIGN)
    assert [str(one) for one in found.findings] == []
    assert found.metrics["read_back.registers_on_valid_path"] == 13


def test_a_missing_top_is_found() -> None:
    found = read_back({"stages.v": STAGES}, DESIGN)
    assert [one.where for one in found.findings] == ["gf_toy", "gf_toy_axis"]


def test_without_icarus_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateformer.quant.tools.shutil.which", lambda *_, **__: None)
    with pytest.raises(ToolError, match="E501"):
        read_back(FILES, DESIGN)
