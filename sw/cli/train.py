"""``gateformer train``: a design from a recipe, in QKeras or in Brevitas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateformer.cli.shared import JsonOption, print_json


def command(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe.toml, or its folder.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the design; absent: the recipe's."),
    ] = None,
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Where simulated events are kept.")
    ] = Path("runs/jets"),
    workers: Annotated[int, typer.Option(min=1, help="Processes that simulate events.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Train a network after a recipe, in floating point first, then with quantizers.

    The folder is then a design for `gateformer run`: the model, its test and calibration inputs
    and, from Brevitas, its own outputs. There an interrupted training goes on from its last epoch.
    """
    from gateformer.quant.train.dispatch import train

    def say(line: str) -> None:
        typer.echo(line, err=True)

    if recipe.is_dir():
        recipe = recipe / "recipe.toml"
    done = train(recipe, out or recipe.parent, data, workers, say)
    if as_json:
        print_json({"folder": str(done.folder), **done.figures})
        return
    for line in done.lines:
        typer.echo(line)
    typer.echo(f"Design: {done.folder}")
