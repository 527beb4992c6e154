"""A compiled HLS project: raw integers in, raw integers out, in processes of its own.

Owns ``Compiled``. Imports the project and the process runner.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.hls.project import Port, Project
from gateformer.quant.errors import DataError, GateformerError, MismatchError, Problems
from gateformer.quant.types import Fixed, IntArray
from gateformer.sim.hls.processes import Hung, Job, cores, run_jobs

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""

PATIENCE = 120.0
"""Seconds without a new frame after which a run is ended."""
SHARE = 64
"""Fewest frames for which another process is worth its start."""
WARNING = "WARNING: Hls::stream"
"""How hls4ml's hls_stream.h begins what it prints of a stream read while empty or left full."""


def quiet(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A project's C++, compiled.

    Attributes
    ----------
    project : Project
        What was compiled.
    program : Path
        The bench.
    seconds : float
        Wall time of compiling; 0 where it was found compiled.
    """

    project: Project
    program: Path
    seconds: float

    def run(
        self,
        inputs: Mapping[str, IntArray],
        *,
        progress: Progress | None = None,
        patience: float = PATIENCE,
    ) -> dict[str, IntArray]:
        """Run frames, split over the cores.

        Parameters
        ----------
        inputs : mapping of str to ndarray of int, (n, *shape)
            Raw integers of every input, inside its type.
        progress : callable, optional
            Told of the frames.
        patience : float
            Seconds without a new frame after which the run is ended.

        Returns
        -------
        dict of str to ndarray of int, (n, tokens, features) or (n, features) for a vector
            Raw integers of every output.

        Raises
        ------
        DataError
            E610, E611 for missing inputs, wrong shapes or integers beyond the type.
        MismatchError
            E403 where a stream is read while empty or left with beats; E405 where the program
            crashes, hangs or does not write all frames.
        ToolError
            E502 where it cannot be started.
        """
        with tempfile.TemporaryDirectory(prefix="gateformer-hls-") as scratch:
            return self.run_in(Path(scratch), inputs, progress or quiet, patience)

    def run_in(
        self,
        folder: Path,
        inputs: Mapping[str, IntArray],
        progress: Progress = quiet,
        patience: float = PATIENCE,
    ) -> dict[str, IntArray]:
        """Run frames as `run` does, in a folder that keeps what the program leaves there."""
        project = self.project
        count = check_inputs(project, inputs)
        for number, port in enumerate(project.inputs):
            (folder / f"in{number}.raw").write_bytes(to_words(inputs[port.name], port).data)
        parts = split(count, cores())
        self._run(folder, parts, count, progress, patience)
        self._examine(folder, parts)
        return {
            port.name: from_words([folder / f"out{number}.{first}.raw" for first, _ in parts], port)
            for number, port in enumerate(project.outputs)
        }

    def _run(
        self,
        folder: Path,
        parts: list[tuple[int, int]],
        count: int,
        progress: Progress,
        patience: float,
    ) -> None:
        jobs = [
            Job((str(self.program), str(first), str(some)), folder / f"{first}.log")
            for first, some in parts
        ]
        row = row_bytes(self.project.outputs[0])
        files = [folder / f"out0.{first}.raw" for first, _ in parts]

        def life(finished: int) -> int:
            done = sum(file.stat().st_size for file in files if file.exists()) // row
            progress(done, count)
            return done + finished

        environment = dict(os.environ)
        try:
            codes = run_jobs(jobs, folder, environment, patience=patience, life=life)
        except Hung:
            raise MismatchError(
                "E405",
                "the compiled HLS project hung",
                layer=self.project.name,
                cause=f"It made no frame for {patience:g} s",
            ) from None
        told = [
            line
            for job in jobs
            if job.log.exists()
            for line in job.log.read_text("utf-8", errors="replace").splitlines()
        ]
        streams = [line for line in told if line.startswith(WARNING)]
        failed = next((code for code in codes if code), 0)
        if failed:
            signal = f"signal {-failed}" if failed < 0 else f"exit code {failed}"
            others = [line for line in told if line not in streams]
            raise MismatchError(
                "E405",
                "the compiled HLS project crashed",
                layer=self.project.name,
                cause=": ".join([signal, " / ".join(others[-3:])]) if others else signal,
            )
        if streams:
            raise MismatchError(
                "E403",
                "stream protocol violated",
                layer=self.project.name,
                cause=f"{len(streams)} times; first: {streams[0].removeprefix('WARNING: ')}",
            )

    def _examine(self, folder: Path, parts: list[tuple[int, int]]) -> None:
        """Refuse outputs that are not of as many frames as went in."""
        for number, port in enumerate(self.project.outputs):
            for first, some in parts:
                file = folder / f"out{number}.{first}.raw"
                size = file.stat().st_size if file.is_file() else -1
                if size != some * row_bytes(port):
                    raise MismatchError(
                        "E405",
                        "the compiled HLS project did not write all frames",
                        layer=self.project.name,
                        cause=f"Of '{port.name}' it wrote {max(size, 0) // row_bytes(port)}"
                        f" of {some}, though it ended without an error",
                    )


def check_inputs(project: Project, inputs: Mapping[str, IntArray]) -> int:
    """Return how many frames there are; all faults of the data at once.

    Raises
    ------
    DataError
        E610, E611.
    """
    faults: list[GateformerError] = []
    counts = {}
    for port in project.inputs:
        if port.name not in inputs:
            faults.append(
                DataError("E610", f"no data for input '{port.name}'", fix="pass every input")
            )
            continue
        data = np.asarray(inputs[port.name])
        frame = int(np.prod(data.shape[1:]))
        if data.ndim < 1 or frame != port.size or data.dtype.kind not in "iuO":
            faults.append(
                DataError(
                    "E611",
                    f"input '{port.name}' has shape {data.shape[1:]} of {data.dtype}",
                    cause=f"The project takes {port.tokens} tokens of {port.features} integers",
                    fix="reshape the data, or quantize it",
                )
            )
            continue
        counts[port.name] = len(data)
        if data.size and (data.min() < port.type.min or data.max() > port.type.max):
            faults.append(
                DataError(
                    "E611",
                    f"input '{port.name}' leaves {port.type}",
                    fix="quantize it with the input's type (it saturates)",
                )
            )
    if len(set(counts.values())) > 1:
        told = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        faults.append(DataError("E611", f"inputs of different lengths: {told}"))
    Problems.raise_if_any(faults)
    return next(iter(counts.values()), 0)


def split(count: int, most: int) -> list[tuple[int, int]]:
    """Return (first frame, frames) of each process."""
    parts = max(1, min(most, count // SHARE))
    edges = [count * part // parts for part in range(parts + 1)]
    return [(low, high - low) for low, high in itertools.pairwise(edges)]


def words_of(kind: Fixed) -> int:
    """Return how many 64-bit words an element takes."""
    return -(-kind.width // 64)


def row_bytes(port: Port) -> int:
    """Return how many bytes a frame of a port takes."""
    return 8 * words_of(port.type) * port.size


def to_words(data: IntArray, port: Port) -> NDArray[np.uint64]:
    """Return raw integers as 64-bit words, two's complement, least significant word first."""
    flat = np.asarray(data).reshape(-1)
    if port.type.width < 64:
        return flat.astype(np.int64).view(np.uint64)
    whole = flat.astype(object)
    low = (1 << 64) - 1
    parts = [(whole >> (64 * word)) & low for word in range(words_of(port.type))]
    return np.stack(parts, axis=-1).astype(np.uint64)


def from_words(files: list[Path], port: Port) -> IntArray:
    """Return raw integers of a port's files; Python integers from 63 bits on."""
    words = np.concatenate([np.fromfile(file, np.uint64) for file in files])
    shape = (-1, port.features) if port.tokens == 1 else (-1, port.tokens, port.features)
    if port.type.width < 63:
        return words.view(np.int64).reshape(shape)
    rows = words.reshape(-1, words_of(port.type)).astype(object)
    whole = sum(rows[:, word] << (64 * word) for word in range(rows.shape[1]))
    half = 1 << (64 * rows.shape[1] - 1)
    signed = np.where(whole >= half, whole - 2 * half, whole) if port.type.signed else whole
    return np.asarray(signed, dtype=object).reshape(shape)
