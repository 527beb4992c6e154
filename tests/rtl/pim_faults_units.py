"""More faults to seed into the ASIC's Verilog: of its units' insides and of its sequencer."""

from __future__ import annotations

from rtl.pim_faults import Fault

EXP, RECIPROCAL, NORMALIZE = "gf_pim_exp", "gf_pim_reciprocal", "gf_pim_normalize"
SCALE, NORM, QUANTIZE = "gf_pim_fp32_scale", "gf_pim_norm", "gf_pim_quantize"
ELEMENTWISE, SEQUENCER = "gf_pim_elementwise", "gf_pim_asic_sequencer"

UNITS = (
    Fault("exp has no lower bound", EXP, "(too_low && !nan) ? Lowest :", "", "exp"),
    Fault("2^p for 2^-p", RECIPROCAL, "9'd126 - exponent", "exponent - 9'd126", "reciprocal"),
    Fault("1/x is positive", RECIPROCAL, "{sign, magnitude[30:0]}", "{1'b0, magnitude[30:0]}",
          "reciprocal"),
    Fault("leading zeros are one too few", NORMALIZE, "5'd22 - bit_number[4:0]",
          "5'd21 - bit_number[4:0]", "reciprocal"),
    Fault("results are a power of two too small", SCALE, "+ power + 9'd27", "+ power + 9'd26",
          "scale"),
    Fault("the significand loses its highest bit", SCALE, "normal, a[22:0]", "1'b0, a[22:0]",
          "scale"),
    Fault("bias of the next word", NORM, ".Width(16), .Depth(6)", ".Width(16), .Depth(5)",
          "norms"),
    Fault("RMSNorm has a bias", NORM, "{root_mean ? MinusZero : bias, 16'd0}", "{bias, 16'd0}",
          "norms"),
    Fault("numbers are rounded to another place", QUANTIZE, ".a(held), .b(WholePart)",
          ".a(held), .b(Most)", "quantize"),
    Fault("weighted sum starts with what was there", ELEMENTWISE,
          "(accumulate && product_first) ? 32'd0 : sum", "sum", "several operands"),
    Fault("an operand times itself", ELEMENTWISE, "accumulate ? weight : held",
          "accumulate ? weight : number", "several operands"),
    Fault("padding of the last word is written", SEQUENCER,
          "(out_tail && !one_word) ? tail_keep", "1'b0 ? tail_keep", "relu"),
    Fault("the next vector over a word behind", SEQUENCER, "? words + 1'b1 : vector_words",
          "? words : vector_words", "quantize"),
    Fault("each vector is the first, in one phase", SEQUENCER,
          "vector_offset <= vector_offset + vector_words;\n              weights_next",
          "weights_next", "relu"),
    Fault("each vector is the first, in several phases", SEQUENCER,
          "vector_offset <= vector_offset + vector_words;\n        walking", "walking", "softmax"),
    Fault("the last word is left out", SEQUENCER, "heads_words || word == last_word",
          "heads_words || word + 1'b1 == last_word", "relu"),
    Fault("the next operand for the next share", SEQUENCER, "operand_offset + stride",
          "operand_offset + words", "several operands"),
)  # fmt: skip
