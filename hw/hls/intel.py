"""Intel HLS (hls4ml's Quartus backend): its dialect, and what hls4ml leaves to do for its streams.

Owns ``Intel``, ``widen``, ``bounded`` and ``finished``. Imports nothing of the project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


class Intel:
    """Intel HLS: pragmas stand in front of loops, the compiler places arrays by itself.

    There is no pragma for a number of multipliers: a reuse factor sets the interval of each loop,
    and the compiler shares what it can.
    """

    def template(self, streams: Sequence[str]) -> str:
        """Streams differ in class by their depth."""
        free = "".join(f", class {name}_stream" for name in streams)
        return f"template <class CONFIG_T{free}>"

    def stream(self, beat: str, name: str, out: bool) -> str:
        """A stream as a parameter."""
        return f"{name}_stream &{name}"

    def tensor(self, beat: str, name: str, size: int) -> str:
        """An array."""
        return f"{beat} {name}[{size}]"

    def task(self, function: str, streams: Sequence[str]) -> list[str]:
        """The component calls the layer itself."""
        return []

    def partition(self, array: str) -> list[str]:
        """Arrays that are read by unrolled loops become registers."""
        return []

    def rows(self, frame: str) -> list[str]:
        """Arrays are banked as their readers need it."""
        return []

    def ahead(self, unrolled: bool) -> list[str]:
        """How the loop that follows runs."""
        return ["#pragma unroll" if unrolled else "#pragma ii CONFIG_T::reuse_factor"]

    def pipeline(self, interval: str) -> list[str]:
        """A component's interval stands above the component."""
        return []

    def process(self) -> list[str]:
        """Calls of a component run one after another."""
        return []

    def unroll(self) -> list[str]:
        """Said in front of the loop."""
        return []

    def dataflow(self) -> list[str]:
        """Loops of a component overlap where their data allow it."""
        return []

    def limit(self, count: str) -> list[str]:
        """The compiler decides."""
        return []


def widen(model: Any) -> None:
    """Give types of one bit a second one above; hls4ml would put it below, at another scale."""
    for layer in model.get_layers():
        for kind in layer.get_layer_precision().values():
            if kind.precision.width == 1:
                kind.precision.width, kind.precision.integer = 2, kind.precision.integer + 1


_EMULATED = "template <typename T> using stream = nnet::stream<T>;"
_SYNTHESIZED = "template <typename T> using stream = ihc::stream<T>;"
_DEPTH = "template <typename T, unsigned Depth = 0>"


def bounded(texts: Mapping[str, str], top: str, depths: Mapping[str, int]) -> dict[str, str]:
    """Give each stream between layers its depth; hls4ml declares them without one.

    A component runs its layers one after another, so a stream holds at least a frame.

    Parameters
    ----------
    texts : mapping of str to str
        Path -> text of hls4ml's files.
    top : str
        The top function.
    depths : mapping of str to int
        C++ variable -> beats.
    """

    def declared(found: re.Match[str]) -> str:
        return f"stream<{found[1]}, {depths[found[2]]}> {found[2]};"

    defines, body = "firmware/defines.h", f"firmware/{top}.cpp"
    types = texts[defines].replace(_EMULATED, f"{_DEPTH} using stream = nnet::stream<T>;")
    types = types.replace(
        _SYNTHESIZED, f"{_DEPTH} using stream = ihc::stream<T, ihc::buffer<Depth>>;"
    )
    streams = re.sub(r"^stream<(\w+)> (\w+);$", declared, texts[body], flags=re.MULTILINE)
    return {**texts, defines: types, body: streams}


def finished(texts: Mapping[str, str], top: str, depths: Mapping[str, int]) -> dict[str, str]:
    """Streams with depths, and a testbench where hls4ml writes none: for several outputs.

    Parameters
    ----------
    texts, top, depths
        As for `bounded`.
    """
    path = f"{top}_test.cpp"
    made = bounded(texts, top, depths)
    return made if path in made else {**made, path: _testbench(made[f"firmware/{top}.cpp"], top)}


_COPIED = re.compile(r"i < ([\d*]+) / (\w+)::size; i\+\+\) \{\n +\w+ tmp = (\w+_stream)\.read")
_PORT = re.compile(r"^ +(stream_(?:in|out)<\w+>) &(\w+),?$", re.MULTILINE)


def _testbench(body: str, top: str) -> str:
    """One frame of zeros through the component; the Makefile names this file."""
    ports = dict.fromkeys((kind, name) for kind, name in _PORT.findall(body))
    if not ports:
        lines = ["static input_data given;", f"const output_data made = {top}(given);"]
        lines += ["(void)made;"]
    else:
        lines = [f"{kind} {name};" for kind, name in ports]
        for count, beat, name in _COPIED.findall(body):
            loop = f"for (unsigned i = 0; i < {count} / {beat}::size; i++)"
            lines.append(f"{loop} {{ {name}.write({beat}(0)); }}")
        lines.append(f"{top}({', '.join(name for _, name in ports)});")
    inside = "\n".join(f"    {line}" for line in lines)
    return (
        "// One frame of zeros: hls4ml writes testbenches for a single output.\n"
        f'#include "firmware/{top}.h"\n\nint main() {{\n{inside}\n    return 0;\n}}\n'
    )
