"""From which batch on a GPU, given by its time a step, overtakes the memory.

Owns ``crossover``. Imports the simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import PimError
from gateformer.sim.pim.generation import simulate


@dataclass(frozen=True, slots=True)
class Crossover:
    """Where a GPU overtakes.

    Attributes
    ----------
    batch : int or None
        Smallest batch at which the GPU's step is the shorter one; None where there is none.
    points : tuple of (int, float, float)
        Batches tried, with ms of one step of all sequences: memory, GPU.
    stopped : str
        Why no larger batch was tried; empty where one was found.
    """

    batch: int | None
    points: tuple[tuple[int, float, float], ...]
    stopped: str = ""


def crossover(
    model: str | Path | Decoder,
    gpu_ms: Callable[[int], float],
    *,
    past: int = 511,
    most: int = 64,
    **settings: Any,
) -> Crossover:
    """Find the batch from which on a GPU is faster.

    The memory has no use for a weight twice, so its step grows with the batch, while the GPU's
    hardly does until it is bound by arithmetic: one crossing is assumed, and halved in on.

    Parameters
    ----------
    model : str, Path or Decoder
        As for ``simulate``.
    gpu_ms : callable
        Batch to ms of one step of all sequences on the GPU.
    past : int
        Tokens in the cache of each sequence.
    most : int
        The largest batch to be tried.
    **settings
        More of what ``simulate`` takes.
    """
    points: dict[int, tuple[float, float]] = {}

    def wins(batch: int) -> bool:
        step = simulate(model, 1, past=past, batch=batch, **settings)
        points[batch] = (step.ms_per_token, gpu_ms(batch))
        return points[batch][1] < points[batch][0]

    low, high, stopped = 0, 1, ""
    try:
        while not wins(high):
            if high == most:
                stopped = f"{most} sequences are the most that were tried"
                break
            low, high = high, min(2 * high, most)
    except PimError as error:
        if not low:
            raise
        stopped = str(error)
    while not stopped and high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if wins(middle) else (middle, high)
    tried = tuple((batch, *points[batch]) for batch in sorted(points))
    return Crossover(None if stopped else high, tried, stopped)
