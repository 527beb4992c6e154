"""Fold: values in units of their steps; attention layers that take fewer multiplies so, folded."""

from __future__ import annotations

from pathlib import Path

from gateformer.config.schema import Quantize
from gateformer.flow.layers import multiplies
from gateformer.flow.notes import write_notes
from gateformer.flow.step import Outcome, Step, View
from gateformer.flow.steps.importing import Import
from gateformer.quant.expand.context import Note
from gateformer.quant.expand.shares import PLAIN, Shares
from gateformer.quant.graph import Graph

Folded = tuple[Graph, tuple[Note, ...]]


class Fold(Step[Folded]):
    """Folds scales, then query with key and value with output projections."""

    name = "fold"
    needs = (Import,)
    uses = (
        "quantize.fold_affine",
        "quantize.fold_heads",
        "quantize.shares",
        "quantize.shares_alpha",
        "quantize.shares_bits",
    )

    def make(self, view: View) -> Folded:
        """Return the graph and what was decided for each layer."""
        from gateformer.quant.passes.prepare import prepare
        from gateformer.quant.ptq.techniques import with_shares

        quantize = view.config.quantize
        graph, notes = prepare(
            view.get(Import), heads=quantize.fold_heads, affine=quantize.fold_affine
        )
        if quantize.shares == "model":
            return graph, notes
        graph, told = with_shares(graph, lambda keys: shares(quantize, keys))
        return graph, (*notes, *told)

    def write(self, view: View, product: Folded, folder: Path) -> Outcome:
        """Write the decisions."""
        graph, notes = product
        write_notes(folder, notes)
        before, after = multiplies(view.get(Import)), multiplies(graph)
        folded = sum(note.detail.startswith("folded") for note in notes)
        metrics = {"fold.layers": folded, "fold.multiplies": after}
        told = f"{folded} layers; {before:,} data x data multiplies become {after:,}"
        return Outcome(metrics, told if folded else "no layer gains")


def shares(quantize: Quantize, keys: int) -> Shares:
    """Return the form of softmax's shares that a design asks for, over a number of keys."""
    if quantize.shares == "log_sqrt2":
        return Shares("log_sqrt2", bits=quantize.shares_bits)
    if quantize.shares == "clipped":
        return Shares("clipped", gamma=max(-1.0, -quantize.shares_alpha / keys))
    return PLAIN
