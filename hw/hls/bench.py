"""Frames for a project's own test bench, which the vendor's simulations run.

Owns ``FRAMES``, ``with_frames`` and ``exact``. Imports the project and the types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Context, Decimal
from types import MappingProxyType

from gateformer.hw.hls.project import Port, Project
from gateformer.quant.types import MAX_WIDTH, IntArray

FRAMES = 50
"""Frames of a test bench: a simulation of RTL takes seconds for them."""

GIVEN = "tb_data/tb_input_features.dat"
EXPECTED = "tb_data/tb_output_predictions.dat"
"""Where hls4ml's test benches read: a line a frame, its ports one after the other."""

_EXACT = Context(prec=4 * MAX_WIDTH)


def with_frames(
    project: Project, inputs: Mapping[str, IntArray], outputs: Mapping[str, IntArray]
) -> Project:
    """Add the frames that the project's test bench reads, and what must come out of them.

    Parameters
    ----------
    project : Project
        A project.
    inputs, outputs : mapping of str to ndarray of int, (n, *shape)
        Raw integers of each port; at most ``FRAMES`` are taken.

    Returns
    -------
    Project
        With two more files. Their decimals are exact; test benches read doubles, which hold
        those of types up to 53 bits.
    """
    more = {GIVEN: _lines(project.inputs, inputs), EXPECTED: _lines(project.outputs, outputs)}
    return replace(project, files=MappingProxyType(dict(sorted({**project.files, **more}.items()))))


def _lines(ports: Sequence[Port], values: Mapping[str, IntArray]) -> str:
    count = min(FRAMES, *(len(values[port.name]) for port in ports))
    frames = (
        " ".join(
            _decimal(int(raw), port.type.frac)
            for port in ports
            for raw in values[port.name][frame].ravel()
        )
        for frame in range(count)
    )
    return "".join(f"{frame}\n" for frame in frames)


def _decimal(raw: int, frac: int) -> str:
    """``raw * 2**-frac``, all of its digits."""
    return str(_EXACT.multiply(raw, _EXACT.power(Decimal("0.5") if frac > 0 else 2, abs(frac))))


_OPENED = re.compile(r"^( *)std::ofstream fout\(RESULTS_LOG\);$", re.MULTILINE)


_SIZE = re.compile(r"double vals_\d+\[([\d*]+)\];")
_TAKEN = re.compile(r"vals_(\d+)\[j\] = in\[j\];")


def exact(text: str) -> str:
    """A test bench of hls4ml's that reads and writes doubles, where it would round to floats.

    That of Intel's streams gives every input the numbers of the first; here each takes its own.
    """
    wide = re.sub(r"\bfloat\b", "double", text).replace("std::stof(", "std::stod(")
    sizes = _SIZE.findall(wide)

    def own(found: re.Match[str]) -> str:
        before = sizes[: int(found[1])]
        return f"vals_{found[1]}[j] = in[{' + '.join(['j', *before])}];"

    return _OPENED.sub(r"\g<0>\n\g<1>fout.precision(17);", _TAKEN.sub(own, wide))
