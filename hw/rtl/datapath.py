"""A circuit as a Verilog module: named wires, one register section, tables as functions.

Owns the text of every scalar operation. Imports circuits and text pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateformer.hw.dataflow.stages import Circuit
from gateformer.hw.naming import identifier
from gateformer.hw.netlist import costs
from gateformer.hw.netlist.net import Net
from gateformer.hw.netlist.operation import Operation
from gateformer.hw.rtl.text import bits, bus, literal, module, packed
from gateformer.quant.types import Fixed

BLOCK_BITS = 8
"""Index bits of one case statement; larger ones would be taken for block RAM by yosys."""


@dataclass(frozen=True, slots=True)
class Pins:
    """A packed port: how many elements of which type."""

    count: int
    type: Fixed

    @property
    def width(self) -> int:
        """Bits in all."""
        return self.count * self.type.width


def datapath(
    name: str, circuit: Circuit, inputs: Mapping[str, Pins], outputs: Mapping[str, Pins]
) -> str:
    """Return the module of a circuit.

    Parameters
    ----------
    name : str
        Module name.
    circuit : Circuit
        The netlist.
    inputs, outputs : mapping of str to Pins
        Ports by graph name; the module calls them by identifier, outputs with ``out_`` before.
    """
    return _Datapath(circuit, inputs, outputs).text(name)


class _Datapath:
    def __init__(
        self, circuit: Circuit, inputs: Mapping[str, Pins], outputs: Mapping[str, Pins]
    ) -> None:
        self.circuit = circuit
        self.net: Net = circuit.net
        self.inputs = inputs
        self.outputs = outputs
        ends = [
            (int(n), circuit.latencies[k]) for k, v in circuit.outputs.items() for n in v.ravel()
        ]
        self.needed = self.net.live([n for n, _ in ends])
        self.spans = self.net.register_spans(ends)
        self.names = self._names()
        self.lines: list[str] = []
        self.clocked: list[str] = []
        self.tables: dict[str, str] = {}

    def _names(self) -> dict[int, str]:
        names: dict[int, str] = {}
        used: dict[str, int] = {}
        ports = {identifier(k) for k in self.inputs}
        elements = {
            (k, i): f"{identifier(k)}_{i}" for k, p in self.inputs.items() for i in range(p.count)
        }
        # Element 2 of `by` beside a port `by_2`.
        elements = {
            at: f"{name}_element" if name in ports else name for at, name in elements.items()
        }
        taken = ports | set(elements.values())
        for number in self.needed:
            op = self.net.operations[number]
            if op.kind == "const":
                continue
            if op.kind == "input":
                names[number] = elements[str(op.parameters[0]), int(op.parameters[1])]
                continue
            stem = f"{op.kind}_{identifier(op.note)}" if op.note else op.kind
            while True:
                used[stem] = used.get(stem, 0) + 1
                names[number] = f"{stem}_{used[stem]}"
                if names[number] not in taken:
                    break
        return names

    def text(self, name: str) -> str:
        """The module."""
        clock = -1
        for number in self.needed:
            op = self.net.operations[number]
            if op.kind == "const":
                continue
            if self.net.clock[number] > clock:
                clock = self.net.clock[number]
                self.lines.append(f"\n  // clock {clock}")
            self._operation(number, op)
            self._registers(number, op)
        ports = ["input  wire clk"]
        ports += [f"input  wire {bus(p.width)} {identifier(k)}" for k, p in self.inputs.items()]
        ports += [
            f"output wire {bus(p.width)} out_{identifier(k)}" for k, p in self.outputs.items()
        ]
        parts = list(self.tables.values())
        parts.append("\n".join(self.lines).lstrip("\n") + "\n")
        if self.clocked:
            inner = "\n".join(f"    {line}" for line in self.clocked)
            parts.append(f"  always @(posedge clk) begin\n{inner}\n  end\n")
        parts += [self._output(k, p) for k, p in self.outputs.items()]
        return module(name, ports, "\n".join(parts))

    def _output(self, key: str, pins: Pins) -> str:
        latency = self.circuit.latencies[key]
        rows, elements = [], []
        for index, node in enumerate(int(n) for n in self.circuit.outputs[key].ravel()):
            label = f"{identifier(key)}_out_{index}"
            rows.append(
                f"  wire signed {bus(pins.type.width)} {label} = {self._at(node, latency)};"
            )
            elements.append(label)
        joined = "\n".join(rows)
        return f"{joined}\n  assign out_{identifier(key)} = {packed(elements)};\n"

    def _at(self, number: int, clock: int) -> str:
        """A node as it is read in a clock."""
        op = self.net.operations[number]
        if op.kind == "const":
            return literal(op.lo)
        wait = clock - self.net.clock[number]
        return self.names[number] + (f"_q{wait}" if wait > 0 else "")

    def _registers(self, number: int, op: Operation) -> None:
        name = self.names[number]
        for step in range(1, self.spans.get(number, 0) + 1):
            before = name if step == 1 else f"{name}_q{step - 1}"
            self.lines.append(f"  reg signed {bus(op.width)} {name}_q{step};")
            self.clocked.append(f"{name}_q{step} <= {before};")

    def _operation(self, number: int, op: Operation) -> None:
        name, width = self.names[number], bus(op.width)
        if op.kind == "input":
            port, index = str(op.parameters[0]), int(op.parameters[1])
            pins = self.inputs[port]
            source = bits(identifier(port), index, pins.type.width)
            sign = f"{{1'b0, {source}}}" if not pins.type.signed else source
            self.lines.append(f"  wire signed {width} {name} = $signed({sign});")
            return
        registered = costs.is_registered(op, self.net.operands(number))
        reads = self.net.clock[number] - registered
        arguments = [self._at(a, reads) for a in op.args]
        text = getattr(self, f"_{op.kind}")(number, op, arguments)
        if registered:
            self.lines.append(f"  reg signed {width} {name};")
            self.clocked.append(f"{name} <= {text};")
        else:
            self.lines.append(f"  wire signed {width} {name} = {text};")

    def _add(self, number: int, op: Operation, arguments: list[str]) -> str:
        numbers = [int(p) for p in op.parameters]
        shifts, signs = numbers[: len(op.args)], numbers[len(op.args) :]
        terms = []
        for text, arg, shift, negate in zip(arguments, op.args, shifts, signs, strict=True):
            known = self.net.value(arg)
            if known is not None:
                known = (-known if negate else known) << shift
                if known:
                    terms.append((known < 0, literal(abs(known))))
                continue
            terms.append((bool(negate), f"({text} <<< {shift})" if shift else text))
        terms.sort(key=lambda t: t[0])
        return "".join(
            (("-" if minus else "") if i == 0 else (" - " if minus else " + ")) + text
            for i, (minus, text) in enumerate(terms)
        )

    def _sum(self, number: int, op: Operation, arguments: list[str]) -> str:
        # In one expression: three operands of one name are what synthesis adds in one carry chain.
        return self._add(number, op, arguments)

    def _mul(self, number: int, op: Operation, arguments: list[str]) -> str:
        return f"{arguments[0]} * {arguments[1]}"

    def _gate(self, number: int, op: Operation, arguments: list[str]) -> str:
        # Written as a choice, or synthesis would spend a DSP slice on it.
        value, gate = arguments
        return f"{gate}[0] ? {value} : {literal(0)}"

    def _max(self, number: int, op: Operation, arguments: list[str]) -> str:
        a, b = arguments
        return f"({a} > {b}) ? {a} : {b}"

    def _choose(self, number: int, op: Operation, arguments: list[str]) -> str:
        a, b, less = arguments
        name, width = self.names[number], bus(op.width + 1)
        # Written unlike each other, so that synthesis does not share one late subtraction.
        self.lines.append(f"  wire signed {width} {name}_first = {a} - {less};")
        self.lines.append(f"  wire signed {width} {name}_second = ~({less} + ~{b});")
        return f"({a} > {b}) ? {name}_first : {name}_second"

    def _shift(self, number: int, op: Operation, arguments: list[str]) -> str:
        # Largest steps first: synthesis then builds only the bits that are read at the end.
        shifted, amount = arguments
        steps = self.net.operands(number)[1].hi.bit_length()
        for bit in reversed(range(steps)):
            zeros = f", {bit}'d0" if bit else ""
            shifted = f"({shifted} <<< {{{amount}[{bit}]{zeros}}})"
        return shifted

    def _cast(self, number: int, op: Operation, arguments: list[str]) -> str:
        drop, low, high = int(op.parameters[0]), int(op.parameters[3]), int(op.parameters[4])
        rounding, mode = op.parameters[1:3]
        (text,) = arguments
        name = self.names[number]
        operand = self.net.operands(number)[0]
        width = max(operand.width - drop, 1) + 1
        kept = max(op.hi.bit_length(), (-op.lo - 1).bit_length()) + (op.lo < 0)
        if mode == "wraps":
            width = max(width, kept)
        whole = f"{text} >>> {drop}" if drop else text
        if drop and rounding != "TRN":
            whole = (
                f"({whole}) + $signed({{1'b0, {_carry(text, drop, str(rounding), operand.width)}}})"
            )
        if mode == "fits":
            return whole
        self.lines.append(f"  wire signed {bus(width)} {name}_r = {whole};")
        if mode == "wraps":
            part = f"{name}_r[{kept - 1}:0]"
            return f"$signed({part})" if op.lo < 0 else f"$signed({{1'b0, {part}}})"
        over, under = _beyond(f"{name}_r", width, low, high)
        return f"{over} ? {literal(high)} : {under} ? {literal(low)} : {name}_r"

    def _lookup(self, number: int, op: Operation, arguments: list[str]) -> str:
        table, index = int(op.parameters[0]), int(op.parameters[1])
        name = self.names[number]
        operand = self.net.operands(number)[0]
        self.lines.append(f"  wire {bus(index)} {name}_i = {arguments[0]};")
        size = 1 << index
        reached = [i % size for i in range(operand.lo, operand.hi + 1)]
        blocks = sorted({i >> BLOCK_BITS for i in reached})
        registered = costs.is_registered(op, [operand])
        if index <= BLOCK_BITS or registered:
            return self._function(table, op, index, 0, index, f"{name}_i")
        low = f"{name}_i[{BLOCK_BITS - 1}:0]"
        text = ""
        for block in blocks[:-1]:
            call = self._function(table, op, BLOCK_BITS, block, index, low)
            text += (
                f"{name}_i[{index - 1}:{BLOCK_BITS}] == {index - BLOCK_BITS}'d{block} ? {call} : "
            )
        return text + self._function(table, op, BLOCK_BITS, blocks[-1], index, low)

    def _function(
        self, table: int, op: Operation, width: int, block: int, index: int, argument: str
    ) -> str:
        """A call of one block of a table; its function is written once."""
        name = f"table_{table}_{block}_of_{width}_bits_{op.width}"
        if name not in self.tables:
            entries = self.net.tables[table][block << width : (block + 1) << width]
            half = 1 << (op.width - 1)
            rows = "\n".join(
                f"      {width}'d{i}: {name} = {op.width}'sh{v & (2 * half - 1):x};"
                for i, v in enumerate(entries)
            )
            self.tables[name] = (
                f"  // entries {block << width} to {((block + 1) << width) - 1} of "
                f"{1 << index} of {op.note or 'a table'}\n"
                f"  function {bus(op.width)} {name};\n"
                f"    input {bus(width)} index;\n"
                f"    case (index)\n{rows}\n"
                f"      default: {name} = {op.width}'sd0;\n    endcase\n  endfunction\n"
            )
        return f"$signed({name}({argument}))"

    def _zeros(self, number: int, op: Operation, arguments: list[str]) -> str:
        width, even = int(op.parameters[0]), int(op.parameters[1])
        name = f"leading_zeros_{width}{'_even' if even else ''}"
        self.lines.append(f"  wire {bus(width)} {self.names[number]}_i = {arguments[0]};")
        size = max(width.bit_length(), 1) + 1
        if name not in self.tables:
            clear = f" & ~{size}'sd1" if even else ""
            self.tables[name] = (
                f"  // zeros above the leading one of {width} bits{', even' if even else ''}\n"
                f"  function {bus(size)} {name};\n"
                f"    input {bus(width)} value;\n    integer i;\n    begin\n"
                f"      {name} = {width - 1}{clear};\n"
                f"      for (i = 1; i < {width}; i = i + 1) begin\n"
                f"        if (value[i]) begin\n          {name} = ({width - 1} - i){clear};\n"
                "        end\n      end\n    end\n  endfunction\n"
            )
        return f"$signed({name}({self.names[number]}_i))"


def _carry(text: str, drop: int, rounding: str, width: int) -> str:
    """The bit that rounding adds: half up, or half to even."""
    half = f"{text}[{min(drop - 1, width - 1)}]"
    if rounding == "RND":
        return half
    odd = f"{text}[{min(drop, width - 1)}]"
    if drop == 1:
        return f"{half} & {odd}"
    return f"{half} & ({odd} | (|{text}[{min(drop - 2, width - 1)}:0]))"


def _beyond(name: str, width: int, low: int, high: int) -> tuple[str, str]:
    """Conditions for leaving ``low..high``, from the top bits where the limits are powers."""
    sign = f"{name}[{width - 1}]"
    top = high.bit_length()
    if high & (high + 1) == 0 and top < width - 1:
        over = f"(!{sign} && |{name}[{width - 2}:{top}])"
    else:
        over = f"({name} > {literal(high)})" if top < width else "1'b0"
    if low == 0:
        return over, sign
    down = (-low - 1).bit_length()
    if low == -(1 << down) and down < width - 1:
        return over, f"({sign} && !(&{name}[{width - 2}:{down}]))"
    return over, f"({name} < {literal(low)})" if down < width else "1'b0"
