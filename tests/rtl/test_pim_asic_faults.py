"""Faults put into the ASIC's Verilog: the comparison with the model finds every one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rtl.pim_asic_bench import Bench, reduce_and_map, several_operands

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.functions import Alu
from gateformer.quant.errors import MismatchError, ToolError
from gateformer.sim.pim.asic_rtl import UNARY, sources, unary

FILES = sources("gf_pim_asic")
SINGLE = {
    name: text for name, text in sources("gf_pim_gelu", "gf_pim_silu").items() if name not in FILES
}
NAN, INF = np.nan, np.inf


@dataclass(frozen=True)
class Fault:
    """One change of a file's text, and what shows it: an operation, or single numbers."""

    file: str
    right: str
    wrong: str
    unit: str = ""


FAULTS = {
    "a constant's last bit": Fault("exp", "32'h3F317218", "32'h3F317219"),
    "no lower bound of exp": Fault("exp", "too_low && !nan", "1'b0"),
    "the exponent a clock late": Fault("exp", "Depth(20)", "Depth(21)"),
    "a bound that takes NaN": Fault("exp", "too_low && !nan", "too_low"),
    "exponents one bit short": Fault("fp32_scale", "Room + 24", "Room + 23"),
    "a wrong sign of the exponent": Fault("reciprocal", "9'd126 - exp", "exp - 9'd126"),
    "one Newton step too few": Fault("reciprocal", ".a(best)", ".a(better)"),
    "the magic number": Fault("rsqrt", "31'h5F3759DF", "31'h5F3759DE"),
    "a subnormal number's places": Fault("normalize", "5'd22 - bit", "5'd21 - bit"),
    "a result that is not lifted": Fault("rsqrt", "+ 8'd12", "+ 8'd11"),
    "the sign of a quotient": Fault("reciprocal", "{sign, magnitude", "{1'b0, magnitude"),
    "room above too small": Fault("fp32_scale", "power + 9'd27", "power + 9'd26"),
    "a factor of GELU": Fault("gelu_argument", "32'h3D922279", "32'h3D922278"),
    "an open gate": Fault("gate", "gate[30:0] == 31'd0", "1'b0"),
    "an accumulator that is not cleared": Fault("total", "first_now ? 32'd0", "1'b0 ? 32'd0",
                                                "softmax"),
    "padding that counts": Fault("softmax", "keep ? power : 32'd0", "power", "softmax"),
    "squares of the padding": Fault("norm", "keep_square ? square : 32'd0", "square", "layernorm"),
    "the bias of another word": Fault("norm", "Depth(6)", "Depth(5)", "layernorm"),
    "a bias in RMSNorm": Fault("norm", "root_mean ? MinusZero : bias", "bias", "rmsnorm"),
    "the last of equal numbers": Fault("maximum", "right > left", "right >= left", "maximum"),
    "NaN below all": Fault("maximum", "nan ? NanKey", "nan ? 16'd1", "maximum"),
    "INT8 beyond its bounds": Fault("quantize", "too_large ?", "1'b0 ?", "quantize"),
    "a step of 1 / 128": Fault("quantize", "32'h3C010204", "32'h3C000000", "quantize"),
    "no rounding to whole numbers": Fault("quantize", ".b(WholePart)", ".b(Most)",
                               "quantize"),
    "a difference the other way": Fault("rotary", "{!second_product[31]", "{second_product[31]",
                                        "rotary"),
    "halves in the other order": Fault("rotary", "out_second ? second_kept : first_turned",
                                       "out_second ? first_turned : second_kept", "rotary"),
    "a sum that starts with the last": Fault("elementwise", "accumulate && product_first", "1'b0",
                                             "accumulate"),
    "products of the same operand": Fault("elementwise", "accumulate ? weight : held",
                                          "accumulate ? weight : number", "multiply"),
    "ReLU of a NaN": Fault("elementwise", "relu && number[15] && !nan", "relu && number[15]",
                           "relu"),
    "a tail that is overwritten": Fault("asic_sequencer", "(out_tail && !maximum) ? tail_keep",
                                        "1'b0 ? tail_keep", "relu"),
    "a vector's step left out": Fault("asic_sequencer", "quantize ? words + 1'b1", "1'b0 ? words",
                                      "quantize"),
    "a clock too many": Fault("activation", "GateLatency = 55", "GateLatency = 56", "silu"),
    "vectors that do not move on": Fault("asic_sequencer", "vector_offset + vector_words",
                                         "vector_offset", "softmax"),
    "a count of words one short": Fault("asic_sequencer", "word == last_word",
                                        "word + 1'b1 == last_word", "relu"),
    "the second operand's stride": Fault("asic_sequencer", "operand_offset + stride",
                                         "operand_offset + words", "accumulate"),
}  # fmt: skip


def of_one_unit(unit: str) -> Bench:
    """Return few operations of a unit, on numbers that are easily got wrong."""
    bench = Bench(4, 256)
    rng = np.random.default_rng(1)
    rows = [
        [0.5, -1.25, 3.0, 7.5, 0.33203125, -2.5], [100.0, -20.0, 1e-40, 0.0, -0.0, 3.0],
        [-0.0, 0.0, -0.0, 0.0, -0.0, -0.0], [NAN, 1.0, -INF, INF, 2.0, -3.0],
        [-INF, -1e38, -87.5, -10.1, -103.0, 2.0**-133], [2.0**-133] * 6,
        [-NAN, -2.0, 5.0, 5.0, 1.0, 1.5], [1e-3, 1e3, -1e3, 7.0, -7.0, 1e2],
    ]  # fmt: skip
    negative_nan = np.array([[0xFFC0_0000, 0xBF80_0000]], np.uint32).view(np.float32)
    for x in (to_bf16(np.array(rows)), negative_nan):
        reduce_and_map(bench, x)
    reduce_and_map(bench, to_bf16(rng.normal(size=(1, 9)) * 30))
    several_operands(bench, 2, 4, 3)
    chosen = [at for at, one in enumerate(bench.operations) if one.unit == unit]
    bench.operations = [bench.operations[at] for at in chosen]
    bench.expected = [bench.expected[at] for at in chosen]
    return bench


def numbers() -> np.ndarray:
    """Some BF16 numbers of every exponent and sign, and FP32 numbers."""
    rng = np.random.default_rng(2)
    usual = (rng.normal(size=300) * 10).astype(np.float32)
    edges = np.array([0.0, -0.0, INF, -INF, NAN, -NAN], np.float32)
    some = np.arange(0, 1 << 16, 61, dtype=np.uint32) << 16
    return np.concatenate([some, usual.view(np.uint32), edges.view(np.uint32)])


def compare(fault: Fault | None, unit: str, work: Path) -> None:
    """Hold the Verilog, or one with a fault, to the model."""
    files = dict(FILES)
    if fault is not None:
        name = f"gf_pim_{fault.file}.v"
        assert fault.right in FILES[name], "the fault changes nothing"
        files[name] = FILES[name].replace(fault.right, fault.wrong)
    if unit:
        of_one_unit(unit).check("icarus", work, work, files)
        return
    sent = numbers()
    found = unary(sent, work=work, cache=work, simulator="icarus", files=files | SINGLE)
    for one in UNARY:
        model = getattr(functions, one)(Alu(), sent.view(np.float32))
        expected = np.where(np.isnan(model), np.uint32(0x7FC00000), model.view(np.uint32))
        assert np.array_equal(found[one], expected), one


@pytest.mark.slow
@pytest.mark.icarus
@pytest.mark.parametrize("unit", sorted({fault.unit for fault in FAULTS.values()}))
def test_without_a_fault_all_is_well(unit: str, tmp_path: Path) -> None:
    compare(None, unit, tmp_path)


@pytest.mark.slow
@pytest.mark.icarus
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found(fault: Fault, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, ToolError, MismatchError)) as found:
        compare(fault, fault.unit, tmp_path)
    assert "changes nothing" not in str(found.value)
