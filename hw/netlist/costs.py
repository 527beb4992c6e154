"""Delay and area of one scalar operation.

Owns the numbers that place registers and predict resources. Delays are ns of logic alone on
7-series cells, fitted to yosys ``sta`` after ``synth_xilinx -run begin:check``; areas are
6-input LUTs fitted to yosys on xcup. ``docs/cost_model.md`` shows both fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateformer.hw.dataflow.design import Cost

if TYPE_CHECKING:
    from gateformer.hw.netlist.operation import Operation

DSP_WIDE = 27
"""Signed width of the DSP48E2's A port (Xilinx UG579)."""
DSP_NARROW = 18
"""Signed width of the DSP48E2's B port (Xilinx UG579)."""
DSP_SUM = 48
"""Width of the DSP48E2's adder (Xilinx UG579)."""
DSP_MIN_PRODUCT = 9
"""Narrowest product that yosys maps to a DSP slice (``DSP_Y_MINWIDTH`` in synth_xilinx)."""

LUT_ROM_WIDTH = 10
"""Widest table index that is built of LUTs; wider tables are read into a block RAM's register."""

CLOCK_TO_Q = 0.31
"""ns from the clock edge to a flip-flop's output (7-series FDRE)."""
CAUTION = 0.13
"""ns by which sums of these figures exceed ``sta`` on whole stages (docs/cost_model.md)."""
TABLE = 0.6
"""LUTs of a table of over 64 entries, beside one a bit and 64 entries: its rows are alike."""
MUX = 0.64
"""ns of one LUT with its wire arcs."""
CARRY_ENTRY, CARRY_BIT, CHAINED = 0.98, 0.0285, 0.97
"""ns: an n-bit addition takes ENTRY + n BIT from registers; behind another, ripples overlap."""
THREE_ENTRY, THREE_CHAINED = 1.17, 1.27
"""ns: the same of a sum of three, which has one more LUT before its carry chain."""
LIMIT, WIDE_LIMIT = 0.6, 0.6
"""ns of a saturation: one LUT a bit, another where more than four bits tell that it is needed."""
TIE = 0.5
"""ns by which finding a tie delays rounding half to even."""
DSP_INPUT = 1.37
"""ns from a DSP slice's operand pins to the register behind its multiplier."""
DSP_OUTPUT = 1.40
"""ns from that register through the slice's adder to its output pins; a second register there
makes it nothing."""
BRAM_OUTPUT = 2.28
"""ns from a block RAM's clock to its output pins, ``CLOCK_TO_Q`` apart; likewise."""
SUMS = ("add", "sum")
"""Operations whose carries ripple: sums of two and of three."""
CROSSING = 0.12
"""ns that a value which comes late from the stage before needs besides: it fans out wider there."""
LATE = 2.2
"""Latest ns at which a stage's output may leave without a register: a LUT still fits behind."""


def arrival(op: Operation, operands: Sequence[Operation], arrivals: Sequence[float]) -> float:
    """Logic delay in ns at an operation's output, from those at its operands."""
    latest = max(arrivals, default=0.0)
    if op.kind == "input":
        return latest + CROSSING if latest > 0 else 0.0
    if op.kind == "const" or is_wiring(op, operands):
        return latest
    if op.kind in SUMS:
        # A carry that enters late still has to run up what its own adder did not.
        shifts = [int(shift) for shift in op.parameters[: len(operands)]]
        behind = []
        for late, o, shift in zip(arrivals, operands, shifts, strict=True):
            # Behind a cast stands a sum, or a slice whose bits arrive together: for a sum of three,
            # which has no slack for it, the latter.
            fits = o.kind == "cast" and o.parameters[2] == "fits" and op.kind == "add"
            rest = op.width - o.width - shift if o.kind in SUMS or fits else op.width - 4
            if o.kind == "mul" and op.kind == "sum":
                rest = op.width  # A product's bits come all at once, its lowest with the others.
            behind.append(late + CARRY_BIT * max(0, rest))
        if op.kind == "sum":
            return max(THREE_ENTRY + CARRY_BIT * op.width, max(behind) + THREE_CHAINED)
        return _carry(op.width, max(behind))
    if op.kind == "max":
        return max(0.95 + CARRY_BIT * op.width, latest + 1.3)
    if op.kind == "choose":
        # A late maximum comes all at once and has the whole carry to run; 13 bits of it are in 1.3.
        return max(1.3 + CARRY_BIT * op.width, latest + 1.3 + CARRY_BIT * max(0, op.width - 13))
    if op.kind == "cast":
        drop, rounding, mode = op.parameters[:3]
        if int(drop) > 0 and rounding != "TRN":
            width = operands[0].width - int(drop)
            # Bits that arrive together leave the whole carry to run.
            together = operands[0].kind not in SUMS and latest > 0
            late = CAUTION + CARRY_BIT * max(0, width - 4) if together else 0.0
            latest = _carry(width, latest + late)
            if rounding == "RND_CONV" and int(drop) > 1:
                latest += TIE
        if mode != "saturates":
            return latest
        beyond = operands[0].width - int(drop) - op.width
        return latest + LIMIT + (WIDE_LIMIT if beyond > 4 else 0.0)
    if op.kind == "lookup":
        return latest + (0.64, 0.85, 1.25, 1.6, 1.9)[min(max(operands[0].bits - 6, 0), 4)]
    if op.kind == "zeros":
        return latest + 1.1 + 0.013 * int(op.parameters[0])
    if op.kind == "gate":
        return latest + MUX
    if op.kind == "shift":
        return latest + 0.1 + 0.25 * operands[1].bits
    return latest + 1.0 + 0.15 * op.width


def _carry(width: int, latest: float) -> float:
    return max(CARRY_ENTRY + CARRY_BIT * width, latest + CHAINED)


def is_wiring(op: Operation, operands: Sequence[Operation]) -> bool:
    """Whether an addition only shifts: its other operand is zero."""
    return (
        op.kind == "add"
        and not (int(op.parameters[2]) or int(op.parameters[3]))
        and any(o.lo == o.hi == 0 for o in operands)
    )


def is_registered(op: Operation, operands: Sequence[Operation]) -> bool:
    """Whether an operation ends in a register of its own (DSP product, block RAM output)."""
    if op.kind == "lookup":
        return operands[0].bits > LUT_ROM_WIDTH
    return uses_dsp(op, operands)


def is_post_add(op: Operation, operands: Sequence[Operation]) -> bool:
    """Whether an addition joins two products: the slice's own adder and output register do it."""
    return (
        op.kind == "add"
        and op.width <= DSP_SUM
        and not any(op.parameters)
        and all(o.kind == "mul" and o.width > DSP_MIN_PRODUCT for o in operands)
    )


def uses_dsp(op: Operation, operands: Sequence[Operation]) -> bool:
    """Whether a multiplication goes to DSP slices."""
    if op.kind != "mul" or any(o.lo == o.hi for o in operands):
        return False
    return sum(o.width for o in operands) >= DSP_MIN_PRODUCT


def dsp_count(operands: Sequence[Operation]) -> int:
    """DSP slices of one product: tiles of the signed 27 x 18 multiplier."""
    narrow, wide = sorted(o.width for o in operands)
    one_way = _tiles(wide, DSP_WIDE) * _tiles(narrow, DSP_NARROW)
    return min(one_way, _tiles(narrow, DSP_WIDE) * _tiles(wide, DSP_NARROW))


def _tiles(width: int, port: int) -> int:
    """Slices along one operand: the top one is signed, each lower one loses the sign bit."""
    return 1 if width <= port else 1 + -(-(width - port) // (port - 1))


def area(op: Operation, operands: Sequence[Operation]) -> Cost:
    """LUTs, DSPs and block RAMs of an operation, its registers apart."""
    if is_wiring(op, operands):
        return Cost()
    if op.kind == "add":
        # Below the shifted operand the other one passes through untouched.
        free = 0 if any(op.parameters[2:]) else max(int(p) for p in op.parameters[:2])
        return Cost(lut=max(1, op.width - free))
    if op.kind == "sum":
        # Below the second lowest operand, the lowest one passes through untouched.
        shifts, signs = op.parameters[:3], op.parameters[3:]
        lowest, second, _ = sorted(int(p) for p in shifts)
        passes = not any(n for s, n in zip(shifts, signs, strict=True) if int(s) == lowest)
        return Cost(lut=max(1, op.width - (second if passes else lowest)))
    if op.kind == "max":
        return Cost(lut=1.6 * op.width)
    if op.kind == "choose":
        return Cost(lut=3.6 * op.width)
    if op.kind == "cast":
        drop, rounding, mode = op.parameters[:3]
        rounds = int(drop) > 0 and rounding != "TRN"
        return Cost(lut=float(op.width + 1) if rounds or mode == "saturates" else 0.0)
    if op.kind == "lookup":
        index = operands[0].bits
        if index > LUT_ROM_WIDTH:
            return Cost(bram=max(0.5, op.bits * (1 << index) / 36864))
        return Cost(lut=op.bits * max(1.0, TABLE * 2.0 ** (index - 6)))
    if op.kind == "gate":
        return Cost(lut=float(op.bits))
    if op.kind == "zeros":
        return Cost(lut=float(op.parameters[0]))
    if op.kind == "shift":
        return Cost(lut=0.6 * op.width * operands[1].bits)
    if op.kind == "mul":
        if uses_dsp(op, operands):
            # yosys keeps the product's register outside of a DSP48E2.
            return Cost(dsp=dsp_count(operands), ff=op.bits)
        return Cost(lut=float(operands[0].bits * operands[1].bits))
    return Cost()


def registers(op: Operation, span: int, operands: Sequence[Operation]) -> Cost:
    """Flip-flops behind an operation; three or more in a row become shift registers."""
    if op.kind == "input":
        return delay_line(op.bits, span)
    if op.kind == "mul" and uses_dsp(op, operands):
        return delay_line(op.bits, span)
    if span <= 2:
        return Cost(ff=op.bits * span)
    return Cost(ff=op.bits) + delay_line(op.bits, span - 1)


def delay_line(bits: int, span: int) -> Cost:
    """A fixed delay: SRL32 with a register, as yosys' ``shregmap`` makes them."""
    if span <= 2:
        return Cost(ff=bits * span)
    return Cost(lut=bits * -(-(span) // 32))
