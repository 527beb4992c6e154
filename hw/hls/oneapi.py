"""oneAPI: its dialect, and what hls4ml leaves to do in its projects.

A layer between streams is a task of the kernel: a function without arguments whose template
arguments are pipes. Owns ``Sycl``, ``tasks`` and ``plain_weights``. Imports the Intel dialect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateformer.hw.hls.intel import Intel


class Sycl(Intel):
    """Intel's oneAPI compiler: a pipe is a type, an attribute stands in front of a loop."""

    def stream(self, beat: str, name: str, out: bool) -> str:
        """An object without state that reads or writes its pipe."""
        return f"{name}_stream {name}"

    def tensor(self, beat: str, name: str, size: int) -> str:
        """One std::array."""
        return f"{beat} &{name}"

    def ahead(self, unrolled: bool) -> list[str]:
        """How the loop that follows runs."""
        if unrolled:
            return ["#pragma unroll"]
        return ["[[intel::initiation_interval(CONFIG_T::reuse_factor)]]"]

    def task(self, function: str, streams: Sequence[str]) -> list[str]:
        """The function as a task between pipes."""
        pipes = "".join(f", class {name}_pipe" for name in streams)
        given = ", ".join(f"gf::pipe<{name}_pipe>()" for name in streams)
        return [
            "",
            f"// {function} between pipes",
            f"template <class CONFIG_T{pipes}> void {function}_task() {{",
            f"    {function}<CONFIG_T>({given});",
            "}",
        ]


def tasks(layers: Sequence[type[Any]]) -> tuple[type[Any], type[Any]]:
    """hls4ml's templates for tasks: their declaration, and their start.

    Parameters
    ----------
    layers : sequence of type
        hls4ml classes that they are for.
    """
    from hls4ml.backends.oneapi.oneapi_template import (
        StreamFunctionCallTemplate,
        TaskSequenceTemplate,
    )

    class GfTask(TaskSequenceTemplate):  # type: ignore[misc] # hls4ml has no types
        """The declaration of a layer's task."""

        def __init__(self) -> None:
            super().__init__(list(layers))

        def format(self, node: Any) -> str:
            name, _, first = node.get_attr("gf_call").removesuffix(">").partition("<")
            variables = [node.get_input_variable(wire) for wire in node.inputs]
            variables += [node.get_output_variable(wire) for wire in node.outputs]
            pipes = ", ".join(variable.pipe_name for variable in variables)
            return f"task_sequence<{name}_task<{first}, {pipes}>> {node.name}_run;"

    class GfStart(StreamFunctionCallTemplate):  # type: ignore[misc] # hls4ml has no types
        """The start of a layer's task."""

        def __init__(self) -> None:
            super().__init__(list(layers))

        def format(self, node: Any) -> str:
            return f"{node.name}_run.async();"

    return GfTask, GfStart


_WEIGHT = re.compile(r"static constexpr (\w+) (\w+) = \{\{(.*)\}\};")


def plain_weights(texts: Mapping[str, str], top: str, depths: Mapping[str, int]) -> dict[str, str]:
    """Turn weights into plain constant arrays, as all templates take them.

    They stay ``constexpr``: a kernel takes no other constants of a class.

    Parameters
    ----------
    texts : mapping of str to str
        Path -> text of hls4ml's files.
    top : str
        The top function.
    depths : mapping of str to int
        Not used: a pipe has its depth already.
    """

    def array(found: re.Match[str]) -> str:
        kind, name, values = found.groups()
        count = values.count(",") + 1
        return f"static constexpr {kind}::value_type {name}[{count}] = {{{values}}};"

    return {
        path: _WEIGHT.sub(array, text) if "/weights/" in path else text
        for path, text in texts.items()
    }
