"""Iterations: the text of one phase's loop, token by token.

Owns ``Site``, ``Scope``, ``Iteration`` and ``iteration``. Imports phases, statements and dialects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from gateformer.hw.hls.dialect import Dialect
from gateformer.hw.hls.names import Names, fixed
from gateformer.hw.hls.phases import (
    Access,
    Frame,
    Phases,
    accesses,
    moves,
    phases,
    tokens,
)
from gateformer.hw.hls.project import IoType
from gateformer.hw.hls.statements import (
    STATEMENTS,
    Operand,
    Resources,
    Row,
    Statement,
    features,
)
from gateformer.hw.hls.units import Unit
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.base import Value
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import IntArray

Lines = list[str]

COLUMNS = 100
"""Longest line where it can be helped."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a layer is written: what it has in common with the rest of the project.

    Attributes
    ----------
    graph : Graph
        The network.
    constants : mapping of str to ndarray
        Raw integers of its constant values.
    io_type : IoType
        Streams or arrays.
    dialect : Dialect
        The vendor's manner.
    names : Names
        Global C++ names.
    beats : mapping of str to str
        C++ type of each value that passes between layers.
    """

    graph: Graph
    constants: Mapping[str, IntArray]
    io_type: IoType
    dialect: Dialect
    names: Names
    beats: Mapping[str, str]

    @property
    def streams(self) -> bool:
        """Whether beats pass through streams."""
        return self.io_type == "io_stream"

    @property
    def longest(self) -> int:
        """Beats of the longest frame between layers: intervals in which a frame passes."""
        return max(tokens(self.graph.values[name]) for name in self.beats) if self.streams else 1


@dataclass(slots=True)
class Scope:
    """The names inside one unit.

    Attributes
    ----------
    site : Site
        The project.
    unit : Unit
        The unit.
    function : str
        Its C++ function.
    plan : Phases
        Its loops.
    resources : Resources
        Its weights and tables so far.
    locals : dict of str to str
        C++ variable of each value's row.
    arrays : dict of Frame to str
        C++ variable of each frame.
    """

    site: Site
    unit: Unit
    function: str
    plan: Phases = field(init=False)
    resources: Resources = field(init=False)
    locals: dict[str, str] = field(init=False)
    arrays: dict[Frame, str] = field(init=False)
    _names: Names = field(init=False)
    _weights: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        site, unit = self.site, self.unit
        self.plan = phases(site.graph, unit, site.constants, running=site.streams)
        self.resources = Resources(self.function, site.names)
        self._names = Names()
        self._weights = {}
        self.locals = {name: self._names.new(name) for name in unit.reads}
        for node in unit.nodes:
            name = node.output
            short = name.removeprefix(f"{unit.layer}/")
            self.locals[name] = "result" if name == unit.layer else self._names.new(short)
        self.arrays = {}
        for frame in self.plan.frames:
            others = sum(other.value == frame.value for other in self.arrays)
            number = str(others + 1) if others else ""
            self.arrays[frame] = f"{self.locals[frame.value]}_frame{number}"

    def value(self, name: str) -> Value:
        """A value of the graph."""
        return self.site.graph.values[name]

    def declare(self, name: str, row: str = "", like: str = "") -> Lines:
        """A row as a partitioned array, of the type of the value ``like``."""
        row = row or self.locals[name]
        return [f"{self.typed(name, row, like)};", *self.site.dialect.partition(row)]

    def typed(self, name: str, row: str, like: str = "") -> str:
        """A row as an array or a parameter."""
        kind = self.value(like or name).fixed
        return f"{fixed(kind)} {row}[{prod(features(self.value(name)))}]"

    def frame(self, frame: Frame, array: str) -> str:
        """A frame as an array or a parameter."""
        value = self.value(frame.value)
        return f"{fixed(value.fixed)} {array}[{tokens(value)}][{prod(features(value))}]"

    def at_once(self, frame: Frame) -> bool:
        """Whether a frame is registers, all read at once; else it is a memory of tokens."""
        whole = frame.whole or tokens(self.value(frame.value)) == 1
        return whole or not self.site.streams

    def inner(self, frame: Frame, number: int) -> bool:
        """Whether a phase keeps such a frame to itself while its loop runs.

        Between processes each register is a channel, written once a run and read once.
        """
        phase = self.plan.phases[number]
        total = any(node.output == frame.value for node in phase.totals)
        return self.site.streams and self.at_once(frame) and phase.tokens > 1 and not total

    def weights(self, name: str) -> tuple[str, str]:
        """The local name of a constant, and the array of weights that holds it."""
        if name not in self._weights:
            value = self.value(name)
            short = self._names.new(name.removeprefix(f"{value.layer}/"))
            self.locals[name] = short
            raw = self.site.constants[name]
            self._weights[name] = self.resources.weight(short, raw, value.fixed)
        return self.locals[name], self._weights[name]


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
    compute: Lines = []
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
        compute += [*lines, ""]
        multiplies += statement.multiplies
        found = zip(node.inputs, accesses(scope.site.graph, node), strict=True)
        taken |= {(name, access == "whole") for name, access in found}
    totals = [node.output for node in phase.totals]
    before, after = _totals(scope, number, compute)
    before = [*_gathered(scope, number), *before]
    leaving = [value for value in phase.values if value not in totals]
    after += [*_leave(scope, number, totals, "0", ""), *_handed(scope, number)]
    made = {*phase.writes, *(frame.value for frame in frames if frame.source == number)}
    return Iteration(
        before,
        [line for lines in rows.values() for line in (*lines, "")],
        compute,
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
    return [*lines, ""] if lines else []


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


def _totals(scope: Scope, number: int, compute: Lines) -> tuple[Lines, Lines]:
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
        compute += [f"// {total} = {name} of {row} over the tokens"]
        compute += [f"gf::{name}_next(t == 0, {row}, {so_far});", ""]
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


def indent(lines: Lines) -> Lines:
    """One step to the right."""
    return [f"    {line}" if line else "" for line in lines]
