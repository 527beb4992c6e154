"""Arguments that several commands share, and what they all do with them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateformer.config.schema import Config
    from gateformer.flow.result import Result

DesignArgument = Annotated[
    Path, typer.Argument(metavar="DESIGN", help="A design.toml, its folder, or a model file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--override",
        metavar="KEY=VALUE",
        help="Set a key of the configuration, such as schedule.token_parallelism=3.",
    ),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="FILE", help="Inputs: a .npz or .npy file.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="The run's folder, in place of runs/<design>/<tag>."),
]
TagOption = Annotated[str, typer.Option("--tag", help="Name of the run among the design's.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")]


def read(design: Path, overrides: Iterable[str] | None, data: Path | None = None) -> Config:
    """Read the design with its overrides."""
    from gateformer.config.read import load

    given = list(overrides or ())
    if data is not None:
        given.append(f"data.file={json.dumps(str(data))}")
    return load(design, given)


def run_folder(config: Config, out: Path | None, tag: str) -> Path:
    """Return where a run goes."""
    from gateformer.config.schema import SAFE_NAME
    from gateformer.quant.errors import ConfigError

    if not SAFE_NAME.fullmatch(tag.replace("-", "_").replace(".", "_")):
        raise ConfigError(
            "E005", "invalid --tag", layer=tag, fix="Use letters, digits, '_', '-' and '.'"
        )
    return out if out is not None else Path("runs") / str(config.name) / tag


def run_steps(config: Config, folder: Path, targets: Iterable[str], as_json: bool) -> int:
    """Run steps with progress and a table at the end; returns the exit code."""
    from rich.console import Console

    from gateformer.flow.progress import watching
    from gateformer.flow.run import run
    from gateformer.flow.steps import all_steps

    with watching(Console(stderr=True)) as watcher:
        result = run(config, all_steps(), folder, targets, watcher)
    show(result, as_json)
    if result.error is None:
        return 0
    if not as_json:
        raise result.error
    return result.error.exit_code


def show(result: Result, as_json: bool) -> None:
    """Print what a run did."""
    if as_json:
        steps = [
            {"step": r.step, "status": r.status, "seconds": r.seconds, "note": r.note}
            for r in result.rows
        ]
        answer: dict[str, Any] = {
            "folder": str(result.folder),
            "steps": steps,
            "metrics": result.metrics,
        }
        if result.error is not None:
            answer |= {"error": result.error.as_dict(), "exit_code": result.error.exit_code}
        print_json(answer)
        return
    from rich.console import Console

    from gateformer.flow.progress import table

    console = Console()
    console.print(table(result.rows))
    skipped = sum(row.status == "skipped" for row in result.rows)
    if skipped:
        console.print(f"[yellow]{skipped} steps skipped: the table says why.[/]")
    typer.echo(f"Run: {result.folder}")


def print_json(answer: dict[str, Any]) -> None:
    """Print JSON."""
    typer.echo(json.dumps(answer, indent=2))
