"""Bottom, charm and light jets: a balanced, reproducible flavour-tagging sample.

`generate` simulates jets (see `collisions`), matches the three classes in transverse momentum and
returns `Jets`.  `save` and `load` keep several named parts of a sample in one .npz file.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets.archive import save_arrays
from gateformer.quant.datasets.collisions import JET_PT, N_TRACKS, simulate
from gateformer.quant.datasets.tracks import FEATURES
from gateformer.quant.errors import DataError

CLASSES = ("light", "charm", "bottom")
"""What the labels 0, 1 and 2 mean."""

VERSION = 1
"""Grows whenever the same seed gives other jets than before."""

CHUNK = 1000
"""Events with one seed of their own: about 7 CPU seconds, of which Pythia's start is one."""

PYTHIA_SEEDS = 900_000_000
"""Pythia takes seeds from 1 to this."""

PT_EDGES = np.geomspace(JET_PT, 300.0, 25)[1:-1]
"""Inner bounds [GeV] of the bins in which the classes are matched, 12 % wide; the last is open."""


UNREADABLE = (ValueError, OSError, EOFError, TypeError, BadZipFile, zlib.error)
"""What numpy raises on files that are no archive of plain arrays."""


@dataclass(frozen=True, slots=True)
class Jets:
    """Labelled jets.

    Attributes
    ----------
    x:
        float32 [n, 15, 6]: track features as in `tracks.FEATURES`; missing tracks are zero.
    y:
        int8 [n]: index into `CLASSES`.
    pt:
        float32 [n]: transverse momentum of the jet [GeV]; not an input of the network.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int8]
    pt: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = (len(self.y), N_TRACKS, len(FEATURES))
        if self.x.shape != shape or self.y.shape != shape[:1] or self.pt.shape != shape[:1]:
            raise ValueError(
                f"jets need x [n, {N_TRACKS}, {len(FEATURES)}], y [n] and pt [n], "
                f"not {self.x.shape}, {self.y.shape} and {self.pt.shape}"
            )
        dtypes = [column.dtype.name for column in (self.x, self.y, self.pt)]
        if dtypes != ["float32", "int8", "float32"]:
            raise ValueError("jets need float32 x, int8 y and float32 pt")
        if not (np.isfinite(self.x).all() and np.isin(self.y, range(len(CLASSES))).all()):
            raise ValueError("jets need finite x, and y of 0, 1 or 2")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, which: slice | NDArray[Any]) -> Jets:
        return Jets(self.x[which], self.y[which], self.pt[which])

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which tracks are there, bool [n, 15]: rows that are not all zero."""
        return np.asarray(self.x.any(axis=-1))


def generate(
    n_jets: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Jets:
    """Simulate a class-balanced sample whose classes have the same pT spectrum.

    Parameters
    ----------
    n_jets:
        Size of the sample.  About 200 jets come out of a CPU second.
    seed:
        Samples of different seeds share no event.  The result depends on `n_jets` and `seed`
        alone: every chunk of events has its own seed, and chunks are used in order.
    workers:
        Processes to use.
    progress:
        Called with the jets found so far and those wanted.
    """
    wanted = -(-n_jets // len(CLASSES))
    found: list[Jets] = []
    population = np.zeros((len(CLASSES), len(PT_EDGES) + 1), np.int64)
    for chunk in _chunks(seed, workers):
        found.append(chunk)
        np.add.at(population, (chunk.y, np.digitize(chunk.pt, PT_EDGES)), 1)
        triplets = int(population.min(axis=0).sum())
        if progress is not None:
            progress(min(len(CLASSES) * triplets, n_jets), n_jets)
        if triplets >= wanted:
            break
    pool = concatenate(found)
    # Triplets are drawn at random: the bins in which charm is scarce were filled last.
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(rng.permutation(match(pool.y, pool.pt))[:wanted].ravel())
    return pool[chosen[:n_jets]]


def match(y: NDArray[np.int8], pt: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return indices [m, 3] of triplets: a light, a charm and a bottom jet in one bin of pT."""
    place = np.digitize(pt, PT_EDGES)
    by_class = []
    for label in range(len(CLASSES)):
        members = np.flatnonzero(y == label)
        members = members[np.argsort(place[members], kind="stable")]
        bins = place[members]
        rank = np.arange(bins.size) - np.searchsorted(bins, bins, side="left")
        by_class.append((members, bins * (len(y) + 1) + rank))
    keys = by_class[0][1]
    for _, other in by_class[1:]:
        keys = np.intersect1d(keys, other, assume_unique=True)
    return np.stack([members[np.isin(own, keys)] for members, own in by_class], axis=-1)


def concatenate(parts: list[Jets]) -> Jets:
    """Return the jets of all `parts`, in order."""
    columns = ([getattr(part, name) for part in parts] for name in ("x", "y", "pt"))
    return Jets(*(np.concatenate(column) for column in columns))


def split(jets: Jets, *sizes: int) -> tuple[Jets, ...]:
    """Return consecutive parts of the given sizes, and a last one with what is left."""
    if sum(sizes) > len(jets):
        raise ValueError(f"cannot take {sum(sizes)} jets out of {len(jets)}")
    edges = np.cumsum([0, *sizes, len(jets) - sum(sizes)])
    return tuple(jets[a:b] for a, b in pairwise(edges))


def save(path: Path, **parts: Jets) -> None:
    """Write the named parts to `path` as x_NAME, y_NAME and pt_NAME, whole or not at all.

    x is stored as float16 where that loses nothing, as it does after 8-bit quantization.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, part in parts.items():
        half = part.x.astype(np.float16)
        arrays[f"x_{name}"] = half if np.array_equal(half, part.x) else part.x
        arrays[f"y_{name}"] = part.y
        arrays[f"pt_{name}"] = part.pt
    save_arrays(path, arrays)


def load(path: Path, part: str) -> Jets:
    """Read one part of a file that `save` wrote; pickled objects are refused."""
    try:
        # Opened here: numpy leaves a file open that turns out to be no archive.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            x, y, pt = (file[f"{column}_{part}"] for column in ("x", "y", "pt"))
    except FileNotFoundError as error:
        raise DataError("E605", "no such data file", layer=str(path)) from error
    except KeyError as error:
        raise DataError(
            "E604", "the file lacks jets", layer=str(path), cause=f"It has no part {part!r}"
        ) from error
    except UNREADABLE as error:
        raise DataError("E601", "not a jets file", layer=str(path), cause=str(error)) from error
    if not (np.issubdtype(x.dtype, np.floating) and x.ndim == 3):
        raise DataError("E602", "x is not a float array [n, 15, 6]", layer=str(path))
    try:
        return Jets(x.astype(np.float32), y, pt)
    except ValueError as error:
        raise DataError("E602", "malformed jets", layer=str(path), cause=str(error)) from error


def _chunk(seed: int, index: int, n_events: int) -> Jets:
    """Return the unmatched jets of one chunk of events."""
    state = np.random.SeedSequence((seed, index)).generate_state(1)
    x, y, pt = simulate(1 + int(state[0]) % PYTHIA_SEEDS, index % 2, n_events)
    return Jets(x, y.astype(np.int8), pt)


def _chunks(seed: int, workers: int) -> Iterator[Jets]:
    """Yield chunks 0, 1, 2 ... without end, simulated ahead by `workers` processes."""
    if workers == 1:
        yield from (_chunk(seed, index, CHUNK) for index in count())
        return
    # Spawned, not forked: the caller may run threads, as TensorFlow does.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        ahead: deque[Future[Jets]] = deque()
        for index in count():
            ahead.append(pool.submit(_chunk, seed, index, CHUNK))
            if len(ahead) == 2 * workers:
                yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
