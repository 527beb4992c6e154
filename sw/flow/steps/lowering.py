"""Lower: every composite becomes primitives on integers; the graph is the design's definition."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from gateformer.config.schema import Config
from gateformer.flow.cache import cache_folder
from gateformer.flow.files import write_whole
from gateformer.flow.notes import write_notes
from gateformer.flow.step import Outcome, Step, View
from gateformer.flow.steps.calibrating import Calibrate
from gateformer.flow.steps.folding import Fold
from gateformer.quant.errors import Problems
from gateformer.quant.expand.context import Options
from gateformer.quant.graph import Graph
from gateformer.quant.lower import Lowered


class Lower(Step[Lowered]):
    """Expands composites into integer primitives."""

    name = "lower"
    needs = (Fold, Calibrate)
    floors = ("quant", "hw")
    uses = (
        "generate.adders",
        "quantize.multiplier_bits",
        "quantize.softmax",
        "quantize.truncate",
    )

    def make(self, view: View) -> Lowered:
        """Return the typed graph and the choices made; E001 for types that would change nothing."""
        from gateformer.quant.lower import lower_noted

        graph, _ = view.get(Fold)
        lowered = lower_noted(graph, view.get(Calibrate).types, options(view.config))
        Problems.raise_if_any(lowered.idle)
        guard = view.config.quantize.truncate
        if guard is None:
            return lowered
        from gateformer.hw.dataflow.truncate import truncate

        cache = cache_folder(view.config, "adders")
        graph, notes = truncate(lowered.graph, guard, view.config.generate.adders, cache)
        return replace(lowered, graph=graph, notes=(*lowered.notes, *notes))

    def write(self, view: View, product: Lowered, folder: Path) -> Outcome:
        """Write the graph, the type of every value and the choices."""
        from gateformer.quant.ptq.bits import average_bits
        from gateformer.quant.serialize import save

        save(product.graph, folder / "graph.json")
        write_notes(folder, product.notes)
        write_whole(folder / "types.json", json.dumps(value_types(product.graph), indent=1) + "\n")
        widest = max(value.fixed.width for value in product.graph.values.values())
        bits = average_bits(product.graph)
        metrics = {
            "lower.nodes": len(product.graph.nodes),
            "lower.widest_bits": widest,
            "lower.weight_bits": round(bits.weights, 3),
            "lower.activation_bits": round(bits.activations, 3),
        }
        return Outcome(metrics, f"{len(product.graph.nodes)} operations, widest {widest} bits")


def options(config: Config) -> Options:
    """Return how composites are expanded."""
    quantize = config.quantize
    return Options(softmax=quantize.softmax, multiplier_bits=quantize.multiplier_bits)


def value_types(graph: Graph) -> dict[str, str]:
    """Return each value's type."""
    return {name: str(value.fixed) for name, value in graph.values.items()}
