"""From a lowered graph to an HLS project, through hls4ml.

Owns ``generate``. Imports the other modules of this package and, when called, hls4ml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from math import prod
from types import MappingProxyType

from gateformer.hw.hls.extension import ATTRIBUTES, class_of
from gateformer.hw.hls.layers import Layer, write_layer
from gateformer.hw.hls.names import HEADERS, LIBRARY, MACROS, Names
from gateformer.hw.hls.network import connect
from gateformer.hw.hls.phases import tokens
from gateformer.hw.hls.project import HlsSettings, Port, Project
from gateformer.hw.hls.scope import Site
from gateformer.hw.hls.statements import STATEMENTS, features
from gateformer.hw.hls.targets import TARGETS
from gateformer.hw.hls.units import Cut, Unit, cut
from gateformer.hw.hls.writing import Source, write_project
from gateformer.quant.errors import (
    GateformerError,
    Problems,
    ScheduleError,
    ToolError,
    TypeRangeError,
)
from gateformer.quant.graph import Graph
from gateformer.quant.ops.cast import Constant
from gateformer.quant.version import __version__

EXACT = 53
"""Bits of a whole number that a C++ double holds; hls4ml writes weights as decimals."""
WIDEST_INPUT = 100
"""Bits of an input that hls4ml takes: of a wider one it asks for a quantizer behind it."""


def generate(
    graph: Graph, settings: HlsSettings, kinds: Mapping[str, str] = MappingProxyType({})
) -> Project:
    """Make an HLS project of a lowered graph.

    Parameters
    ----------
    graph : Graph
        Primitives only, every value typed.
    settings : HlsSettings
        Backend, streams or arrays, reuse factors.
    kinds : mapping of str to str, optional
        Layer -> class of its composite in the imported graph, for names that say what it was.

    Returns
    -------
    Project
        The same bytes for the same input.

    Raises
    ------
    ToolError
        E505 without hls4ml, E504 with one that does not import.
    ScheduleError, TypeRangeError, Problems
        E304 for primitives without HLS, E311 for outputs that need no hardware, E312 for streams
        in that nothing reads, E202 for weights beyond a double and for inputs beyond hls4ml: all
        at once.
    """
    if lacking := without_hls4ml():
        raise lacking
    streams = settings.io_type == "io_stream"
    Problems.raise_if_any(
        [*_missing(graph), *_too_wide(graph), *(_unread(graph) if streams else [])]
    )
    target = TARGETS[settings.backend]
    top = Names().new(graph.name, LIBRARY | MACROS | HEADERS)
    parts = cut(graph)
    names = Names(top, *ATTRIBUTES)
    inputs = {value: names.new(value, LIBRARY | MACROS) for value in graph.inputs}
    functions = [names.new(unit.layer, MACROS) for unit in parts.units]
    wires = dict(inputs)
    for unit, function in zip(parts.units, functions, strict=True):
        for value in unit.writes:
            own = len(unit.writes) == 1 or value == unit.layer
            wires[value] = function if own else names.new(value)
    beats = {value: f"{wire}_t" for value, wire in wires.items()}
    if len(graph.outputs) == 1 and not (streams and _is_read(parts, graph.outputs[0])):
        beats[graph.outputs[0]] = "result_t"
    site = Site(graph, parts.constants, settings.io_type, target.dialect, names, beats)
    layers = [
        write_layer(site, unit, function, _about(graph, unit, kinds))
        for unit, function in zip(parts.units, functions, strict=True)
    ]
    Problems.raise_if_any(_inexact(layers))
    network = connect(graph, parts.units, layers, wires, streams)
    classes = {
        function: class_of(kinds.get(unit.layer), unit.nodes)
        for unit, function in zip(parts.units, functions, strict=True)
    }
    reuse = {
        function: settings.reuse(unit.layer)
        for unit, function in zip(parts.units, functions, strict=True)
    }
    source = Source(top, graph, settings, target, network, beats, classes, reuse)
    files = write_project(source)
    ports_in = tuple(_port(graph, value, inputs[value]) for value in graph.inputs)
    ports_out = tuple(
        _port(graph, value, f"{wire}_out")
        for value, wire in zip(graph.outputs, network.outputs, strict=True)
    )
    between = tuple(
        _port(graph, value, f"{wires[value]}_out")
        for unit in parts.units
        for value in unit.writes
        if value not in graph.outputs
    )
    return Project(graph.name, settings, top, MappingProxyType(files), ports_in, ports_out, between)


def without_hls4ml() -> ToolError | None:
    """What is wrong with hls4ml here, if anything is."""
    fix = "pip install -e '.[hls]'"
    if find_spec("hls4ml") is None:
        cause = "HLS projects are written through it"
        return ToolError("E505", "hls4ml is not installed", cause=cause, fix=fix)
    try:
        import_module("hls4ml.backends")
        import_module("hls4ml.model.graph")
    except Exception as error:
        cause = f"Its import raises {type(error).__name__}: {error}"
        return ToolError("E504", "hls4ml cannot be used", cause=cause, fix=fix)
    return None


def _port(graph: Graph, value: str, variable: str) -> Port:
    found = graph.values[value]
    return Port(value, variable, tokens(found), prod(features(found)), found.fixed)


def _is_read(parts: Cut, value: str) -> bool:
    return any(value in unit.reads for unit in parts.units)


def _about(graph: Graph, unit: Unit, kinds: Mapping[str, str]) -> Sequence[str]:
    kind = kinds.get(unit.layer, "")
    what = f"{unit.layer}{f' ({kind})' if kind else ''}"
    return (
        f"generated by gateformer {__version__} from model '{graph.name}': {what}",
        "to regenerate: gateformer generate hls DESIGN",
    )


def _missing(graph: Graph) -> list[GateformerError]:
    """Primitives that nothing writes."""
    return [
        ScheduleError(
            "E304",
            "operation without HLS",
            layer=graph.values[node.output].layer,
            kind=type(node.op).__name__,
            cause=f"hw.hls knows {', '.join(sorted(kind.__name__ for kind in STATEMENTS))}",
            fix="register a statement for it (docs/extend.md)",
        )
        for node in graph.nodes
        if type(node.op) not in STATEMENTS and not isinstance(node.op, Constant)
    ]


def _too_wide(graph: Graph) -> list[GateformerError]:
    """Inputs that hls4ml does not take."""
    return [
        TypeRangeError(
            "E202",
            "an input too wide for HLS",
            layer=name,
            cause=f"it is {graph.values[name].fixed}; hls4ml takes {WIDEST_INPUT} bits",
            fix="use a narrower type",
        )
        for name in graph.inputs
        if graph.values[name].fixed.width > WIDEST_INPUT
    ]


def _unread(graph: Graph) -> list[GateformerError]:
    """Inputs whose beats would never be taken, so that their source would wait for ever."""
    readers = graph.consumers()
    return [
        ScheduleError(
            "E312",
            "an input that nothing reads",
            layer=name,
            cause="Its stream would fill up and stop whatever writes it",
            fix="leave it out of the model, or generate arrays (io_parallel)",
        )
        for name in graph.inputs
        if not readers[name]
    ]


def _inexact(layers: Sequence[Layer]) -> list[GateformerError]:
    return [
        TypeRangeError(
            "E202",
            "a weight too wide for HLS",
            layer=layer.function,
            cause=f"'{weight.name}' is {weight.type}; a C++ double holds {EXACT} bits",
            fix="use a narrower type",
        )
        for layer in layers
        for weight in layer.weights
        if weight.type.width > EXACT
    ]
