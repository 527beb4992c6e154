"""Fold: values in units of their steps; attention layers that take fewer multiplies so, folded."""

from __future__ import annotations

from pathlib import Path

from gateformer.flow.layers import multiplies
from gateformer.flow.notes import write_notes
from gateformer.flow.step import Outcome, Step, View
from gateformer.flow.steps.importing import Import
from gateformer.quant.expand.context import Note
from gateformer.quant.graph import Graph

Folded = tuple[Graph, tuple[Note, ...]]


class Fold(Step[Folded]):
    """Folds scales, then query with key and value with output projections."""

    name = "fold"
    needs = (Import,)
    uses = ("quantize.fold_affine", "quantize.fold_heads")

    def make(self, view: View) -> Folded:
        """Return the graph and what was decided for each layer."""
        from gateformer.quant.passes.prepare import prepare

        quantize = view.config.quantize
        return prepare(view.get(Import), heads=quantize.fold_heads, affine=quantize.fold_affine)

    def write(self, view: View, product: Folded, folder: Path) -> Outcome:
        """Write the decisions."""
        graph, notes = product
        write_notes(folder, notes)
        before, after = multiplies(view.get(Import)), multiplies(graph)
        folded = sum(note.detail.startswith("folded") for note in notes)
        metrics = {"fold.layers": folded, "fold.multiplies": after}
        told = f"{folded} layers; {before:,} data x data multiplies become {after:,}"
        return Outcome(metrics, told if folded else "no layer gains")
