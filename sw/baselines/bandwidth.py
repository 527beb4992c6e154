"""What this machine's memory gives: a read and STREAM's triad, all threads pinned, best of several.

Owns ``Bandwidth`` and ``measure``. Imports the hardware's sizes and the pinning. The kernels are
C++ (native/bandwidth.cpp), compiled on the spot for this processor; without a compiler numpy's dot
products read as well as they can, and the method says so.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from time import perf_counter

import numpy as np

from gateformer.baselines.hardware import last_cache_bytes, memory_bytes
from gateformer.baselines.pinning import choose, pin
from gateformer.quant.tools import find_tool

CACHES = 4
"""An array is at least so many times as large as the last cache, as STREAM's rules ask."""
LEAST_BYTES = 256 << 20
REPEATS = 10
TIMEOUT_S = 120.0
FLAGS = ("-O3", "-march=native", "-std=c++20", "-pthread")


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bandwidth of the memory.

    Attributes
    ----------
    gbs : float
        The best read, GB/s (1e9 bytes).
    method : str
        How it was had.
    details : mapping of str to str
        All kernels.
    """

    gbs: float
    method: str
    details: dict[str, str] = field(default_factory=dict)


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
    with pinned(processors):
        compiled = _compiled(threads, size, repeats)
        if compiled is not None:
            return compiled
        gbs = dotted(threads, size, repeats)
    words = f"numpy's dot products, {threads} threads, {size >> 20} MiB, best of {repeats}: "
    return Bandwidth(gbs, words + "a lower bound, as no C++ compiler is here")


def dotted(threads: int, size: int, repeats: int) -> float:
    """Return the read bandwidth of numpy's dot products in GB/s, a thread each."""
    parts = [np.ones(size // 8 // threads) for _ in range(threads)]
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            began = perf_counter()
            list(pool.map(np.dot, parts, parts))
            best = min(best, perf_counter() - began)
    return sum(part.nbytes for part in parts) / best / 1e9


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
        found: dict[str, float] = {}
        for pages, huge in (("plain", "0"), ("huge", "1")):
            said = _said([program, str(threads), str(size), str(repeats), huge])
            if said is None:
                return None
            for line in said.splitlines():
                kernel, gbs = line.split()
                found[f"{kernel}, {pages} pages"] = float(gbs)
    best = max(("read, plain pages", "read, huge pages"), key=found.__getitem__)
    return Bandwidth(
        found[best],
        f"{best}: {size >> 20} MiB, {threads} threads, best of {repeats}; g++ {' '.join(FLAGS)}",
        {f"bandwidth, {name}": f"{gbs:.4g} GB/s" for name, gbs in found.items()},
    )


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
