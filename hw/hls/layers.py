"""Layers as text: one header a unit, ``firmware/layers/<function>.h``.

Owns ``Layer`` and ``write_layer``. Imports its functions, units and statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateformer.hw.hls.arrays import ArrayFunctions
from gateformer.hw.hls.phases import Phases
from gateformer.hw.hls.scope import Scope, Site
from gateformer.hw.hls.statements import Table, Weight
from gateformer.hw.hls.streams import StreamFunctions
from gateformer.hw.hls.units import Unit


@dataclass(frozen=True, slots=True)
class Layer:
    """A unit's function as text.

    Attributes
    ----------
    function : str
        The C++ function; ``firmware/layers/<function>.h`` defines it.
    text : str
        That file.
    weights : tuple of Weight
        Constant arrays that hls4ml writes.
    tables : tuple of Table
        Look-up tables.
    constants : mapping of str to str
        What the layer's configuration holds beside its reuse factor: name -> C++ expression.
    waits : mapping of str to int
        Value that leaves -> whole frames gathered before its first token does.
    """

    function: str
    text: str
    weights: tuple[Weight, ...]
    tables: tuple[Table, ...]
    constants: Mapping[str, str]
    waits: Mapping[str, int]


def write_layer(site: Site, unit: Unit, function: str, about: Sequence[str]) -> Layer:
    """Write a unit's header.

    Parameters
    ----------
    site : Site
        The project.
    unit : Unit
        What the layer computes.
    function : str
        Its C++ function.
    about : sequence of str
        Lines of comment at the top.
    """
    scope = Scope(site, unit, function)
    functions = StreamFunctions(scope) if site.streams else ArrayFunctions(scope)
    body = functions.write()
    own = scope.resources
    includes = ["../defines.h", "../gf/gf.h"]
    includes += [f"../tables/{table.name}.h" for table in own.tables]
    includes += [f"../weights/{weight.name}.h" for weight in own.weights]
    guard = f"GF_LAYER_{function.upper()}_H_"
    lines = [
        *(f"// {line}" for line in about),
        "",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        *(f'#include "{name}"' for name in includes),
        "",
        *body,
        "",
        "#endif",
    ]
    weights, tables = tuple(own.weights), tuple(own.tables)
    waits = dict(_waits(scope.plan))
    return Layer(function, "\n".join(lines) + "\n", weights, tables, functions.constants, waits)


def _waits(plan: Phases) -> Iterable[tuple[str, int]]:
    for phase in plan.phases:
        totals = {node.output for node in phase.totals}
        for name in phase.writes:
            yield name, phase.level + (name in totals)
