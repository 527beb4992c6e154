"""Import: the model's file, read as data, becomes a graph of layers on reals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from gateformer.config.schema import Config
from gateformer.flow.files import write_whole
from gateformer.flow.layers import layer_rows, multiplies
from gateformer.flow.step import Outcome, Step, View
from gateformer.quant.graph import Graph


class Import(Step[Graph]):
    """Reads the model."""

    name = "import"
    uses = ("name",)

    def files(self, config: Config) -> Iterable[Path]:
        """Yield the model's file."""
        yield Path(config.model)

    def make(self, view: View) -> Graph:
        """Return the graph, named after the design."""
        from gateformer.quant.frontends import load

        graph = load(Path(view.config.model))
        return replace(graph, name=view.config.name or graph.name)

    def write(self, view: View, product: Graph, folder: Path) -> Outcome:
        """Write the table of layers."""
        rows = layer_rows(product)
        text = json.dumps([asdict(row) for row in rows], indent=1)
        write_whole(folder / "layers.json", text + "\n")
        parameters = sum(row.parameters for row in rows)
        metrics = {
            "import.layers": len(rows),
            "import.parameters": parameters,
            "import.multiplies": multiplies(product),
        }
        return Outcome(metrics, f"{len(rows)} layers, {parameters:,} parameters")
