"""The C of a network compiled for this processor and called without a copy.

Owns ``c_session``, ``integer_session`` and ``compiled``. Imports the C's writers and outside
programs. What is compiled is text of this package's own making: nothing of a model's file is in it.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform import machine
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.networks.c_integers import source as integer_source
from gateformer.baselines.networks.c_reals import source as reals_source
from gateformer.baselines.networks.sessions import Opening, flat, singles
from gateformer.baselines.work import NetworkWork
from gateformer.quant.errors import ToolError
from gateformer.quant.tools import find_tool

FLAGS = ("-x", "c", "-std=gnu11", "-O3", "-march=native", "-fopenmp", "-fPIC", "-fwrapv")
EXACT = ("-mprefer-vector-width=512",) if machine() == "x86_64" else ()
"""For integers: a vector is as wide as the tokens, where the processor has such."""
FAST = (*EXACT, "-ffast-math")
"""For float32: sums in any order, and the C library's vector functions."""
TIMEOUT_S = 300.0


def compiled(text: str, folder: Path, flags: Sequence[str]) -> tuple[Any, str]:
    """Return the function ``run`` of a source, and the compiler's name and version.

    Parameters
    ----------
    text : str
        C with the function ``run``.
    folder : Path
        For the source and the library.
    flags : sequence of str
        Beside the usual ones.

    Raises
    ------
    ToolError
        E501 where there is no compiler, E502 where it failed, E503 where it took too long.
    """
    compiler = find_tool("g++")
    if compiler is None:
        raise ToolError("E501", "tool not found", layer="g++", fix="apt install g++")
    (folder / "network.c").write_text(text, encoding="utf-8")
    # In two steps: linked with -ffast-math, a library changes the arithmetic of its whole process.
    _said([compiler, *FLAGS, *flags, "-c", "network.c", "-o", "network.o"], folder)
    linking = ["-shared", "-fopenmp", "network.o", "-o", "network.so", "-lm"]
    _said([compiler, *linking], folder)
    version = _said([compiler, "-dumpfullversion"], folder).strip()
    return ctypes.CDLL(str(folder / "network.so")).run, version


def c_session() -> Opening:
    """Return the opening of plain C in float32."""
    return _Reals


def integer_session() -> Opening:
    """Return the opening of plain C in the lowered graph's integers."""
    return _Integers


class Called:
    """A compiled network with its buffers."""

    def __init__(
        self,
        text: str,
        weights: bytes,
        inputs: Sequence[NDArray[Any]],
        outputs: Sequence[NDArray[Any]],
        threads: int,
        flags: Sequence[str],
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="gateformer-c-") as folder:
            self.function, self.version = compiled(text, Path(folder), flags)
        self.options: Mapping[str, str] = {
            "compiler": f"g++ {self.version}, {' '.join([*FLAGS[2:6], *flags])}",
            "called": "from Python by ctypes",
        }
        self.bytes = len(weights)
        self.inputs, self.results = list(inputs), list(outputs)
        room = np.zeros(len(weights) + 64, np.uint8)
        start = -room.ctypes.data % 64
        room[start : start + len(weights)] = np.frombuffer(weights, np.uint8)
        self.kept = room
        pointers = [
            (ctypes.c_void_p * len(arrays))(*(one.ctypes.data for one in arrays))
            for arrays in (self.inputs, self.results)
        ]
        self.arguments = (
            ctypes.c_void_p(room.ctypes.data + start),
            *pointers,
            ctypes.c_long(len(self.inputs[0])),
            ctypes.c_int(threads),
        )
        self.function.restype = None

    def step(self) -> None:
        """Run the batch."""
        self.function(*self.arguments)

    def close(self) -> None:
        """Let go of the buffers; the library stays until the process ends."""
        del self.arguments


class _Reals(Called):
    """Float32 from the graph on reals."""

    def __init__(self, work: NetworkWork, threads: int) -> None:
        graph, inputs = work.network(), singles(work)
        text, weights = reals_source(graph)
        outputs = [
            np.zeros((work.batch, *graph.values[name].shape), np.float32) for name in graph.outputs
        ]
        super().__init__(text, weights, inputs, outputs, threads, FAST)

    def outputs(self) -> NDArray[np.float64]:
        """Return what it gave."""
        return flat([one.astype(np.float64) for one in self.results])


class _Integers(Called):
    """The lowered graph's integers."""

    def __init__(self, work: NetworkWork, threads: int) -> None:
        self.graph, raw = work.integers(), work.raw()
        text, weights = integer_source(self.graph)
        inputs = [np.ascontiguousarray(raw[name], np.int64) for name in self.graph.inputs]
        outputs = [
            np.zeros((work.batch, *self.graph.values[name].shape), np.int64)
            for name in self.graph.outputs
        ]
        super().__init__(text, weights, inputs, outputs, threads, EXACT)

    def outputs(self) -> NDArray[np.float64]:
        """Return what it gave, as reals."""
        values = (self.graph.values[name] for name in self.graph.outputs)
        return flat(
            [value.fixed.to_real(raw) for value, raw in zip(values, self.results, strict=True)]
        )


def _said(command: Sequence[str | Path], folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ToolError("E503", "tool ran out of time", layer="g++") from None
    if done.returncode:
        cause = " ".join(done.stderr.split())[-500:]
        raise ToolError("E502", "tool failed", layer="g++", cause=cause)
    return done.stdout
