"""``gateformer report``: the page of a run, written again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateformer.cli.shared import JsonOption, print_json


def command(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    as_json: JsonOption = False,
) -> None:
    """Write a run's report.html again: one file, readable offline."""
    from gateformer.flow.state import read_metrics
    from gateformer.report.html import write

    metrics = read_metrics(folder)
    page = write(folder)
    if as_json:
        print_json({"report": str(page), "metrics": metrics})
        return
    typer.echo(str(page))
