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
from gateformer.baselines.networks.sessions import Form, Opening, flat, graph_of, singles
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
    """Return the library of a source, and the compiler's version.

    Parameters
    ----------
    text : str
        C with the functions ``run`` and ``repeat``.
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
    return ctypes.CDLL(str(folder / "network.so")), version


def c_session(form: Form = "float") -> Opening:
    """Return the opening of plain C in float32."""
    return lambda work, threads: _Reals(work, threads, form)


def integer_session() -> Opening:
    """Return the opening of plain C in the lowered graph's integers."""
    return _Integers


class Called:
    """A compiled network with its buffers: inputs of all batches, outputs of one."""

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
            self.library, self.version = compiled(text, Path(folder), flags)
        self.options: Mapping[str, str] = {
            "compiler": f"g++ {self.version}, {' '.join([*FLAGS[2:6], *flags])}",
            "clock": "read in C around each call, which is in the times (some 20 ns)",
        }
        self.bytes = len(weights)
        self.inputs, self.results = list(inputs), list(outputs)
        self.batch = len(self.results[0])
        self.batches, self.place = len(self.inputs[0]) // self.batch, 0
        room = np.zeros(len(weights) + 64, np.uint8)
        start = -room.ctypes.data % 64
        room[start : start + len(weights)] = np.frombuffer(weights, np.uint8)
        self.kept = room
        self.weights = ctypes.c_void_p(room.ctypes.data + start)
        self.made = _pointers(self.results)
        self.given = [
            _pointers([one[place * self.batch :] for one in self.inputs])
            for place in range(self.batches)
        ]
        self.sizes = ctypes.c_long(self.batch), ctypes.c_int(threads)
        self.library.run.restype = self.library.repeat.restype = None

    def turn(self, place: int) -> None:
        """Take a batch."""
        self.place = place

    def step(self) -> None:
        """Run the batch."""
        self.library.run(self.weights, self.given[self.place], self.made, *self.sizes)

    def repeat(self, calls: int) -> NDArray[np.float64]:
        """Run so many steps, each on the next batch; return the seconds of each."""
        seconds = np.zeros(calls)
        counts = (ctypes.c_long(one) for one in (self.batches, self.place, calls))
        place = ctypes.c_void_p(seconds.ctypes.data)
        self.library.repeat(self.weights, self.given[0], self.made, *self.sizes, *counts, place)
        self.place = (self.place + calls) % self.batches
        return seconds

    def close(self) -> None:
        """Let go of the buffers; the library stays until the process ends."""
        del self.given, self.made, self.weights


class _Reals(Called):
    """Float32 from the graph on reals."""

    def __init__(self, work: NetworkWork, threads: int, form: Form) -> None:
        graph, said = graph_of(work, form)
        inputs = [np.concatenate(one) for one in zip(*singles(work), strict=True)]
        text, weights = reals_source(graph)
        outputs = [
            np.zeros((work.batch, *graph.values[name].shape), np.float32) for name in graph.outputs
        ]
        super().__init__(text, weights, inputs, outputs, threads, FAST)
        self.options = said | dict(self.options)

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
        pairs = zip(self.graph.outputs, self.results, strict=True)
        return flat([self.graph.to_real(name, raw) for name, raw in pairs])


def _pointers(arrays: Sequence[NDArray[Any]]) -> Any:
    """Return an array of C with a pointer to each; the arrays stay with the caller."""
    return (ctypes.c_void_p * len(arrays))(*(one.ctypes.data for one in arrays))


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
