"""``gateformer study``: accuracy, bits and techniques beside LUTs, DSPs and cycles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateformer.cli.shared import JsonOption, print_json


def command(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY...", help="Studies' files.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Rows and plots; the page is DIR.md.")
    ] = Path("docs/study"),
    work: Annotated[
        Path, typer.Option("--work", metavar="DIR", help="Where trainings and runs are kept.")
    ] = Path("runs/study"),
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 1,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Run nothing: the page of recorded rows.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Train and build every point of studies, and put them side by side on a page.

    Points whose recipe, data, packages and sources are unchanged are reused; an interrupted study
    resumes. A point that fails is a row with its cause, and the exit code is then 1.
    """
    from gateformer.study.studying import study

    def say(line: str) -> None:
        typer.echo(line, err=True)

    failed = study(studies, out, work, jobs, say, recorded=recorded)
    page = out.with_suffix(".md")
    if as_json:
        causes = {f"{row.variant}, {row.bits} bits, seed {row.seed}": row.failed for row in failed}
        print_json({"page": str(page), "failed": causes})
    else:
        typer.echo(f"Page: {page}")
    return 1 if failed else 0
