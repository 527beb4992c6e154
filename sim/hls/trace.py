"""Finds the first layer of an HLS project whose integers differ from the model's.

Owns ``first_difference``: one frame again, through a copy of the project that writes down every
value that one layer hands to another. Imports the build.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from gateformer.hw.hls.project import Port, Project
from gateformer.quant.errors import ToolError
from gateformer.quant.types import IntArray
from gateformer.sim.hls.build import compile_project, family_of
from gateformer.sim.hls.compare import Difference, compare
from gateformer.sim.hls.program import from_words

INCLUDE = '#include "gf_trace.h"\n'


def first_difference(
    project: Project,
    frame: Mapping[str, IntArray],
    expected: Mapping[str, IntArray],
    work: Path,
    cache: Path | None = None,
) -> Difference | None:
    """Run one frame again and compare every value between layers, first layer first.

    Parameters
    ----------
    project : Project
        The project; its ``between`` are compared, then its outputs.
    frame : mapping of str to ndarray of int, (1, *shape)
        The inputs of the frame.
    expected : mapping of str to ndarray of int, (1, *shape)
        Every value of the model for this frame.
    work, cache
        As for `compile_project`.

    Returns
    -------
    Difference or None
        None where all agree.

    Raises
    ------
    ToolError, MismatchError
        As `compile_project` and `Compiled.run`; E502 where a value cannot be traced.
    """
    traced = instrument(project)
    compiled = compile_project(replace(project, files=traced), work, cache)
    with tempfile.TemporaryDirectory(prefix="gateformer-hls-") as scratch:
        outputs = compiled.run_in(Path(scratch), frame)
        files = {port: Path(scratch) / f"tap{i}.raw" for i, port in enumerate(project.between)}
        if untold := [port.name for port, file in files.items() if not file.exists()]:
            raise ToolError("E502", "values that cannot be traced", layer=", ".join(untold))
        made = {port.name: from_words([file], port) for port, file in files.items()}
    for name, array in (made | outputs).items():
        truth = np.asarray(expected[name])
        _, found = compare({name: array.reshape(truth.shape)}, {name: truth})
        if found is not None:
            return found
    return None


def instrument(project: Project) -> dict[str, str]:
    """Return the project's files, the top function writing down every value between layers."""
    family = family_of(project)
    path = f"{family.root}firmware/{project.top}.cpp"
    text = project.files[path]
    for number, port in enumerate(project.between):
        text = tapped(text, number, port, family.least)
    return {**project.files, path: text.replace('#include "', f'{INCLUDE}#include "', 1)}


def tapped(text: str, number: int, port: Port, least: int = 1) -> str:
    """Return a top function with a tap behind the call that gives a value.

    Parameters
    ----------
    text : str
        The top function's file.
    number : int
        Names the tap's file.
    port : Port
        The value: a variable, or a pipe of SYCL that is named after it.
    least : int
        Fewest bits of an element (`Family.least`).
    """
    pipe = pipe_of(text, port.variable)
    call = first_call(text, port.variable) if pipe is None else first_task(text, pipe)
    line = -1 if call is None else text.find("\n", text.find(";", call))
    if line < 0:
        return text
    kind = port.type
    sign = str(kind.signed).lower()
    constants = f"{max(kind.width, least)}, {kind.frac}, {sign}, {port.tokens}, {port.features}"
    if pipe is None:
        tap = f"tap<{constants}>({number}, {port.variable})"
    else:
        tap = f"tap_pipe<{constants}, {pipe}>({number})"
    return f"{text[:line]}\n    gf_bench::{tap};{text[line:]}"


def first_call(text: str, variable: str) -> int | None:
    """Return where a variable is first handed to a function: to the one that writes it."""
    call = re.search(rf"[(,]\s*{re.escape(variable)}\s*[,)]", text)
    return None if call is None else call.end()


def pipe_of(text: str, variable: str) -> str | None:
    """Return the pipe between tasks that hls4ml named after a variable, if there is one."""
    wanted = f"{variable.replace('_', '')}pipe".lower()
    pipes: list[str] = re.findall(r"^using (\w+) = .*\bpipe<", text, re.MULTILINE)
    return next((pipe for pipe in pipes if pipe.lower() == wanted), None)


def first_task(text: str, pipe: str) -> int | None:
    """Return where the first task with a pipe is started: the one that writes it."""
    task = re.search(rf"task_sequence<[^;]*\b{pipe}\b[^;]*>\s*(\w+);", text)
    call = task and re.search(rf"\b{task[1]}\.async\(", text)
    return call.end() if call else None
