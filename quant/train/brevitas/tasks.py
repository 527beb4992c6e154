"""Tasks by name: where a recipe's samples come from.

Owns ``TASKS`` and ``samples``. Imports the data sets, whose own packages are imported on demand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from gateformer.quant.datasets import boosted, digits, jets, jets5, vowels
from gateformer.quant.datasets.labelled import Labelled, Sample
from gateformer.quant.errors import ConfigError
from gateformer.quant.train.brevitas.recipe import Samples
from gateformer.quant.train.simulated import kept

Load = Callable[[Samples, Path, int], Sample]
"""Wanted samples, folder of simulated events, processes that simulate -> the samples."""

FLAVOURS = ("light", "charm", "bottom")
ROWS = 8
"""Rows of an image of a digit, and its pixels."""


def samples(task: str, wanted: Samples, folder: Path, workers: int) -> Sample:
    """Return the samples of a task.

    Parameters
    ----------
    task : str
        A key of `TASKS`.
    wanted : Samples
        How many, and in which order.
    folder : Path
        Where simulated events are kept and found again; other tasks leave it alone.
    workers : int
        Processes that simulate.

    Raises
    ------
    ConfigError
        E022 for sizes that the task does not have.
    ToolError
        E505 without the package that brings or simulates the data.
    """
    try:
        return TASKS[task](wanted, folder, workers)
    except ValueError as error:
        raise ConfigError("E022", "wrong sizes", layer="data", cause=str(error)) from error


def _digits(wanted: Samples, folder: Path, workers: int) -> Sample:
    tokens = wanted.tokens or digits.TOKENS
    if tokens not in (digits.TOKENS, ROWS):
        raise ValueError(f"digits have {digits.TOKENS} patches or {ROWS} rows, not {tokens} tokens")
    parts = digits.split(digits.load(), wanted.seed, wanted.train, wanted.valid)
    made = [Labelled(part.x, part.y.astype(np.int64)) for part in parts]
    if tokens == ROWS:
        made = [Labelled(rows(part.x), part.y) for part in made]
    test = made[2][: wanted.test or None]
    return Sample(made[0], made[1], test, tuple(str(digit) for digit in range(digits.CLASSES)))


def rows(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return images [n, 16, 4] of patches of 2 x 2 pixels as their rows, [n, 8, 8]."""
    return patches.reshape(-1, 4, 4, 2, 2).swapaxes(2, 3).reshape(-1, ROWS, ROWS)


def _btag(wanted: Samples, folder: Path, workers: int) -> Sample:
    _own_tokens(wanted, "btag")
    known = kept(folder, wanted.train + wanted.valid, wanted.seed, workers)
    fitted, valid = jets.split(known, wanted.train)
    test = kept(folder, wanted.test or wanted.valid, wanted.seed + 1, workers)
    parts = [Labelled(part.x, part.y.astype(np.int64)) for part in (fitted, valid, test)]
    return Sample(parts[0], parts[1], parts[2], FLAVOURS)


def _jets5(wanted: Samples, folder: Path, workers: int) -> Sample:
    particles = wanted.tokens or 16
    if particles > boosted.N_PARTICLES:
        raise ValueError(f"at most {boosted.N_PARTICLES} particles are kept, not {particles}")
    sizes = (wanted.train, wanted.valid, wanted.test or wanted.valid)
    with Progress(transient=True) as bar:
        watch = bar.add_task("simulating jets", total=sum(sizes))

        def update(done: int, total: int) -> None:
            bar.update(watch, completed=done, total=total)

        return jets5.sample(folder, particles, *sizes, wanted.seed, workers, update)


def _vowels(wanted: Samples, folder: Path, workers: int) -> Sample:
    share = wanted.valid / (wanted.train + wanted.valid)
    found = vowels.sample(wanted.tokens or vowels.TOKENS, wanted.seed, share)
    if len(found.train) + len(found.valid) != wanted.train + wanted.valid:
        raise ValueError(f"train and valid sum up to {len(found.train) + len(found.valid)}")
    return found


def _own_tokens(wanted: Samples, task: str) -> None:
    if wanted.tokens:
        raise ValueError(f"{task} has tokens of its own: leave `tokens` out")


TASKS: Mapping[str, Load] = MappingProxyType(
    {"digits": _digits, "btag": _btag, "jets5": _jets5, "vowels": _vowels}
)
"""By the name that a recipe gives."""
