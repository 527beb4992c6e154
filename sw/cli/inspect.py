"""``gateformer inspect``: a model's layers, and all that cannot be imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from gateformer.cli.shared import DesignArgument, JsonOption, Overrides, print_json, read

if TYPE_CHECKING:
    from rich.table import Table

    from gateformer.flow.layers import LayerRow


def command(
    design: DesignArgument, override: Overrides = None, as_json: JsonOption = False
) -> None:
    """List a model's layers; what cannot be imported is listed all at once."""
    from rich.console import Console

    from gateformer.flow.layers import layer_rows, multiplies
    from gateformer.flow.steps.importing import Import
    from gateformer.flow.view import Memory
    from gateformer.quant.passes.prepare import prepare

    view = Memory(read(design, override))
    graph = view.get(Import)
    rows = layer_rows(graph)
    folded, notes = prepare(graph)
    counts = {"unfolded": multiplies(graph), "folded": multiplies(folded)}
    if as_json:
        layers = [asdict(row) for row in rows]
        folds = [asdict(note) for note in notes]
        answer = {"name": graph.name, "layers": layers, "multiplies": counts, "folds": folds}
        print_json(answer)
        return
    console = Console()
    console.print(table(rows))
    parameters = sum(row.parameters for row in rows)
    console.print(f"{len(rows)} layers, {parameters:,} parameters", highlight=False)
    if counts["folded"]:
        console.print(
            f"{counts['unfolded']:,} data x data multiplies a frame, {counts['folded']:,} with "
            f"heads folded ({counts['unfolded'] / counts['folded']:.1f} x fewer)",
            highlight=False,
        )


def table(rows: Sequence[LayerRow]) -> Table:
    """Return the table of layers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    result = Table(box=SIMPLE_HEAD)
    for heading in ("layer", "operations", "shape"):
        result.add_column(heading, overflow="fold")
    result.add_column("parameters", justify="right")
    result.add_column("quantizers", overflow="fold")
    for row in rows:
        shape = " x ".join(map(str, row.shape))
        count = f"{row.parameters:,}" if row.parameters else ""
        result.add_row(Text(row.name), row.kind, shape, count, Text(row.quantizers))
    return result
