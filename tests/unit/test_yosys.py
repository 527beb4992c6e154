from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateformer.errors import ToolError
from gateformer.toolchains import yosys, yosys_run
from gateformer.toolchains import yosys_reports as reports
from gateformer.toolchains import yosys_sources as sources

HAVE_YOSYS = find_spec("pyosys") is not None

ADD = """
// gf_product is only named in this comment
module gf_add (input wire clk, input wire signed [15:0] a, input wire signed [15:0] b,
               output reg signed [16:0] y);
  reg signed [15:0] a_reg, b_reg;
  always @(posedge clk) begin
    a_reg <= a;
    b_reg <= b;
    y <= a_reg + b_reg;
  end
endmodule
"""
PRODUCT = """
module gf_product (input wire clk, input wire signed [17:0] a, input wire signed [17:0] b,
                   output reg signed [35:0] y);
  always @(posedge clk) y <= a * b;
endmodule
"""
LINE = """
module gf_line #(parameter Width = 4) (input wire clk, input wire [Width-1:0] in,
                                       output wire [Width-1:0] out);
  reg [Width-1:0] r0, r1, r2, r3, r4;
  always @(posedge clk) begin r0 <= in; r1 <= r0; r2 <= r1; r3 <= r2; r4 <= r3; end
  assign out = r4;
endmodule
"""
TOP = """
module gf_top (input wire clk, input wire signed [15:0] a, input wire signed [15:0] b,
               output wire signed [16:0] first, output wire signed [16:0] second,
               output wire odd);
  wire signed [15:0] late;
  gf_add adder (.clk(clk), .a(a), .b(b), .y(first));
  gf_line #(.Width(16)) delay (.clk(clk), .in(b), .out(late));
  gf_add other (.clk(clk), .a(a), .b(late), .y(second));
  assign odd = ^first;
endmodule
"""
FILES = {
    "gf_add.v": ADD,
    "gf_product.v": PRODUCT,
    "gf_line.v": LINE,
    "gf_top.v": TOP,
}

STA = r"""
3. Executing STA pass (static timing analysis).
Latest arrival time in 'gateformer_harness' is 3008:
    3008 dut.s713_FDRE_Q_21 (FDRE.D)
           \dut.s713_FDRE_Q_20_D_CARRY4_O_O
    3008 dut.s713_FDRE_Q_20_D_CARRY4_O (CARRY4.CI->O)
           \dut.s713_FDRE_Q_1_D_CARRY4_O_S_3
    1710 dut.s713_FDRE_Q_1_D_CARRY4_O_S_3_LUT2_O (LUT2.I0->O)
           \dut.s712 [0]
    1472 dut.s712_SRL16E_Q (SRL16E.CLK->Q)
       0   \clk (<primary input>)

Arrival histogram:
 legend: * represents 59 endpoint(s)
"""


def test_cells_become_resources() -> None:
    cells = {"LUT6": 3, "INV": 1, "SRLC32E": 2, "RAM32M": 1, "CARRY4": 9, "MUXF7": 4}
    cells |= {"FDRE": 5, "FDSE": 1, "DSP48E2": 2, "RAMB18E2": 1, "RAMB36E2": 2, "gf_add": 1}
    assert reports.count(cells) == {"lut": 10, "ff": 6, "dsp": 2, "bram": 2.5}


def test_the_longest_path_has_its_ends_named() -> None:
    assert reports.arrival(STA) == (3.008, ("s712 [0]", "s713"))
    assert reports.arrival("nothing to time") == (None, ())


def test_only_what_a_module_needs_is_read() -> None:
    assert set(sources.closure(FILES, "gf_add")) == {"gf_add.v"}
    assert set(sources.closure(FILES, "gf_top")) == {"gf_add.v", "gf_line.v", "gf_top.v"}
    with pytest.raises(ToolError, match="No file has it"):
        sources.closure(FILES, "gf_none")


def test_modules_that_differ_in_names_alone_are_the_same_circuit() -> None:
    other = {"gf_sum.v": ADD.replace("gf_add", "gf_sum").replace("a_reg", "left") + "// more"}
    text, names = sources.canonical({"gf_add.v": ADD})
    same, others = sources.canonical(other)
    assert text == same
    assert sources.renamed("adder.a_reg [3]", names, others) == "adder.left [3]"
    for old, new in (("a_reg + b_reg", "a_reg - b_reg"), ("[15:0] a,", "[14:0] a,")):
        assert sources.canonical({"gf_add.v": ADD.replace(old, new)})[0] != text
    assert sources.canonical({"gf_add.v": ADD.replace("b_reg <= b", "b_reg <= a")})[0] != text


def test_what_is_there_several_times_is_found() -> None:
    assert sources.repeated(FILES, {"gf_top": 3}) == {"gf_add": 6}
    assert sources.repeated(FILES, {"gf_top": 1, "gf_add": 2}) == {}
    assert sources.repeated(FILES, {"gf_line": 1}) == {}
    unclear = {**FILES, "gf_top.v": TOP.replace("wire signed [15:0] late;", "generate")}
    assert sources.repeated(unclear, {"gf_top": 1}) == {}


@pytest.mark.synth
@pytest.mark.skipif(not HAVE_YOSYS, reason="pyosys is not installed")
def test_parts_with_registers_at_their_outputs_are_synthesized_once(tmp_path: Path) -> None:
    found = yosys.synthesize_modules(FILES, {"gf_top": 1}, tmp_path / "work")
    assert found.instances == {"gf_top": 1, "gf_add": 2}
    bare = ADD.replace("y <= a_reg + b_reg;", "").replace("output reg", "output wire")
    bare = bare.replace("endmodule", "assign y = a_reg + b_reg;\nendmodule")
    plain = {**FILES, "gf_add.v": bare}
    whole = yosys.synthesize_modules(plain, {"gf_top": 1}, tmp_path / "plain")
    assert whole.instances == {"gf_top": 1}
    assert whole.metrics()["synth.lut"] >= 32


@pytest.mark.synth
@pytest.mark.skipif(not HAVE_YOSYS, reason="pyosys is not installed")
def test_twins_are_synthesized_once(tmp_path: Path) -> None:
    files = {**FILES, "gf_sum.v": ADD.replace("gf_add", "gf_sum").replace("a_reg", "left")}
    work, cache = tmp_path / "work", tmp_path / "cache"
    found = yosys.synthesize_modules(files, {"gf_add": 1, "gf_sum": 1}, work, cache)
    assert sorted(path.name for path in work.iterdir()) == ["gf_add.xc7", "gf_add.xcup"]
    assert len(list(cache.iterdir())) == 2
    assert found.timed["gf_add"].path == ("a_reg [1]", "y")
    assert found.timed["gf_sum"].path == ("left [1]", "y")
    assert found.counted["gf_sum"].top == "gf_sum"
    again = yosys.synthesize(files, "gf_sum", "xc7", tmp_path / "none", cache)
    assert again == found.timed["gf_sum"]


def test_without_pyosys_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(name: str) -> str:
        raise yosys_run.PackageNotFoundError(name)

    monkeypatch.setattr(yosys_run, "version", missing)
    with pytest.raises(ToolError, match="E505") as caught:
        yosys.synthesize(FILES, "gf_add", "xcup", tmp_path)
    assert "[synth]" in str(caught.value)


def test_a_slow_yosys_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(yosys_run.yosys_worker, "__file__", str(slow))
    monkeypatch.setattr(yosys_run, "yosys_version", lambda: "none")
    with pytest.raises(ToolError, match="E503"):
        yosys.synthesize(FILES, "gf_add", "xcup", tmp_path / "work", timeout_s=0.5)


def test_a_yosys_that_fails_silently_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)\n")
    monkeypatch.setattr(yosys_run.yosys_worker, "__file__", str(broken))
    monkeypatch.setattr(yosys_run, "yosys_version", lambda: "none")
    with pytest.raises(ToolError, match="It ended with status 3"):
        yosys.synthesize(FILES, "gf_add", "xcup", tmp_path / "work")


@pytest.mark.synth
@pytest.mark.skipif(not HAVE_YOSYS, reason="pyosys is not installed")
def test_yosys_own_error_is_quoted(tmp_path: Path) -> None:
    files = {"gf_bad.v": "module gf_bad (input wire a; endmodule\n"}
    with pytest.raises(ToolError, match=r"E502 yosys failed: 'gf_bad'\..*syntax error"):
        yosys.synthesize(files, "gf_bad", "xcup", tmp_path)


@pytest.mark.synth
@pytest.mark.skipif(not HAVE_YOSYS, reason="pyosys is not installed")
def test_a_product_takes_one_dsp_and_a_second_time_comes_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, cache = tmp_path / "work", tmp_path / "cache"
    found = yosys.synthesize(FILES, "gf_product", "xcup", work, cache)
    assert (found.dsp, found.lut, found.bram) == (1, 0, 0.0)
    assert found.logic_ns is None
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert yosys.synthesize(FILES, "gf_product", "xcup", work, cache) == found


@pytest.mark.synth
@pytest.mark.skipif(not HAVE_YOSYS, reason="pyosys is not installed")
def test_modules_are_summed_by_their_instances(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    total = yosys.synthesize_modules(
        FILES,
        {"gf_top": 1, "gf_add": 2, "gf_line": 1},
        tmp_path / "work",
        progress=lambda done, jobs: told.append((done, jobs)),
    )
    assert told[-1] == (4, 4)
    assert set(total.counted) == {"gf_top", "gf_add"}
    adder, top = total.counted["gf_add"], total.counted["gf_top"]
    assert (adder.lut, adder.ff) == (16, 49)
    assert top.cells["SRL16E"] == 16, "the parametrized delay line is counted inside the top"
    assert top.unregistered == ("odd",)
    assert adder.unregistered == ()
    metrics = total.metrics()
    assert metrics["synth.lut"] == top.lut + 2 * adder.lut
    assert metrics["synth.ff"] == top.ff + 2 * adder.ff
    assert metrics["synth.logic_module"] == "gf_add"
    assert metrics["synth.logic_path"] == "a_reg [1] -> y"
    assert 1.5 < float(metrics["synth.logic_ns"]) < 2.0


@pytest.mark.parametrize(
    ("cells", "family", "own", "counts"),
    [
        (
            {"LUT4": 10, "CCU2C": 3, "PFUMX": 9, "TRELLIS_DPR16X4": 2, "TRELLIS_FF": 7}
            | {"MULT18X18D": 2, "ALU54B": 1, "DP16KD": 3},
            "ecp5",
            {"lut4": 10, "ccu2c": 3, "mult18": 2, "alu54": 1, "ebr": 3},
            {"lut": 24, "ff": 7, "dsp": 2, "bram": 1.5},
        ),
        (
            {"LUT1": 1, "LUT4": 10, "ALU": 6, "MUX2_LUT5": 9, "DFFRE": 4, "DFFSE": 1, "DFF": 2}
            | {"MULT9X9": 3, "MULT18X18": 1, "SDPB": 1, "VCC": 1},
            "gowin",
            {"lut4": 11, "alu": 6, "mult": 4, "bsram": 1},
            {"lut": 17, "ff": 7, "dsp": 3, "bram": 0.5},
        ),
        ({"LUT4": 10, "FDRE": 1}, "xcup", {}, {"lut": 10, "ff": 1, "dsp": 0, "bram": 0.0}),
    ],
)
def test_each_family_has_its_own_cells(
    cells: dict[str, int], family: str, own: dict[str, int], counts: dict[str, float]
) -> None:
    assert reports.count(cells) == counts
    assert reports.own(family, cells) == own


@pytest.mark.synth
@pytest.mark.parametrize(("family", "carry"), [("ecp5", "ccu2c"), ("gowin", "alu")])
def test_a_device_of_small_luts_is_counted_in_its_own_cells(
    family: yosys_run.Family, carry: str, tmp_path: Path
) -> None:
    total = yosys.synthesize_modules(
        FILES, {"gf_top": 1, "gf_product": 1}, tmp_path, family=family, workers=1
    )
    found = total.metrics()
    assert found["synth.family"] == family
    assert found[f"synth.{carry}"] in (18, 34)
    assert found["synth.dsp"] == 1
    assert found["synth.ff"] == 80 + 36 + 2 * 49
    assert found["synth.logic_ns"]
    assert {result.family for result in total.timed.values()} == {"xc7"}
