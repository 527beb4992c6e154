"""From a trained network to its quantized form: techniques, folding, widths, types.

Owns ``make``, ``joined`` and ``Made``. Imports the pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from gateformer.quant.expand.context import Note, Options
from gateformer.quant.graph import Graph
from gateformer.quant.passes.fold_affine import fold_affine
from gateformer.quant.passes.fold_heads import fold_heads
from gateformer.quant.passes.fuse_attend import fuse_attend
from gateformer.quant.passes.join_attention import join_attention
from gateformer.quant.ptq.apply import quantize
from gateformer.quant.ptq.bits import Bits, average_bits
from gateformer.quant.ptq.evaluate import lowered
from gateformer.quant.ptq.mixed import Goal, Progress, Trial, allocate
from gateformer.quant.ptq.observe import observe
from gateformer.quant.ptq.places import Place, places
from gateformer.quant.ptq.settings import Recipe
from gateformer.quant.ptq.techniques import TECHNIQUES
from gateformer.quant.types import Fixed, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A quantized network.

    Attributes
    ----------
    graph : Graph
        With its quantizers; the design's model.
    types : mapping of str to Fixed
        For the design: of points inside layers and of outputs.
    typed : Graph
        What a run of the design lowers to, on the same data.
    recipe : Recipe
        With the width of every place.
    places : tuple of Place
        The quantizers.
    steps : mapping of str to str
        Type or steps of each.
    errors : mapping of str to float
        Relative root mean square of what each changes.
    bits : Bits
        Means over the typed graph.
    notes : tuple of Note
        What techniques, folding and lowering decided.
    sensitivity : mapping
        As `Choice` has it; empty where no width was searched.
    """

    graph: Graph
    types: Mapping[str, Fixed]
    typed: Graph
    recipe: Recipe
    places: tuple[Place, ...]
    steps: Mapping[str, str]
    errors: Mapping[str, float]
    bits: Bits
    notes: tuple[Note, ...]
    sensitivity: Mapping[str, Mapping[int, float]] = field(
        default_factory=lambda: MappingProxyType({})
    )


def joined(graph: Graph) -> tuple[Graph, tuple[Note, ...]]:
    """What is equal on reals and leaves less to quantize: attention in one, affine maps in none."""
    graph, attention = join_attention(graph)
    graph, affine = fold_affine(graph)
    return fuse_attend(graph), (*attention, *affine)


def make(
    graph: Graph,
    data: Mapping[str, FloatArray],
    recipe: Recipe,
    *,
    techniques: Mapping[str, float] = MappingProxyType({}),
    goal: Goal | None = None,
    labels: IntArray | None = None,
    options: Options | None = None,
    fold: bool = True,
    types: Mapping[str, Fixed] = MappingProxyType({}),
    progress: Progress | None = None,
) -> Made:
    """Quantize a trained network without training.

    Parameters
    ----------
    graph : Graph
        As imported.
    data : mapping of str to ndarray of float64, (n, *shape)
        Calibration inputs.
    recipe : Recipe
        Widths and methods.
    techniques : mapping of str to float
        From ``techniques.parse``.
    goal : Goal, optional
        Lets the widths be searched.
    labels : ndarray of int, (n,), optional
        Classes, for a goal's metric.
    options : Options, optional
        For the lowering.
    fold : bool
        Whether attention may be folded.
    types : mapping of str to Fixed
        The user's own, which win.
    progress : callable, optional
        Told how many of all trials are done.
    """
    options = options or Options()
    graph, told = joined(graph)
    notes = [*told]
    for folded in (False, True):
        if folded:
            graph, told = fold_heads(graph, fold)
            notes += told
        for name, number in techniques.items():
            technique = TECHNIQUES[name]
            if technique.folded is folded and technique.apply is not None:
                graph, told = technique.apply(graph, observe(graph, data), number)
                notes += told
    seen = observe(graph, data)
    sensitivity: Mapping[str, Mapping[int, float]] = MappingProxyType({})
    if goal is not None:
        trial = Trial(graph, seen, data, options, labels)
        choice = allocate(trial, recipe, goal, progress)
        recipe, sensitivity = choice.recipe, choice.sensitivity
    quantized = quantize(graph, seen, recipe)
    found = lowered(quantized, data, options, recipe.table_bits, types)
    return Made(
        graph=quantized.graph,
        types=found.given,
        typed=found.lowered.graph,
        recipe=replace(recipe, widths=quantized.widths),
        places=places(graph),
        steps=quantized.steps,
        errors=quantized.errors,
        bits=average_bits(found.lowered.graph),
        notes=(*notes, *found.lowered.notes),
        sensitivity=sensitivity,
    )
