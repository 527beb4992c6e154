"""``gateformer quantize``: a trained network in few bits, without training, as a new design."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateformer.cli.shared import (
    DataOption,
    DesignArgument,
    JsonOption,
    Overrides,
    print_json,
    read,
)

if TYPE_CHECKING:
    from rich.table import Table

    from gateformer.flow.quantizing import Answer


class Scheme(StrEnum):
    """Steps of weights."""

    per_tensor = "per-tensor"
    per_channel = "per-channel"


class Method(StrEnum):
    """How ranges are chosen."""

    max = "max"
    percentile = "percentile"
    mse = "mse"


class Step(StrEnum):
    """Kinds of steps."""

    power_of_two = "power-of-two"
    float = "float"


class Rounding(StrEnum):
    """How weights are rounded."""

    compensated = "compensated"
    nearest = "nearest"


class Metric(StrEnum):
    """What a loss is of."""

    accuracy = "accuracy"
    auc = "auc"
    rms = "rms"


def command(
    design: DesignArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The new design; by default <design>_quantized."),
    ] = None,
    weights: Annotated[int, typer.Option("--weights", help="Bits of a weight.")] = 8,
    activations: Annotated[
        int, typer.Option("--activations", help="Bits of a value that is multiplied.")
    ] = 8,
    scheme: Annotated[
        Scheme, typer.Option("--scheme", help="One step a matrix, or one an output.")
    ] = Scheme.per_channel,
    step: Annotated[
        Step, typer.Option("--step", help="Steps that are powers of two, or any number.")
    ] = Step.power_of_two,
    method: Annotated[
        Method, typer.Option("--method", help="How the ranges of weights are chosen.")
    ] = Method.mse,
    activation_method: Annotated[
        Method | None,
        typer.Option("--activation-method", help="Likewise of activations; by default as weights."),
    ] = None,
    percentile: Annotated[
        float, typer.Option("--percentile", help="Per cent of the magnitudes inside a range.")
    ] = 99.9,
    rounding: Annotated[
        Rounding,
        typer.Option("--rounding", help="Whether weights make up for each other's rounding."),
    ] = Rounding.compensated,
    width: Annotated[
        list[str] | None,
        typer.Option("--width", metavar="PLACE=BITS", help="Bits of one place; repeatable."),
    ] = None,
    technique: Annotated[
        list[str] | None,
        typer.Option(
            "--technique",
            metavar="NAME[=NUMBER]",
            help="repq, prune=SHARE, log_sqrt2=BITS, clipped_softmax=ALPHA, truncate=BITS.",
        ),
    ] = None,
    bits: Annotated[
        float | None,
        typer.Option("--bits", help="Search widths for this mean of weights and of activations."),
    ] = None,
    loss: Annotated[
        float | None,
        typer.Option("--loss", help="Search the least widths that lose so much of the metric."),
    ] = None,
    metric: Annotated[Metric, typer.Option("--metric", help="What --loss is of.")] = (
        Metric.accuracy
    ),
    override: Overrides = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Quantize a trained network without training, and write it as a design that can be run."""
    from rich.console import Console

    from gateformer.flow.progress import watching
    from gateformer.flow.quantizing import quantize, widths_of
    from gateformer.quant.ptq.mixed import Goal
    from gateformer.quant.ptq.settings import Recipe
    from gateformer.quant.ptq.techniques import parse

    techniques = parse(technique or ())
    recipe = Recipe(
        weights=weights,
        activations=activations,
        scheme=scheme.value,
        step=step.value,
        weight_method=method.value,
        activation_method=(activation_method or method).value,
        percentile=percentile,
        rounding=rounding.value,
        widths=widths_of(width or ()),
    )
    goal = None if bits is None and loss is None else Goal(bits, loss, metric.value)
    config = read(design, override, data)
    with watching(Console(stderr=True)) as watcher:
        answer = quantize(config, recipe, techniques, goal, out, watcher.progress)
    if as_json:
        print_json(asdict(answer) | {"folder": str(answer.folder)})
        return
    console = Console()
    console.print(table(answer))
    for line in answer.summary():
        console.print(line, highlight=False)
    typer.echo(f"Next: gateformer run {answer.folder}")


def table(answer: Answer) -> Table:
    """Return the table of places."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    result = Table(box=SIMPLE_HEAD)
    result.add_column("place", overflow="fold")
    result.add_column("kind")
    for heading in ("elements", "bits"):
        result.add_column(heading, justify="right")
    result.add_column("step", overflow="fold")
    result.add_column("error", justify="right")
    for row in answer.rows:
        error = "" if row.error is None else f"{row.error:.2%}"
        result.add_row(
            Text(row.place), row.kind, f"{row.elements:,}", str(row.bits), row.step, error
        )
    return result
