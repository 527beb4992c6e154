"""A recipe's file to a design's folder, whichever framework trains.

Owns ``Done`` and ``train``. Imports the frameworks' own modules on demand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateformer.quant.errors import ConfigError
from gateformer.quant.train.held import held
from gateformer.quant.train.recipe import DigitsData, Recipe, read, tables_of

FRAMEWORKS = ("qkeras", "brevitas")
QKERAS_TASKS = ("btag", "digits")


@dataclass(frozen=True, slots=True)
class Done:
    """What a training reached on the test samples.

    Attributes
    ----------
    folder
        Where the design is.
    lines
        It in words.
    figures
        It in numbers.
    """

    folder: Path
    lines: tuple[str, ...]
    figures: dict[str, Any]


def train(path: Path, out: Path, data: Path, workers: int, say: Callable[[str], None]) -> Done:
    """Train after a recipe.

    Parameters
    ----------
    path : Path
        The recipe; ``framework`` and ``task`` in it say what trains and on what.
    out : Path
        Folder to write to; it is made.
    data : Path
        Where simulated events are kept.
    workers : int
        Processes that simulate.
    say : callable
        Takes lines about the progress.

    Raises
    ------
    ConfigError, Problems
        The recipe is wrong: E001 to E006.
    RunError
        E703, E704: the folder holds others' files, or another training works in it.
    ToolError
        E505 without the framework.
    """
    tree = tables_of(path)
    framework = tree.get("framework")
    if framework not in FRAMEWORKS:
        raise ConfigError(
            "E002",
            "invalid configuration value",
            layer=f"{path.name}:framework",
            cause=f"frameworks are {', '.join(FRAMEWORKS)}",
        )
    own = out.resolve() == path.parent.resolve()
    if framework == "brevitas":
        return _brevitas(path, out, data, workers, say, own)
    task = tree.get("task")
    if task not in QKERAS_TASKS:
        raise ConfigError(
            "E002",
            "invalid configuration value",
            layer=f"{path.name}:task",
            cause=f"tasks of QKeras are {', '.join(QKERAS_TASKS)}",
        )
    if task == "btag":
        return _btag(path, out, data, workers, say, own)
    return _digits(path, out, say, own)


def _brevitas(
    path: Path, out: Path, data: Path, workers: int, say: Callable[[str], None], own: bool
) -> Done:
    from gateformer.quant.train.brevitas.making import make
    from gateformer.quant.train.brevitas.reading import read as read_brevitas

    recipe = read_brevitas(path)
    with held(out, own):
        made = make(recipe, out, data, workers, say)
    lines = (f"floating point: {made.real:.4f}", f"quantized:      {made.quantized:.4f}")
    return Done(out, lines, {"float": made.real, "quantized": made.quantized})


def _digits(path: Path, out: Path, say: Callable[[str], None], own: bool) -> Done:
    from gateformer.quant.train.digits import run

    recipe: Recipe[DigitsData] = read(path, DigitsData)
    with held(out, own):
        report = run(recipe, out, say)
    low, high = report.scores
    lines = (
        f"floating point: {report.real:.4f}",
        f"quantized:      {report.quantized:.4f}",
        f"attention scores from {low:.2f} to {high:.2f}",
    )
    figures = {"float": report.real, "quantized": report.quantized, "scores": report.scores}
    return Done(out, lines, figures)


def _btag(
    path: Path, out: Path, data: Path, workers: int, say: Callable[[str], None], own: bool
) -> Done:
    from gateformer.quant.train.qkeras import describe, run
    from gateformer.quant.train.recipe import Data

    recipe = read(path, Data)
    with held(out, own):
        report = run(recipe, out, data, workers, say)
    scores = (
        f"block {i + 1}: attention scores from {low:.2f} to {high:.2f}"
        for i, (low, high) in enumerate(report.scores)
    )
    real, quantized = describe(report.real), describe(report.quantized)
    lines = (f"floating point: {real}", f"quantized:      {quantized}", *scores)
    macro = {"float": report.real.macro, "quantized": report.quantized.macro}
    return Done(out, lines, {**macro, "scores": report.scores})
