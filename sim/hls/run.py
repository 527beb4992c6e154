"""Compares a project's compiled C++ with the model, integer by integer.

Owns ``check``, ``HlsResult`` and ``Difference``. Imports the build.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateformer.hw.hls.project import Project
from gateformer.quant.graph import Graph
from gateformer.quant.types import IntArray
from gateformer.sim.hls.build import compile_project
from gateformer.sim.hls.program import Compiled, Progress, quiet

__all__ = ["Compiled", "Difference", "HlsResult", "check", "compare", "compile_project"]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first integer that differs.

    Attributes
    ----------
    value : str
        The graph's value.
    frame : int
        Frame in the order given.
    index : tuple of int
        Index into the value, the batch axis left out.
    expected, actual : int
        The model's integer and that of the C++.
    """

    value: str
    frame: int
    index: tuple[int, ...]
    expected: int
    actual: int

    def __str__(self) -> str:
        place = ", ".join(map(str, self.index))
        return (
            f"'{self.value}' frame {self.frame} element ({place}): "
            f"expected {self.expected}, got {self.actual}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class HlsResult:
    """What a check showed.

    Attributes
    ----------
    vectors : int
        Frames run.
    mismatches : int
        Frames of which any output differs from the model.
    first : Difference or None
        The first of them.
    where : str
        The first layer that differs, as a sentence; empty where it is not known.
    compile_seconds, seconds : float
        Wall time of compiling (0 where it was found compiled) and of running.
    outputs : mapping of str to ndarray of int, (n, *shape)
        What the C++ gave.
    """

    vectors: int
    mismatches: int
    first: Difference | None
    where: str
    compile_seconds: float
    seconds: float
    outputs: Mapping[str, IntArray]

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.mismatches


def check(
    project: Project,
    graph: Graph,
    inputs: Mapping[str, IntArray],
    expected: Mapping[str, IntArray],
    work: Path,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> HlsResult:
    """Compile a project, run frames through it and compare every integer that comes out.

    Parameters
    ----------
    project : Project
        The HLS project.
    graph : Graph
        What it was made of.
    inputs, expected : mapping of str to ndarray of int, (n, *shape)
        Raw integers of inputs and of the model's outputs, by value.
    work : Path
        Folder for logs; and for builds where there is no cache.
    cache : Path, optional
        Folder of finished builds.
    progress : callable, optional
        Told of the frames.

    Raises
    ------
    ToolError
        E501, E502, E503 or E504: see `compile_project`.
    MismatchError
        E403 or E405: see `Compiled.run`.
    """
    compiled = compile_project(project, work, cache, quiet)
    start = time.perf_counter()
    made = compiled.run(inputs, progress=progress)
    seconds = time.perf_counter() - start
    outputs = {name: array.reshape(-1, *graph.values[name].shape) for name, array in made.items()}
    wrong, first = compare(outputs, expected)
    vectors = len(next(iter(outputs.values())))
    return HlsResult(vectors, wrong, first, "", compiled.seconds, seconds, outputs)


def compare(
    outputs: Mapping[str, IntArray], expected: Mapping[str, IntArray]
) -> tuple[int, Difference | None]:
    """Return how many frames differ, and the first integer that does.

    Parameters
    ----------
    outputs, expected : mapping of str to ndarray of int, (n, *shape)
        By value; all of ``outputs`` are compared.
    """
    frames: set[int] = set()
    first: Difference | None = None
    for name, made in outputs.items():
        truth = np.asarray(expected[name])
        differs = np.argwhere(made != truth)
        frames.update(differs[:, 0].tolist())
        if len(differs) and (first is None or differs[0, 0] < first.frame):
            at = tuple(differs[0].tolist())
            first = Difference(name, at[0], at[1:], int(truth[at]), int(made[at]))
    return len(frames), first
