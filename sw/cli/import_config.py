"""``gateformer import-config``: hls4ml's configuration as a ``design.toml``, line by line."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateformer.cli.shared import JsonOption, print_json
from gateformer.config.hls4ml_file import import_config
from gateformer.config.hls4ml_ledger import Row
from gateformer.flow.files import write_whole
from gateformer.quant.errors import RunError

DESIGN = "design.toml"


def command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An hls4ml_config.yml, or its folder.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The design's folder; by default this one."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FILE", help="The model, in place of the one it names."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a design.toml from hls4ml's configuration, and say what became of every line."""
    source = file / "hls4ml_config.yml" if file.is_dir() else file
    folder = out or Path()
    design = folder / DESIGN
    taken = folder if os.path.lexists(folder) and not folder.is_dir() else design
    if os.path.lexists(taken):
        raise RunError(
            "E708",
            "file that is there already",
            layer=str(taken),
            fix="Name another folder with --out, or move it away",
        )
    made = import_config(source, folder, model)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(design, made.text)
    if as_json:
        print_json({"design": str(design), "lines": [asdict(row) for row in made.rows]})
        return
    console = Console()
    kept = [row for row in made.rows if row.to]
    console.print(carried(kept))
    console.print(idle(row for row in made.rows if not row.to))
    console.print(
        f"{design}: {len(kept)} of {len(made.rows)} settings carried over.", highlight=False
    )
    typer.echo(f"Next: gateformer estimate {design}")


def carried(rows: Iterable[Row]) -> Table:
    """Return the table of the settings that a design has too."""
    result = _table("Carried over", "line", "hls4ml", "here")
    for row in rows:
        here = Text(row.to)
        if row.why:
            here.append(f"; {row.why}", "dim")
        result.add_row(str(row.line), Text(f"{_short(row.key)}: {row.value}"), here)
    return result


def idle(rows: Iterable[Row]) -> Table:
    """Return the table of all other settings: lines of one reason together."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.why, []).append(row)
    result = _table("Nothing to carry over", "lines", "hls4ml", "why")
    for reason, group in groups.items():
        lines = ", ".join(str(row.line) for row in group)
        keys = dict.fromkeys(_common(row.key) for row in group)
        result.add_row(lines, Text(", ".join(keys)), Text(reason))
    return result


def _table(title: str, *headings: str) -> Table:
    result = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for heading in headings:
        result.add_column(heading, overflow="fold")
    return result


def _short(key: str) -> str:
    return key.removeprefix("HLSConfig.")


def _common(key: str) -> str:
    """A key without the layer that it is of."""
    head, _, rest = _short(key).partition(".")
    return rest.partition(".")[2] if head in ("LayerName", "LayerType") else _short(key)
