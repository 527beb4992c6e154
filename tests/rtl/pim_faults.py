"""Faults to seed into the memory's Verilog, each of which a bench must see.

Owns ``Fault`` and the faults of arithmetic and of the banks' multipliers. Those of the ASIC and of
the memory stand in pim_faults_asic.py and pim_faults_memory.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rtl.pim_fault_benches import BENCHES


class StaleFaultError(Exception):
    """A fault's text is no longer in its file, or not only once."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One text in place of another.

    Attributes
    ----------
    name : str
        What goes wrong, in a few words.
    file : str
        The Verilog file, without its suffix.
    old, new : str
        What must stand in it exactly once, and what stands there instead.
    bench : str
        Of ``BENCHES``: the smallest one that must see it. No fault keeps the circuit from
        finishing.
    """

    name: str
    file: str
    old: str
    new: str
    bench: str

    def __post_init__(self) -> None:
        if self.bench not in BENCHES or self.old == self.new:
            raise StaleFaultError(f"{self.name}: no such bench, or no fault")

    @property
    def id(self) -> str:
        """Its name in a test's."""
        return "-".join(f"{self.file.removeprefix('gf_pim_')} {self.name}".split())

    def applied(self, files: Mapping[str, str]) -> dict[str, str]:
        """Return the files with the fault in them.

        Raises
        ------
        StaleFaultError
            Where the text is not there exactly once.
        """
        name = f"{self.file}.v"
        count = files.get(name, "").count(self.old)
        if count != 1:
            raise StaleFaultError(f"{self.name}: {count} times in {name}, not once")
        return {**files, name: files[name].replace(self.old, self.new)}


ROUND, ADD, MULTIPLY = "gf_pim_fp32_round", "gf_pim_fp32_add", "gf_pim_multiply"
TO_BF16, FROM_INT = "gf_pim_fp32_to_bf16", "gf_pim_fp32_from_int"
MAC, INT_MAC = "gf_pim_mac", "gf_pim_int_mac"
TIE = "significand_2[2] && (significand_2[1:0] != 2'b00 || significand_2[3])"
NAN_OR = "          || (a_infinite && b_infinite && subtracts)"
ZERO_SUM = "greater[31] && !(subtracts && a[30:0] == b[30:0])"
ACCUMULATE = """  gf_pim_fp32_add #(.STAGES(0)) accumulate (
    .clk(clk), .a(sum), .b(products_sum), .y(next_sum)
  );"""
HALVES = """  wire [31:0] lower_sum, upper_sum, middle;
  gf_pim_fp32_tree #(.LANES(LANES/2)) lower (
    .clk(clk), .in(products[16*LANES-1:0]), .sum(lower_sum)
  );
  gf_pim_fp32_tree #(.LANES(LANES/2)) upper (
    .clk(clk), .in(products[32*LANES-1:16*LANES]), .sum(upper_sum)
  );
  gf_pim_fp32_add #(.STAGES(0)) first (.clk(clk), .a(sum), .b(lower_sum), .y(middle));
  gf_pim_fp32_add #(.STAGES(0)) second (.clk(clk), .a(middle), .b(upper_sum), .y(next_sum));"""
PRIORITY = """    if (load_now) begin
      sum <= bias_now;
    end else if (multiply_now) begin
      sum <= {next};
    end"""
TURNED = """    if (multiply_now) begin
      sum <= {next};
    end else if (load_now) begin
      sum <= bias_now;
    end"""

NUMBERS = (
    Fault("ties away from zero", ROUND, TIE, "significand_2[2]", "add"),
    Fault("ties towards zero", ROUND, TIE, "significand_2[2] && significand_2[1:0] != 0", "add"),
    Fault("ties to odd", ROUND, "|| significand_2[3])", "|| !significand_2[3])", "add"),
    Fault("never rounds up", ROUND, TIE, "1'b0", "multiply"),
    Fault("round bit is forgotten", ROUND, "significand_2[1:0] != 2'b00", "significand_2[0]",
          "multiply"),
    Fault("sticky bits of a product are lost", ROUND, "|moved[WIDTH-27:0]", "moved[WIDTH-27]",
          "multiply"),
    Fault("carry does not reach the exponent", ROUND,
          "{field, significand_2[25:3]} + {31'd0, round_up}",
          "{field, significand_2[25:3] + {22'd0, round_up}}", "add"),
    Fault("overflow is a number", ROUND, "rounded[31:23] >= 9'd255", "rounded[31:23] > 9'd255",
          "add"),
    Fault("overflow gives the largest number", ROUND,
          "(infinite_2 || overflow) ? {sign_2, 8'd255, 23'd0}",
          "infinite_2 ? {sign_2, 8'd255, 23'd0} : overflow ? {sign_2, 31'h7F7FFFFF}", "multiply"),
    Fault("exponent field of subnormal numbers is 1", ROUND, "exponent_2 : 9'd0",
          "exponent_2 : 9'd1", "add"),
    Fault("subnormal numbers are moved a place too far", ROUND, "exponent - 9'd1;",
          "exponent;", "multiply"),
    Fault("NaN keeps a sign", ROUND, "nan_2 ? 32'h7FC00000", "nan_2 ? {sign_2, 31'h7FC00000}",
          "add"),
    Fault("NaN is a signalling one", ROUND, "nan_2 ? 32'h7FC00000", "nan_2 ? 32'h7F800001",
          "multiply"),
    Fault("carry of the sum is dropped", ADD, "upper - lower : upper + lower",
          "upper - lower : {1'b0, upper[26:0] + lower[26:0]}", "add"),
    Fault("x - x has x's sign", ADD, ZERO_SUM, "greater[31]", "add"),
    Fault("-0 + -0 is +0", ADD, ZERO_SUM, f"greater[30:0] != 31'd0 && {ZERO_SUM}", "add"),
    Fault("infinity - infinity is infinite", ADD, NAN_OR, "", "add"),
    Fault("alignment ends a place early", ADD, "Farthest = 26", "Farthest = 25", "add"),
    Fault("sticky bits of the lesser number are lost", ADD, "|spread[23:0]", "spread[23]", "add"),
    Fault("alignment of subnormal numbers", ADD, "lesser_normal ? lesser[30:23] : 8'd1",
          "lesser[30:23]", "add"),
    Fault("greater number by its exponent alone", ADD, "a[30:0] < b[30:0]", "a[30:23] < b[30:23]",
          "add"),
    Fault("alignment's register is missing", ADD, ".Depth((STAGES >= 1) ? 1 : 0)", ".Depth(0)",
          "add pipelined"),
    Fault("zero times infinity is infinite", MULTIPLY, "(a_zero && b_infinite)", "1'b0",
          "bf16 multiply"),
    Fault("exponent of subnormal factors is 0", MULTIPLY, "a_normal ? a_field : 8'd1", "a_field",
          "multiply"),
    Fault("subnormal factors are flushed to zero", MULTIPLY, "{b_normal, b[FRACTION-1:0]}",
          "b_normal ? {1'b1, b[FRACTION-1:0]} : {(FRACTION+1){1'b0}}", "bf16 multiply"),
    Fault("hidden one of zero", MULTIPLY, "{a_normal, a[FRACTION-1:0]}",
          "{1'b1, a[FRACTION-1:0]}", "bf16 multiply"),
    Fault("lowest exponent wraps around", MULTIPLY, "exponents - 9'd99 : 9'd1",
          "exponents - 9'd99 : 9'd0", "multiply"),
    Fault("sign of a product", MULTIPLY, "a[FRACTION+8] ^ b[FRACTION+8]",
          "a[FRACTION+8] | b[FRACTION+8]", "multiply"),
    Fault("product's register is missing", MULTIPLY, ".Depth(PRODUCT_STAGES)", ".Depth(0)",
          "multiply pipelined"),
    Fault("BF16 ties up", TO_BF16, "a[15] && (a[14:0] != 15'd0 || a[16])", "a[15]", "to bf16"),
    Fault("BF16 sticky bit", TO_BF16, "a[14:0] != 15'd0", "a[14:1] != 14'd0", "to bf16"),
    Fault("BF16 cut off", TO_BF16, "+ {15'd0, round_up}", "", "to bf16"),
    Fault("BF16 infinity is a NaN", TO_BF16, "a[30:0] > {8'd255, 23'd0}",
          "a[30:0] >= {8'd255, 23'd0}", "to bf16"),
    Fault("BF16 NaN keeps its bits", TO_BF16, "nan ? 16'h7FC0", "nan ? {a[31:17], 1'b1}",
          "to bf16"),
    Fault("negative whole numbers are one's complement", FROM_INT, "32'd0 - a", "~a", "from int"),
    Fault("-2^31 is zero", FROM_INT, "a[31] ? 32'd0 - a : a",
          "a[31] ? {1'b0, 31'd0 - a[30:0]} : a", "from int"),
    Fault("sums are symmetric: 0 + 8, 1 + 9", MAC, ".y(products[32*lane +: 32])",
          ".y(products[32*((lane % (LANES/2))*2 + lane/(LANES/2)) +: 32])", "mac"),
    Fault("accumulator goes through the tree's halves", MAC, ACCUMULATE, HALVES, "mac"),
    Fault("accumulator is BF16", MAC, "sum <= next_sum;", "sum <= {next_sum[31:16], 16'd0};",
          "mac"),
    Fault("multiplication before load", MAC, PRIORITY.format(next="next_sum"),
          TURNED.format(next="next_sum"), "mac"),
    Fault("last lane is left out", MAC, ".in(products), ",
          ".in({32'd0, products[32*LANES-33:0]}), ", "mac"),
    Fault("bias comes before its load", MAC, ".Width(32), .Depth(STAGES)",
          ".Width(32), .Depth(STAGES-1)", "mac pipelined"),
    Fault("multiplication's strobe is a clock late", MAC, ".Depth(STAGES)) multiply_delay",
          ".Depth(STAGES+1)) multiply_delay", "mac pipelined"),
    Fault("reset leaves what is on its way", MAC, ".rst(rst), .in(load)", ".rst(1'b0), .in(load)",
          "mac pipelined"),
    Fault("weights have no sign", INT_MAC, "{{8{weight[WEIGHT_BITS-1]}}, weight}",
          "{8'd0, weight}", "int8 mac"),
    Fault("inputs have no sign", INT_MAC, "{{WEIGHT_BITS{number[7]}}, number}",
          "{{WEIGHT_BITS{1'b0}}, number}", "int4 mac"),
    Fault("sums have no sign", INT_MAC, "{{(32-SumWidth){products_sum[SumWidth-1]}}",
          "{{(32-SumWidth){1'b0}}", "int8 mac"),
    Fault("sum is a bit too narrow", INT_MAC, "ProductWidth + $clog2(LANES)",
          "ProductWidth + $clog2(LANES) - 1", "int8 mac"),
    Fault("accumulator is held in 31 bits", INT_MAC, "sum <= sum + sum_now",
          "sum <= {1'b0, sum[30:0] + sum_now[30:0]}", "int8 mac"),
    Fault("multiplication before load", INT_MAC, PRIORITY.format(next="sum + sum_now"),
          TURNED.format(next="sum + sum_now"), "int4 mac"),
)  # fmt: skip
