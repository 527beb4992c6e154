"""``gateformer doctor``: what is installed, what each missing piece enables, how to get it."""

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateformer.quant.version import __version__
from gateformer.toolchains.find import Piece, meters, packages, programs


def command(
    as_json: bool = typer.Option(False, "--json", help="Print JSON in place of tables."),
) -> None:
    """Show what is installed and what each missing piece would enable."""
    found = {"packages": list(packages()), "programs": list(programs())}
    # No piece to get: a machine has a meter, or it has none.
    metering = list(meters())
    if as_json:
        shown = {**found, "meters": metering}
        pieces = {kind: [asdict(piece) for piece in group] for kind, group in shown.items()}
        head = {"gateformer": __version__, "python": platform.python_version()}
        typer.echo(json.dumps({**head, **pieces}, indent=2))
        return
    console = Console()
    console.print(f"gateformer {__version__} on Python {platform.python_version()}")
    for kind, group in found.items():
        console.print(table(kind.capitalize(), group))
    console.print(table("Meters", metering))
    missing = sum(not piece.found for group in found.values() for piece in group)
    console.print("Nothing is missing." if not missing else f"{missing} optional pieces missing.")


def table(title: str, pieces: Iterable[Piece]) -> Table:
    """Return the table of one kind of pieces."""
    result = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for heading in ("", "name", "version, or how to get it", "what it enables"):
        result.add_column(heading, overflow="fold")
    for piece in pieces:
        mark = Text("yes", "green") if piece.found else Text("no", "yellow")
        second = piece.version if piece.found else piece.get
        result.add_row(mark, piece.name, Text(second), piece.enables)
    return result
