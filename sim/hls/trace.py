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
        As `compile_project` and `Compiled.run`.
    """
    traced = instrument(project)
    compiled = compile_project(replace(project, files=traced), work, cache)
    with tempfile.TemporaryDirectory(prefix="gateformer-hls-") as scratch:
        outputs = compiled.run_in(Path(scratch), frame)
        made = {
            port.name: from_words([file], port)
            for number, port in enumerate(project.between)
            if (file := Path(scratch) / f"tap{number}.raw").exists()
        }
    for name, array in (made | outputs).items():
        truth = np.asarray(expected[name])
        _, found = compare({name: array.reshape(truth.shape)}, {name: truth})
        if found is not None:
            return found
    return None


def instrument(project: Project) -> dict[str, str]:
    """Return the project's files, the top function writing down every value between layers."""
    path = f"firmware/{project.top}.cpp"
    if path not in project.files:  # the values of a oneAPI kernel are pipes
        return dict(project.files)
    text = project.files[path]
    for number, port in enumerate(project.between):
        text = tapped(text, number, port, family_of(project).least)
    return {**project.files, path: text.replace('#include "', f'{INCLUDE}#include "', 1)}


def tapped(text: str, number: int, port: Port, least: int = 1) -> str:
    """Return a top function with a tap behind the first call that takes a variable.

    Parameters
    ----------
    text : str
        The top function's file.
    number : int
        Names the tap's file.
    port : Port
        The variable.
    least : int
        Fewest bits of an element (`Family.least`).
    """
    call = re.search(rf"[(,]\s*{re.escape(port.variable)}\s*[,)]", text)
    end = -1 if call is None else text.find(";", call.end())
    line = -1 if end < 0 else text.find("\n", end)
    if line < 0:
        return text
    kind = port.type
    sign = str(kind.signed).lower()
    constants = f"{max(kind.width, least)}, {kind.frac}, {sign}, {port.tokens}, {port.features}"
    tap = f"    gf_bench::tap<{constants}>({number}, {port.variable});"
    return f"{text[:line]}\n{tap}{text[line:]}"
