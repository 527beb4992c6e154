"""Statements: what each primitive is in C++, on the row of one token.

Owns ``Operand``, ``Row``, ``Statement``, ``Resources`` and the registry ``STATEMENTS``. Imports
the primitives and the names of C++.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.hls.names import Names, fixed
from gateformer.quant.ops.base import Op, Primitive, Shape, Value
from gateformer.quant.ops.cast import Cast, Rescale
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Reshape, Slice, Transpose
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed, IntArray, wrap


@dataclass(frozen=True, slots=True)
class Weight:
    """A constant array that hls4ml writes: ``firmware/weights/<name>.h``.

    Attributes
    ----------
    name : str
        The C++ variable; its type is ``<name>_t``.
    raw : ndarray of int
        Raw integers in the order of the C++ array.
    type : Fixed
        Type of each element.
    """

    name: str
    raw: IntArray
    type: Fixed


@dataclass(frozen=True, slots=True)
class Table:
    """A read-only table of raw results: ``firmware/tables/<name>.h``.

    Attributes
    ----------
    name : str
        The C++ variable.
    raw : ndarray of int, (entries,) or (entries, features)
        Raw integers, each inside ``type``.
    type : Fixed
        Type of a result.
    about : str
        What it holds, as a formula.
    """

    name: str
    raw: IntArray
    type: Fixed
    about: str


@dataclass(slots=True)
class Resources:
    """Constant arrays of one unit, named after it.

    Attributes
    ----------
    prefix : str
        The unit's C++ function.
    names : Names
        Global names of the project.
    """

    prefix: str
    names: Names
    weights: list[Weight] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def weight(self, name: str, raw: IntArray, kind: Fixed) -> str:
        """Add a typed array; returns its C++ name."""
        called = self.names.new(f"{self.prefix}_{name}")
        self.weights.append(Weight(called, raw, kind))
        return called

    def table(self, name: str, raw: IntArray, kind: Fixed, about: str) -> str:
        """Add a look-up table; returns its C++ name."""
        called = self.names.new(f"{self.prefix}_{name}")
        self.tables.append(Table(called, raw, kind, about))
        return called


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand of a statement: a C++ expression for a row or a whole frame, and its value."""

    text: str
    value: Value


@dataclass(frozen=True, slots=True)
class Row:
    """What a statement defines: a C++ array of one token's elements.

    Attributes
    ----------
    text : str
        The C++ variable.
    value : Value
        The graph's value.
    token : str
        The C++ expression of the token's number.
    """

    text: str
    value: Value
    token: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One call of the gf templates.

    Attributes
    ----------
    formula : str
        What it computes, for people.
    calls : tuple of str
        Without the final semicolon.
    multiplies : int
        Multiplications of a row that take a multiplier: none by 0, a power of two or one bit.
    before : tuple of str
        Declarations that the calls need.
    """

    formula: str
    calls: tuple[str, ...]
    multiplies: int = 0
    before: tuple[str, ...] = ()


Make = Callable[[Any, Row, tuple[Operand, ...], Resources], Statement]
STATEMENTS: dict[type[Op], Make] = {}
"""How each primitive is written; what is not here has no HLS."""

_Op = TypeVar("_Op", bound=Primitive)
_Made = Callable[[_Op, Row, tuple[Operand, ...], Resources], Statement]


def states(kind: type[_Op]) -> Callable[[_Made[_Op]], _Made[_Op]]:
    """Register how a primitive is written."""

    def register(make: _Made[_Op]) -> _Made[_Op]:
        STATEMENTS[kind] = cast("Make", make)
        return make

    return register


def features(value: Value) -> Shape:
    """Shape of one token."""
    return value.shape[1:] if len(value.shape) > 1 else value.shape


def heads(value: Value) -> int:
    """Rows of the last axis in one token."""
    return prod(features(value)[:-1])


def modes(op: Cast | Shift) -> str:
    """Rounding and overflow as template arguments."""
    return f"gf::{op.rounding.name}, gf::{op.overflow.name}"


_ROUNDED = {"TRN": "rounded down", "RND": "rounded", "RND_CONV": "rounded half to even"}
_FITTED = {"WRAP": "", "SAT": ", saturated", "SAT_SYM": ", saturated symmetrically"}


def how(op: Cast | Shift) -> str:
    """Rounding and overflow in words."""
    return _ROUNDED[op.rounding.name] + _FITTED[op.overflow.name]


@states(Dense)
def _dense(op: Dense, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    (x,) = operands
    kind = Fixed.for_range(int(op.weight.min()), int(op.weight.max()), op.frac)
    shift = Fixed.for_range(int(op.bias.min()), int(op.bias.max()), op.bias_frac)
    weight = own.weight(named(to, "weight"), op.weight.T, kind)
    bias = own.weight(named(to, "bias"), op.bias, shift)
    call = f"gf::dense({x.text}, {weight}, {bias}, {to.text})"
    formula = f"{to.text} = {x.text} weight + bias"
    return Statement(formula, (call,), int(_hard(op.weight).sum()))


def named(to: Row, what: str) -> str:
    """A constant array of a row: ``query_weight``; the layer's own has no more than ``weight``."""
    point = to.text.removesuffix("_exact")
    return what if point in ("result", "exact", "linear") else f"{point}_{what}"


@states(MatMul)
def _matmul(op: MatMul, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    a, b = operands
    head = "" if b.value.shape[1] == 1 else "h, "
    if op.contract == "features":
        formula = f"[h, s] = sum_d {a.text}[h, d] {b.text}[s, {head}d]"
    else:
        formula = f"[h, d] = sum_s {a.text}[h, s] {b.text}[s, {head}d]"
    call = f"gf::matmul_{op.contract}<{heads(to.value)}>({a.text}, {b.text}, {to.text})"
    products = prod(features(to.value)) * a.value.shape[2]
    narrow = 1 in (a.value.fixed.width, b.value.fixed.width)
    return Statement(to.text + formula, (call,), 0 if narrow else products)


@states(Add)
def _add(op: Add, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    name, sign = ("subtract", "-") if op.subtract else ("add", "+")
    return _broadcast(name, sign, to, operands, 0)


@states(Mul)
def _mul(op: Mul, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    shape = features(to.value)
    products = np.ones(shape, np.bool_)
    for operand in operands:
        products &= _multiplied(operand.value)
    return _broadcast("multiply", "*", to, operands, int(products.sum()))


def _multiplied(value: Value) -> NDArray[np.bool_]:
    """Elements of a row, at any token, whose products need a multiplier."""
    if value.fixed.width == 1:
        return np.zeros(features(value), np.bool_)
    low, high = value.bounds
    needed = (low != high) | _hard(low)
    return needed.any(axis=0) if len(value.shape) > 1 else needed


def _hard(raw: IntArray) -> NDArray[np.bool_]:
    """Known factors that need a multiplier: all but 0 and powers of two."""
    size = abs(raw)
    found: NDArray[np.bool_] = size & (size - 1) != 0
    return found


def _broadcast(
    name: str, sign: str, to: Row, operands: tuple[Operand, ...], multiplies: int
) -> Statement:
    shape = features(to.value)
    parts = [_meets(operand, shape, to.text, number) for number, operand in enumerate(operands)]
    where = ", ".join(part[0] for part in parts)
    texts = ", ".join(part[1] for part in parts)
    formula = f"{to.text} = {operands[0].text} {sign} {operands[1].text}"
    spread = (call for part in parts for call in part[3])
    calls = (*spread, f"gf::{name}<{where}>({texts}, {to.text})")
    before = tuple(line for part in parts for line in part[2])
    return Statement(formula, calls, multiplies, before)


def _meets(
    operand: Operand, shape: Shape, name: str, number: int
) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    """How an operand's elements meet the result's: index, text, declarations, calls before."""
    own = features(operand.value)
    if own == shape:
        return "gf::each", operand.text, (), ()
    if prod(own) == 1:
        return "gf::only", operand.text, (), ()
    for axis in range(1, len(shape)):
        if own == (*shape[:axis], *(1 for _ in shape[axis:])):
            return f"gf::per<{prod(shape[axis:])}>", operand.text, (), ()
        if own == (*(1 for _ in shape[:axis]), *shape[axis:]):
            return f"gf::modulo<{prod(own)}>", operand.text, (), ()
    where = np.broadcast_to(np.arange(prod(own)).reshape(own), shape).ravel()
    spread = f"{name}_operand{number}"
    before = (*_places(spread, where), f"{fixed(operand.value.fixed)} {spread}[{prod(shape)}];")
    return "gf::each", spread, before, (f"gf::gather({operand.text}, {spread}_from, {spread})",)


def _places(name: str, where: IntArray) -> tuple[str, ...]:
    """A constant array of indices."""
    listed = ", ".join(str(int(place)) for place in where)
    return (f"static const unsigned {name}_from[{len(where)}] = {{{listed}}};",)


@states(Cast)
def _cast(op: Cast, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    (x,) = operands
    formula = f"{to.text} = {x.text}, {how(op)}"
    return Statement(formula, (f"gf::cast<{modes(op)}>({x.text}, {to.text})",))


@states(Rescale)
def _rescale(op: Rescale, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    (x,) = operands
    formula = f"{to.text} = {x.text} * 2^{op.power}"
    return Statement(formula, (f"gf::rescale({x.text}, {to.text})",))


@states(Lookup)
def _lookup(op: Lookup, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    (x,) = operands
    kind = to.value.fixed
    about = f"{to.text} of {x.text}, a {x.value.fixed}, as raw integers of {kind}"
    table = own.table(named(to, "table"), wrap(op.table, kind), kind, about)
    call = "lookup" if op.table.ndim == 1 else "embed"
    return Statement(f"{to.text} = table({x.text})", (f"gf::{call}({x.text}, {table}, {to.text})",))


@states(Normalize)
def _normalize(op: Normalize, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    (x,) = operands
    formula = f"{to.text} = zeros above the leading one of {x.text}"
    even = ", rounded down to even" if op.even else ""
    call = f"gf::leading_zeros<{str(op.even).lower()}>({x.text}, {to.text})"
    return Statement(formula + even, (call,))


@states(Shift)
def _shift(op: Shift, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    x, amount = operands
    most = int(amount.value.bounds[1].max())
    where, text, before, calls = _meets(amount, features(x.value), to.text, 1)
    call = f"gf::shift<{most}, {modes(op)}, {where}>({x.text}, {text}, {to.text})"
    formula = f"{to.text} = {x.text} * 2^{amount.text}, {how(op)}"
    return Statement(formula, (*calls, call), before=before)


@states(Reduce)
def _reduce(op: Reduce, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    (x,) = operands
    name = "sum" if op.kind == "sum" else "maximum"
    if op.axis == "features":
        formula = f"{to.text} = {op.kind} of {x.text} over its last axis"
        return Statement(formula, (f"gf::{name}({x.text}, {to.text})",))
    start = _start(to)
    formula = f"{to.text} = {op.kind} of {x.text} over the tokens"
    return Statement(formula, (f"gf::{name}_tokens({x.text}, {start}, {to.text})",))


def _start(to: Row) -> str:
    """First element of the row, counted from token to token."""
    return "0" if to.token == "0" else f"{to.token} * {prod(features(to.value))}"


@states(Reshape)
def _reshape(op: Reshape, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    (x,) = operands
    if prod(features(x.value)) == prod(features(to.value)):
        return Statement(f"{to.text} = {x.text}, reshaped", (f"gf::copy({x.text}, {to.text})",))
    formula = f"{to.text} = the elements of {x.text} in a row"
    if to.token == "0":
        return Statement(formula, (f"gf::flatten({x.text}, {to.text})",))
    return _gathered(formula, to, x, np.arange(prod(x.value.shape)))


@states(Transpose)
def _transpose(op: Transpose, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    (x,) = operands
    formula = f"{to.text} = {x.text}, axes in the order {op.order}"
    if op.order == (0, 2, 1):
        call = f"gf::transpose<{x.value.shape[1]}>({x.text}, {to.text})"
        return Statement(formula, (call,))
    shape = x.value.shape
    where = np.transpose(np.arange(prod(shape)).reshape(shape), op.order)
    if op.order[0] == 0 or len(shape) == 1:
        row = where.reshape(to.value.shape[0], -1)[0] if len(shape) > 1 else where
        call = f"gf::gather({x.text}, {to.text}_from, {to.text})"
        return Statement(formula, (call,), before=_places(to.text, row.ravel()))
    return _gathered(formula, to, x, where)


def _gathered(formula: str, to: Row, x: Operand, where: IntArray) -> Statement:
    """A row from anywhere in a frame: token and feature of each of its elements, by token."""
    size = prod(features(x.value))
    rows = where.reshape(to.value.shape[0], -1)
    narrow = np.min_scalar_type(max(size, x.value.shape[0]) - 1).itemsize
    word = {1: "unsigned char", 2: "unsigned short"}.get(narrow, "unsigned")
    names = f"{to.text}_from_token", f"{to.text}_from_feature"
    before = tuple(
        f"static const {word} {name}[{len(rows)}][{rows.shape[1]}] = {{{listed_rows(places)}}};"
        for name, places in zip(names, divmod(rows, size), strict=True)
    )
    call = f"gf::gather_tokens({x.text}, {', '.join(names)}, {to.token}, {to.text})"
    return Statement(formula, (call,), before=before)


def listed_rows(places: IntArray) -> str:
    """A table of integers, row by row."""
    return ", ".join("{" + ", ".join(str(int(n)) for n in row) + "}" for row in places)


@states(Slice)
def _slice(op: Slice, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    (x,) = operands
    formula = f"{to.text} = {x.text}[{op.start}:{op.stop}] of the last axis"
    call = f"gf::slice<{op.start}, {features(x.value)[-1]}>({x.text}, {to.text})"
    return Statement(formula, (call,))


@states(Concat)
def _concat(op: Concat, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    size, start, calls = features(to.value)[-1], 0, []
    for x in operands:
        calls.append(f"gf::place<{start}, {size}>({x.text}, {to.text})")
        start += features(x.value)[-1]
    joined = ", ".join(x.text for x in operands)
    return Statement(f"{to.text} = {joined}, side by side", tuple(calls))
