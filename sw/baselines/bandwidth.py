"""What this machine's memory gives: a read and STREAM's triad, all threads pinned, best of several.

Owns ``Bandwidth`` and ``measure``. Imports the hardware's sizes and the pinning. The kernels are
C++ (native/bandwidth.cpp), compiled on the spot for this processor; without a compiler numpy's dot
products read as well as they can, and the method says so. Plain and huge pages are measured apart:
a run is compared with the pages that it has itself.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.hardware import last_cache_bytes, memory_bytes
from gateformer.baselines.pinning import Pages, choose, pin
from gateformer.quant.tools import find_tool

CACHES = 4
"""An array is at least so many times as large as the last cache, as STREAM's rules ask."""
LEAST_BYTES = 256 << 20
REPEATS = 10
KINDS: tuple[Pages, ...] = ("plain", "huge")
TIMEOUT_S = 120.0
FLAGS = ("-O3", "-march=native", "-std=c++20", "-pthread")


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bandwidth of the memory.

    Attributes
    ----------
    gbs : float
        The best read, GB/s (1e9 bytes), on either kind of pages, or on one where ``on`` gave it.
    method : str
        How it was had.
    details : mapping of str to str
        All kernels.
    reads : mapping of str to float
        The read on ``plain`` and on ``huge`` pages.
    """

    gbs: float
    method: str
    details: dict[str, str] = field(default_factory=dict)
    reads: Mapping[Pages, float] = field(default_factory=dict)

    def on(self, pages: Pages) -> Bandwidth:
        """Return the same with the read on one kind of pages, where they were told apart."""
        if pages not in self.reads:
            return self
        return replace(self, gbs=self.reads[pages], method=f"read, {pages} pages: {self.method}")


def measure(threads: int, *, repeats: int = REPEATS, size: int | None = None) -> Bandwidth:
    """Return the bandwidth that so many threads reach together.

    Parameters
    ----------
    threads : int
        One a core, pinned.
    repeats : int
        Times that each kernel runs; the best counts.
    size : int, optional
        Bytes of an array; by default four times the last cache, 256 MiB at least, and no more than
        an eighth of the free memory.
    """
    if size is None:
        size = max(CACHES * last_cache_bytes(), LEAST_BYTES)
        size = min(size, (memory_bytes() or 8 * size) // 8)
    processors = choose(threads)
    threads = len(processors)
    load = {"bandwidth, processes beside it": f"{os.getloadavg()[0]:.1f}"}
    with pinned(processors):
        compiled = _compiled(threads, size, repeats)
        if compiled is not None:
            return replace(compiled, details=compiled.details | load)
        reads = {kind: dotted(threads, size, repeats, kind) for kind in KINDS}
    words = f"numpy's dot products, {threads} threads, {size >> 20} MiB, best of {repeats}: "
    words += "a lower bound, as no C++ compiler is here"
    return Bandwidth(max(reads.values()), words, _details(reads) | load, reads)


def dotted(threads: int, size: int, repeats: int, pages: Pages) -> float:
    """Return the read bandwidth of numpy's dot products in GB/s, a thread each."""
    parts = [_ones(size // 8 // threads, pages) for _ in range(threads)]
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            began = perf_counter()
            list(pool.map(np.dot, parts, parts))
            best = min(best, perf_counter() - began)
    return sum(part.nbytes for part in parts) / best / 1e9


def _ones(count: int, pages: Pages) -> NDArray[np.float64]:
    """Return an array of ones on one kind of pages, where the system lets it choose."""
    memory = mmap.mmap(-1, 8 * count)
    wanted = getattr(mmap, "MADV_HUGEPAGE" if pages == "huge" else "MADV_NOHUGEPAGE", None)
    if wanted is not None:
        with suppress(OSError):
            memory.madvise(wanted)
    found = np.frombuffer(memory)
    found[:] = 1
    return found


@contextmanager
def pinned(processors: Sequence[int]) -> Iterator[None]:
    """Keep this thread, and the processes and threads that it starts, on some processors."""
    before = os.sched_getaffinity(0)
    pin(processors)
    try:
        yield
    finally:
        pin(sorted(before))


def _compiled(threads: int, size: int, repeats: int) -> Bandwidth | None:
    """Return what the compiled kernels measure; None where they cannot be compiled or run."""
    compiler = find_tool("g++")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory(prefix="gateformer-bandwidth-") as folder:
        program, source = Path(folder) / "bandwidth", Path(folder) / "bandwidth.cpp"
        text = (files("gateformer.baselines") / "native" / "bandwidth.cpp").read_text("utf-8")
        source.write_text(text, encoding="utf-8")
        if _said([compiler, *FLAGS, "-o", program, source]) is None:
            return None
        reads: dict[Pages, float] = {}
        triads: dict[Pages, float] = {}
        for kind in KINDS:
            huge = str(int(kind == "huge"))
            said = _said([program, str(threads), str(size), str(repeats), huge])
            if said is None:
                return None
            told = dict(line.split() for line in said.splitlines())
            reads[kind], triads[kind] = float(told["read"]), float(told["triad"])
    words = f"{size >> 20} MiB, {threads} threads, best of {repeats}; g++ {' '.join(FLAGS)}"
    details = _details(reads) | _details(triads, "triad")
    return Bandwidth(max(reads.values()), words, details, reads)


def _details(found: Mapping[Pages, float], kernel: str = "read") -> dict[str, str]:
    return {f"bandwidth, {kernel}, {kind} pages": f"{gbs:.4g} GB/s" for kind, gbs in found.items()}


def _said(command: Sequence[str | Path]) -> str | None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
