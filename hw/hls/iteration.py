"""Iterations: the text of one phase's loop, token by token.

Owns ``Iteration``, ``iteration``, ``call``, ``apart`` and ``indent``. Imports scopes and
statements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from gateformer.hw.hls import shift_statements
from gateformer.hw.hls.names import fixed
from gateformer.hw.hls.phases import Access, Frame, accesses, moves, tokens
from gateformer.hw.hls.scope import Lines, Scope
from gateformer.hw.hls.statements import STATEMENTS, Operand, Row, Statement, features
from gateformer.quant.graph import Node
from gateformer.quant.ops.reduce import Reduce

REGISTERED = (shift_statements,)
"""Modules imported for the statements that they register."""

COLUMNS = 100
"""Longest line where it can be helped."""


@dataclass(frozen=True, slots=True)
class Iteration:
    """One token's way through a phase, as text.

    Attributes
    ----------
    before, after : list of str
        Lines around the loop over tokens.
    fetch, compute, leave : list of str
        Rows come in, give others, and go out. ``compute`` is the same for every token, but for
        what starts at the first one of a running sum.
    rows, made : tuple of str
        Values that ``compute`` takes from ``fetch`` and gives to ``leave``.
    frames : tuple of Frame
        Frames that it reads whole.
    multiplies : int
        Multiplications of one token.
    """

    before: Lines
    fetch: Lines
    compute: Lines
    leave: Lines
    after: Lines
    rows: tuple[str, ...]
    made: tuple[str, ...]
    frames: tuple[Frame, ...]
    multiplies: int


def iteration(scope: Scope, number: int) -> Iteration:
    """Read a token, compute, write it; sums over tokens leave when the loop has ended."""
    phase, frames = scope.plan.phases[number], scope.plan.frames
    token = "t" if phase.tokens > 1 else "0"
    at = "" if scope.site.streams else f", {token}"
    rows: dict[str, Lines] = {}
    for name in phase.reads:
        row = scope.locals[name]
        rows[name] = [*scope.declare(name), f"gf::read({row}_in{at}, {row});"]
    compute: list[Lines] = []
    multiplies = 0
    taken: set[tuple[str, bool]] = set()
    given: set[str] = set()
    for node in phase.nodes:
        statement, constants = _statement(scope, number, node, token, rows, given)
        lines = [f"// {statement.formula}", *constants, *scope.declare(node.output)]
        lines += [*statement.before, *(line for c in statement.calls for line in call(c))]
        if token == "t" and moves(scope.site.graph, node):
            rows[node.output] = lines
            continue
        compute.append(lines)
        multiplies += statement.multiplies
        found = zip(node.inputs, accesses(scope.site.graph, node), strict=True)
        taken |= {(name, access == "whole") for name, access in found}
    totals = [node.output for node in phase.totals]
    before, after = _totals(scope, number, compute)
    leaving = [value for value in phase.values if value not in totals]
    after += [*_leave(scope, number, totals, "0", ""), *_handed(scope, number)]
    made = {*phase.writes, *(frame.value for frame in frames if frame.source == number)}
    return Iteration(
        [*_gathered(scope, number), *before],
        apart(*rows.values()),
        apart(*compute),
        _leave(scope, number, leaving, token, at),
        after,
        tuple(name for name in rows if (name, False) in taken),
        tuple(name for name in leaving if name in made and name not in rows),
        tuple(f for f in frames if f.target == number and (f.value, True) in taken),
        multiplies,
    )


def _gathered(scope: Scope, number: int) -> Lines:
    """Frames of registers are taken in before the loop, and given a place where it fills them."""
    lines: Lines = []
    for frame, array in scope.arrays.items():
        if number in (frame.source, frame.target) and scope.inner(frame, number):
            lines += [f"{scope.frame(frame, array)};", *scope.site.dialect.partition(array)]
            if number == frame.target:
                lines.append(f"gf::copy({array}_in, {array});")
    return lines


def _handed(scope: Scope, number: int) -> Lines:
    """Frames of registers are given away after the loop."""
    return [
        f"gf::copy({array}, {array}_out);"
        for frame, array in scope.arrays.items()
        if number == frame.source and scope.inner(frame, number)
    ]


def _leave(scope: Scope, number: int, values: Iterable[str], token: str, at: str) -> Lines:
    """Rows go into frames and out of the layer."""
    wanted = set(values)
    lines = [
        f"gf::copy({scope.locals[frame.value]}, {array}[{token}]);"
        for frame, array in scope.arrays.items()
        if frame.source == number and frame.value in wanted
    ]
    phase = scope.plan.phases[number]
    out = [scope.locals[name] for name in phase.writes if name in wanted]
    return lines + [f"gf::write({row}{at}, {row}_out);" for row in out]


def _totals(scope: Scope, number: int, compute: list[Lines]) -> tuple[Lines, Lines]:
    """Sums and maxima over tokens: declared before the loop, complete after it."""
    before: Lines = []
    after: Lines = []
    for node in scope.plan.phases[number].totals:
        assert isinstance(node.op, Reduce)
        (source,) = node.inputs
        row, total = scope.locals[source], scope.locals[node.output]
        so_far = f"{total}_so_far"
        name = "sum" if node.op.kind == "sum" else "maximum"
        like = source if name == "maximum" else node.output
        before += scope.declare(node.output, so_far, like)
        formula = f"// {total} = {name} of {row} over the tokens"
        compute.append([formula, f"gf::{name}_next(t == 0, {row}, {so_far});"])
        after += [*scope.declare(node.output), f"gf::copy({so_far}, {total});"]
    return before, after


def _statement(
    scope: Scope, number: int, node: Node, token: str, rows: dict[str, Lines], given: set[str]
) -> tuple[Statement, Lines]:
    """One node's call, and the constant frames that it needs first; its rows join ``rows``."""
    phase = scope.plan.phases[number]
    operands: list[Operand] = []
    lines: Lines = []
    for name, access in zip(node.inputs, accesses(scope.site.graph, node), strict=True):
        if name in scope.site.constants:
            text, more = _constant(scope, name, access, token)
            if access == "row" and more:
                rows.setdefault(name, more)
            elif text not in given:
                lines += more
            given.add(text)
        elif access == "whole":
            text = scope.arrays[_frame(scope, name, number)]
        else:
            text = scope.locals[name]
            if name not in phase.values and name not in rows:
                array = scope.arrays[_frame(scope, name, number)]
                place = token if access == "row" else "0"
                rows[name] = [*scope.declare(name), f"gf::copy({array}[{place}], {text});"]
        operands.append(Operand(text, scope.value(name)))
    to = Row(scope.locals[node.output], scope.value(node.output), token)
    return STATEMENTS[type(node.op)](node.op, to, tuple(operands), scope.resources), lines


def _frame(scope: Scope, name: str, number: int) -> Frame:
    return next(f for f in scope.plan.frames if f.value == name and f.target == number)


def _constant(scope: Scope, name: str, access: Access, token: str) -> tuple[str, Lines]:
    """A constant operand: an array of weights, a row of one, or all of its rows."""
    value = scope.value(name)
    short, array = scope.weights(name)
    if access == "whole":
        size = f"[{tokens(value)}][{prod(features(value))}]"
        lines = [f"{fixed(value.fixed)} {short}{size};", *scope.site.dialect.partition(short)]
        return short, [*lines, f"gf::frame({array}, {short});"]
    if access == "first" or tokens(value) == 1:
        return array, []
    return short, [*scope.declare(name), f"gf::row({array}, {token}, {short});"]


def call(text: str) -> Lines:
    """A statement; the arguments of a call on a line of their own where it is long."""
    if len(text) < COLUMNS - 8 or not text.endswith(")"):
        return [f"{text};"]
    head, _, arguments = text.partition("(")
    return [f"{head}(", f"    {arguments[:-1]}", ");"]


def apart(*blocks: Lines) -> Lines:
    """Blocks with an empty line between them."""
    lines: Lines = []
    for block in filter(None, blocks):
        lines += [*([""] if lines else []), *block]
    return lines


def indent(lines: Lines) -> Lines:
    """One step to the right."""
    return [f"    {line}" if line else "" for line in lines]
