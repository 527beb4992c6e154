"""Verilog expressions over Pyverilog's nodes: widths and unsigned values.

Owns the rules of IEEE 1364 that control logic needs: sizes of operands, truncation, part selects.
Signed arithmetic is refused: valid bits and counters have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateformer.quant.errors import GateformerError

_LITERAL = re.compile(r"(\d*)'(s?)([bodhBODH])([0-9a-fA-F_]+)")
_BASES = {"b": 2, "o": 8, "d": 10, "h": 16}
INTEGER = 32
"""Bits of an unsized number."""


class UnsupportedError(GateformerError):
    """Verilog beyond what the reader follows; becomes a finding."""

    def __init__(self, what: str) -> None:
        super().__init__("E404", what)


@dataclass(frozen=True, slots=True)
class Signal:
    """A declared wire, register or memory; its name has the generate blocks before it."""

    name: str
    width: int
    memory: bool = False


@dataclass(slots=True, eq=False)
class Scope:
    """Names of a module or of one of its generate blocks."""

    prefix: str
    constants: dict[str, int]
    signals: dict[str, Signal] = field(default_factory=dict)
    parent: Scope | None = None

    def constant(self, name: str) -> int | None:
        """Return a parameter's or a genvar's value."""
        if name in self.constants:
            return self.constants[name]
        return None if self.parent is None else self.parent.constant(name)

    def signal(self, name: str) -> Signal | None:
        """Return a signal."""
        if name in self.signals:
            return self.signals[name]
        return None if self.parent is None else self.parent.signal(name)


Read = Callable[[str], Any]
"""Value of a signal, by its full name; of a memory, a mapping of its words."""


def kind_of(node: Any) -> str:
    """Return a node's class."""
    return type(node).__name__


def no_signal(name: str) -> int:
    """Read a signal where only constants may stand."""
    raise UnsupportedError(f"'{name}' is no constant")


def constant(node: Any, scope: Scope) -> int:
    """Return the value of a constant expression."""
    return evaluate(node, scope, no_signal)


def range_width(node: Any, scope: Scope) -> int:
    """Return the bits of a declared range; 1 where there is none."""
    if node is None:
        return 1
    return abs(constant(node.msb, scope) - constant(node.lsb, scope)) + 1


def literal(text: str) -> tuple[int, int]:
    """Return value and width of a number."""
    found = _LITERAL.fullmatch(text)
    if found:
        size = int(found[1]) if found[1] else INTEGER
        return int(found[4].replace("_", ""), _BASES[found[3].lower()]) % (1 << size), size
    if not text.replace("_", "").isdigit():
        raise UnsupportedError(f"the number {text}")
    return int(text.replace("_", "")), INTEGER


def part(node: Any, scope: Scope, read: Read = no_signal) -> tuple[int, int]:
    """Return the lowest bit and the width of a part select, ``+:`` among them."""
    if kind_of(node.lsb) == "Plus" and node.lsb.left is node.msb:
        return evaluate(node.msb, scope, read), constant(node.lsb.right, scope)
    low = constant(node.lsb, scope)
    return low, constant(node.msb, scope) - low + 1


COMPARE: dict[str, Callable[[int, int], bool]] = {
    "LessThan": lambda a, b: a < b,
    "GreaterThan": lambda a, b: a > b,
    "LessEq": lambda a, b: a <= b,
    "GreaterEq": lambda a, b: a >= b,
    "Eq": lambda a, b: a == b,
    "NotEq": lambda a, b: a != b,
    "Eql": lambda a, b: a == b,
    "NotEql": lambda a, b: a != b,
}
ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "Plus": lambda a, b: a + b,
    "Minus": lambda a, b: a - b,
    "Times": lambda a, b: a * b,
    "Divide": lambda a, b: a // b if b else 0,
    "Mod": lambda a, b: a % b if b else 0,
    "And": lambda a, b: a & b,
    "Or": lambda a, b: a | b,
    "Xor": lambda a, b: a ^ b,
    "Xnor": lambda a, b: ~(a ^ b),
}
SHIFTS: dict[str, Callable[[int, int], int]] = {
    "Sll": lambda a, b: a << b,
    "Sla": lambda a, b: a << b,
    "Srl": lambda a, b: a >> b,
    "Power": lambda a, b: a**b,
}
REDUCE: dict[str, Callable[[int, int], bool]] = {
    "Ulnot": lambda a, full: a == 0,
    "Uor": lambda a, full: a != 0,
    "Unor": lambda a, full: a == 0,
    "Uand": lambda a, full: a == full,
    "Unand": lambda a, full: a != full,
    "Uxor": lambda a, full: a.bit_count() % 2 == 1,
    "Uxnor": lambda a, full: a.bit_count() % 2 == 0,
}


def width(node: Any, scope: Scope) -> int:
    """Return the bits that an expression has by itself."""
    kind = kind_of(node)
    if kind == "Rvalue" or kind == "Lvalue":
        return width(node.var, scope)
    if kind == "Identifier":
        signal = scope.signal(node.name)
        if signal is None and scope.constant(node.name) is None:
            raise UnsupportedError(f"'{node.name}' is not declared")
        return INTEGER if signal is None else signal.width
    if kind == "IntConst":
        return literal(node.value)[1]
    if kind == "Pointer":
        signal = scope.signal(node.var.name) if kind_of(node.var) == "Identifier" else None
        return signal.width if signal is not None and signal.memory else 1
    if kind == "Partselect":
        return constant(node.lsb.right, scope) if _indexed(node) else part(node, scope)[1]
    if kind in ("Concat", "LConcat"):
        return sum(width(one, scope) for one in node.list)
    if kind == "Repeat":
        return constant(node.times, scope) * width(node.value, scope)
    if kind in COMPARE or kind in REDUCE or kind in ("Land", "Lor"):
        return 1
    if kind in ARITHMETIC:
        return max(width(node.left, scope), width(node.right, scope))
    if kind in SHIFTS or kind == "Sra":
        return width(node.left, scope)
    if kind in ("Unot", "Uminus", "Uplus"):
        return width(node.right, scope)
    if kind == "Cond":
        return max(width(node.true_value, scope), width(node.false_value, scope))
    if kind == "SystemCall" and node.syscall == "clog2":
        return INTEGER
    if kind == "SystemCall" and node.syscall in ("signed", "unsigned"):
        return width(node.args[0], scope)
    raise UnsupportedError(f"an expression of kind {kind}")


def _indexed(node: Any) -> bool:
    return kind_of(node.lsb) == "Plus" and node.lsb.left is node.msb


def evaluate(node: Any, scope: Scope, read: Read, size: int = 0) -> int:
    """Return the unsigned value of an expression in a context of ``size`` bits."""
    kind = kind_of(node)
    if kind == "Rvalue":
        return evaluate(node.var, scope, read, size)
    if kind == "Identifier":
        signal = scope.signal(node.name)
        known = scope.constant(node.name) if signal is None else None
        if signal is None and known is None:
            return int(read(node.name))
        return int(known if known is not None else read(signal.name))  # type: ignore[union-attr]
    if kind == "IntConst":
        return literal(node.value)[0]
    if kind == "Pointer":
        return _pointer(node, scope, read)
    if kind == "Partselect":
        low, bits = part(node, scope, read)
        return (evaluate(node.var, scope, read) >> low) & ((1 << bits) - 1)
    if kind == "Concat":
        total = 0
        for one in node.list:
            total = (total << width(one, scope)) | evaluate(one, scope, read)
        return total
    if kind == "Repeat":
        bits, one = width(node.value, scope), evaluate(node.value, scope, read)
        return sum(one << (bits * i) for i in range(constant(node.times, scope)))
    if kind in COMPARE:
        bits = max(width(node.left, scope), width(node.right, scope))
        pair = (evaluate(side, scope, read, bits) for side in (node.left, node.right))
        return int(COMPARE[kind](*pair))
    if kind in REDUCE:
        full = (1 << width(node.right, scope)) - 1
        return int(REDUCE[kind](evaluate(node.right, scope, read), full))
    if kind == "Land":
        left = evaluate(node.left, scope, read)
        return int(bool(left and evaluate(node.right, scope, read)))
    if kind == "Lor":
        left = evaluate(node.left, scope, read)
        return int(bool(left or evaluate(node.right, scope, read)))
    if kind == "SystemCall" and node.syscall == "clog2":
        return max(0, evaluate(node.args[0], scope, read) - 1).bit_length()
    size = max(size, width(node, scope))
    mask = (1 << size) - 1
    if kind in ARITHMETIC:
        pair = (evaluate(side, scope, read, size) for side in (node.left, node.right))
        return ARITHMETIC[kind](*pair) & mask
    if kind in SHIFTS:
        left = evaluate(node.left, scope, read, size)
        return SHIFTS[kind](left, evaluate(node.right, scope, read)) & mask
    if kind in ("Unot", "Uminus", "Uplus"):
        one = evaluate(node.right, scope, read, size)
        return {"Unot": ~one, "Uminus": -one, "Uplus": one}[kind] & mask
    if kind == "Cond":
        taken = evaluate(node.cond, scope, read)
        return evaluate(node.true_value if taken else node.false_value, scope, read, size)
    raise UnsupportedError(f"an expression of kind {kind}")


def _pointer(node: Any, scope: Scope, read: Read) -> int:
    index = evaluate(node.ptr, scope, read)
    signal = scope.signal(node.var.name) if kind_of(node.var) == "Identifier" else None
    if signal is not None and signal.memory:
        return int(read(signal.name).get(index, 0))
    return (evaluate(node.var, scope, read) >> index) & 1
