"""Techniques by name: what a user switches on beside bits, each a change of the graph.

Owns ``TECHNIQUES``, ``Technique`` and ``parse``. Imports passes and pruning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import isfinite
from types import MappingProxyType

from gateformer.quant.errors import ConfigError
from gateformer.quant.expand import Attend, Attention, FoldedAttention
from gateformer.quant.expand.context import Note
from gateformer.quant.expand.shares import Shares
from gateformer.quant.graph import Graph
from gateformer.quant.passes.repq import repq
from gateformer.quant.passes.rewrite import rebuilt, steps_of
from gateformer.quant.ptq.observe import Seen
from gateformer.quant.ptq.pruning import prune_weights

Changed = tuple[Graph, tuple[Note, ...]]
Apply = Callable[[Graph, Mapping[str, Seen], float], Changed]


@dataclass(frozen=True, slots=True)
class Technique:
    """One technique.

    Attributes
    ----------
    apply : callable or None
        From a graph on reals, its values on data and the number given, to a graph and notes; None
        where it is a setting of the design, ``quantize.<name>``.
    default : float or None
        The number where none is given; None asks for one.
    folded : bool
        Whether it follows the folding of heads, or comes before.
    meaning : str
        What it does, and what its number is.
    """

    apply: Apply | None
    default: float | None
    folded: bool
    meaning: str


def _repq(graph: Graph, seen: Mapping[str, Seen], number: float) -> Changed:
    return repq(graph, {name: (x.lowest, x.highest) for name, x in seen.items()})


def _log_sqrt2(graph: Graph, seen: Mapping[str, Seen], number: float) -> Changed:
    return with_shares(graph, lambda keys: Shares("log_sqrt2", bits=round(number)))


def _clipped(graph: Graph, seen: Mapping[str, Seen], number: float) -> Changed:
    return with_shares(graph, lambda keys: Shares("clipped", gamma=max(-1.0, -number / keys)))


def with_shares(graph: Graph, shares: Callable[[int], Shares]) -> Changed:
    """Give every attention shares that depend on its number of keys."""
    steps = steps_of(graph)
    notes: list[Note] = []
    for node, step in zip(graph.nodes, steps, strict=True):
        op = step.op
        if isinstance(op, Attention | FoldedAttention):
            keys = graph.values[node.inputs[1]].shape[0]
        elif isinstance(op, Attend):
            keys = graph.values[node.inputs[0]].shape[2]
        else:
            continue
        found = shares(keys)
        step.op = replace(op, shares=found)
        notes.append(Note(step.layer, "softmax", f"shares: {found.kind}"))
    return rebuilt(graph, steps), tuple(notes)


TECHNIQUES: Mapping[str, Technique] = MappingProxyType(
    {
        "repq": Technique(
            _repq,
            0.0,
            False,
            "normalizations hand on features of one range, the next matrices take it back",
        ),
        "prune": Technique(
            prune_weights,
            None,
            True,
            "a share of each output's weights becomes zero, such as prune=0.3",
        ),
        "log_sqrt2": Technique(
            _log_sqrt2,
            4.0,
            True,
            "softmax's shares become powers of sqrt(2); the number is their bits",
        ),
        "clipped_softmax": Technique(
            _clipped,
            4.0,
            True,
            "shares are stretched below 0 by the number over the keys, and cut there",
        ),
        "truncate": Technique(
            None,
            2.0,
            True,
            "sums of matrices leave out bits that far below what is kept of them",
        ),
    }
)
"""By name, in the order in which they are applied."""


def parse(texts: Iterable[str]) -> dict[str, float]:
    """Read ``NAME`` or ``NAME=NUMBER``; all faults at once.

    Raises
    ------
    ConfigError, Problems
        E005 for unknown names and for numbers that are none.
    """
    from gateformer.quant.errors import Problems

    faults: list[ConfigError] = []
    found: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        known = TECHNIQUES.get(name)
        if known is None:
            near = get_close_matches(name, TECHNIQUES, 1)
            fix = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(TECHNIQUES)}"
            faults.append(ConfigError("E005", "unknown technique", layer=text, fix=fix))
            continue
        try:
            value = float(number) if equals else known.default
        except ValueError:
            value = None
        if value is None or not isfinite(value):
            fix = f"write {name}=NUMBER: {known.meaning}"
            faults.append(ConfigError("E005", "technique without a number", layer=text, fix=fix))
            continue
        found[name] = value
    Problems.raise_if_any(faults)
    return {name: found[name] for name in TECHNIQUES if name in found}
