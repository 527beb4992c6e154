"""Scopes: what C++ calls the values of a unit, and how it declares them.

Owns ``Site`` and ``Scope``. Imports phases, resources of statements and dialects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from gateformer.hw.hls.dialect import Dialect
from gateformer.hw.hls.names import Names, fixed
from gateformer.hw.hls.phases import Frame, Phases, phases, tokens
from gateformer.hw.hls.project import IoType
from gateformer.hw.hls.statements import Resources, features
from gateformer.hw.hls.units import Unit
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Value
from gateformer.quant.types import IntArray

Lines = list[str]


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
