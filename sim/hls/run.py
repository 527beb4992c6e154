"""Compares a project's compiled C++ with the model, integer by integer.

Owns ``check`` and ``HlsResult``. Imports the build and the trace.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gateformer.hw.hls.project import Project
from gateformer.quant.errors import GateformerError
from gateformer.quant.execute import run
from gateformer.quant.graph import Graph
from gateformer.quant.types import IntArray
from gateformer.sim.hls.build import compile_project
from gateformer.sim.hls.compare import Difference, compare
from gateformer.sim.hls.program import Compiled, Progress, quiet
from gateformer.sim.hls.trace import first_difference

__all__ = ["Compiled", "Difference", "HlsResult", "check", "compare", "compile_project"]


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
        Told of the frames; of none while compiling.

    Raises
    ------
    ToolError
        E501, E502 or E503: see `compile_project`.
    MismatchError
        E403 or E405: see `Compiled.run`.
    """
    tell, count = progress or quiet, len(next(iter(inputs.values()), ()))
    compiled = compile_project(project, work, cache, lambda done, total: tell(0, count))
    start = time.perf_counter()
    made = compiled.run(inputs, progress=tell)
    seconds = time.perf_counter() - start
    outputs = {name: array.reshape(-1, *graph.values[name].shape) for name, array in made.items()}
    wrong, first = compare(outputs, expected)
    vectors = len(next(iter(outputs.values())))
    where = "" if first is None else first_layer(project, graph, inputs, first, work, cache)
    return HlsResult(vectors, wrong, first, where, compiled.seconds, seconds, outputs)


def first_layer(
    project: Project,
    graph: Graph,
    inputs: Mapping[str, IntArray],
    first: Difference,
    work: Path,
    cache: Path | None,
) -> str:
    """Return the first layer at which a frame differs, as a sentence; nothing where it is unknown.

    Parameters
    ----------
    project, graph, inputs, work, cache
        As for `check`.
    first : Difference
        Names the frame.
    """
    frame = {name: inputs[name][first.frame : first.frame + 1] for name in graph.inputs}
    try:
        found = first_difference(project, frame, run(graph, frame, keep=True), work, cache)
    except GateformerError:
        return ""
    if found is None:
        return "Alone, the frame agrees: an earlier one leaves something behind"
    layer = graph.values[found.value].layer
    return f"The first layer that differs is '{layer}': {replace(found, frame=first.frame)}"
