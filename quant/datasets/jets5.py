"""Gluon, quark, W, Z and top jets of 1 TeV: a balanced, reproducible five-class sample.

`generate` simulates jets (see `boosted`) in chunks that it keeps in a folder, so that an
interrupted run goes on where it stopped.  `save` and `load` keep several named parts of a sample
in one .npz file.  Imports `boosted`, `labelled`, and from `jets` what unreadable files raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets import boosted
from gateformer.quant.datasets.archive import save_arrays
from gateformer.quant.datasets.boosted import CLASSES, FEATURES, N_PARTICLES
from gateformer.quant.datasets.jets import PYTHIA_SEEDS, UNREADABLE
from gateformer.quant.datasets.labelled import Labelled, Sample
from gateformer.quant.errors import DataError

VERSION = 1
"""Grows whenever the same seed gives other jets than before."""

CHUNK = 500
"""Events of one class with one seed of their own: some 850 jets."""


@dataclass(frozen=True, slots=True)
class Jets5:
    """Labelled jets of five classes.

    Attributes
    ----------
    x:
        float16 [n, N, 3]: features as in `boosted.features` of the N <= 64 particles of largest
        transverse momentum; missing particles are zero.
    y:
        int8 [n]: index into `boosted.CLASSES`.
    """

    x: NDArray[np.float16]
    y: NDArray[np.int8]

    def __post_init__(self) -> None:
        n, *rest = self.x.shape
        if len(rest) != 2 or not 1 <= rest[0] <= N_PARTICLES or rest[1] != len(FEATURES):
            raise ValueError(
                f"jets need x [n, 1 to {N_PARTICLES}, {len(FEATURES)}], not {self.x.shape}"
            )
        if self.y.shape != (n,):
            raise ValueError(f"{n} jets need y [{n}], not {self.y.shape}")
        if (self.x.dtype.name, self.y.dtype.name) != ("float16", "int8"):
            raise ValueError("jets need float16 x and int8 y")
        if not (np.isfinite(self.x).all() and np.isin(self.y, range(len(CLASSES))).all()):
            raise ValueError(f"jets need finite x, and y of 0 to {len(CLASSES) - 1}")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, which: slice | NDArray[Any]) -> Jets5:
        return Jets5(self.x[which], self.y[which])

    def hardest(self, particles: int) -> Jets5:
        """Return the same jets with their first `particles` particles."""
        return Jets5(np.ascontiguousarray(self.x[:, :particles]), self.y)


def generate(
    n_jets: int,
    seed: int,
    folder: Path,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Jets5:
    """Simulate a class-balanced sample.

    Parameters
    ----------
    n_jets:
        Size of the sample.  About 180 jets come out of a CPU second.
    seed:
        Samples of different seeds share no event.  A jet depends on the seed and on its place
        in the sample alone; a larger sample of one seed holds a smaller one's jets.
    folder:
        Where finished chunks are kept, and found again by a later run.
    workers:
        Processes to use.
    progress:
        Called with the jets found so far and those wanted.

    Raises
    ------
    ToolError
        E505 without the packages of the `data` extra.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = -(-n_jets // len(CLASSES))
    found: list[list[NDArray[np.float16]]] = [[] for _ in CLASSES]
    # Each class has its own chunks; one class ahead of the others costs at most a chunk.
    for index, chunk in enumerate(_chunks(folder, seed, workers)):
        found[index % len(CLASSES)].append(chunk)
        least = min(sum(map(len, parts)) for parts in found)
        if progress is not None:
            progress(min(len(CLASSES) * least, n_jets), n_jets)
        if least >= wanted:
            break
    x = np.stack([np.concatenate(parts)[:wanted] for parts in found], axis=1)
    y = np.tile(np.arange(len(CLASSES), dtype=np.int8), wanted)
    return Jets5(x.reshape(-1, *x.shape[2:])[:n_jets], y[:n_jets])


def sample(
    folder: Path,
    particles: int,
    train: int,
    valid: int,
    test: int,
    seed: int = 1,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Sample:
    """Return the jets of a run with their `particles` hardest particles.

    The test jets have `seed` + 1: they come from other events.  `folder` keeps what is simulated;
    the other parameters are those of `generate`.
    """
    fitted, chosen = split(generate(train + valid, seed, folder, workers, progress), train)
    tested = generate(test, seed + 1, folder, workers, progress)
    parts = [labelled(jets.hardest(particles)) for jets in (fitted, chosen, tested)]
    return Sample(parts[0], parts[1], parts[2], CLASSES)


def labelled(jets: Jets5) -> Labelled:
    """Return jets as any classifier takes its data."""
    return Labelled(jets.x.astype(np.float32), jets.y.astype(np.int64))


def split(jets: Jets5, *sizes: int) -> tuple[Jets5, ...]:
    """Return consecutive parts of the given sizes, and a last one with what is left.

    The two jets of an event lie next to each other within their class, so that at most one event
    a class and border is in two parts.
    """
    if sum(sizes) > len(jets):
        raise ValueError(f"cannot take {sum(sizes)} jets out of {len(jets)}")
    edges = np.cumsum([0, *sizes, len(jets) - sum(sizes)])
    return tuple(jets[a:b] for a, b in pairwise(edges))


def save(path: Path, **parts: Jets5) -> None:
    """Write the named parts to `path` as x_NAME and y_NAME, whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, part in parts.items():
        arrays |= {f"x_{name}": part.x, f"y_{name}": part.y}
    save_arrays(path, arrays)


def load(path: Path, part: str) -> Jets5:
    """Read one part of a file that `save` wrote; pickled objects are refused.

    Raises
    ------
    DataError
        E605 without the file, E601 where it is no archive, E604 without the part, E602 where
        the arrays are no jets.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            x, y = file[f"x_{part}"], file[f"y_{part}"]
    except FileNotFoundError as error:
        raise DataError("E605", "no such data file", layer=str(path)) from error
    except KeyError as error:
        raise DataError(
            "E604", "the file lacks jets", layer=str(path), cause=f"It has no part {part!r}"
        ) from error
    except UNREADABLE as error:
        raise DataError("E601", "not a jets file", layer=str(path), cause=str(error)) from error
    try:
        return Jets5(x, y)
    except ValueError as error:
        raise DataError("E602", "malformed jets", layer=str(path), cause=str(error)) from error


def _chunk(folder: Path, seed: int, index: int) -> NDArray[np.float16]:
    """Return the jets of one chunk, from its file where a run before left it."""
    path = folder / f"jets5-v{VERSION}-{seed}-{index:05d}.npz"
    try:
        return _read(path)
    except (FileNotFoundError, KeyError, *UNREADABLE):
        state = np.random.SeedSequence((seed, index)).generate_state(1)
        x, _ = boosted.simulate(1 + int(state[0]) % PYTHIA_SEEDS, index % len(CLASSES), CHUNK)
        save_arrays(path, {"x": x})
        return x


def _read(path: Path) -> NDArray[np.float16]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        x: NDArray[np.float16] = file["x"]
    if x.dtype.name != "float16" or x.shape[1:] != (N_PARTICLES, len(FEATURES)):
        raise ValueError(f"no chunk: {x.dtype} {x.shape}")
    return x


def _chunks(folder: Path, seed: int, workers: int) -> Iterator[NDArray[np.float16]]:
    """Yield chunks 0, 1, 2 ... without end, simulated ahead by `workers` processes."""
    index = 0
    if workers == 1:
        while True:
            yield _chunk(folder, seed, index)
            index += 1
    # Spawned, not forked: the caller may run threads.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        ahead: list[Future[NDArray[np.float16]]] = []
        while True:
            while len(ahead) < 2 * workers:
                ahead.append(pool.submit(_chunk, folder, seed, index))
                index += 1
            yield ahead.pop(0).result()
    finally:
        pool.shutdown(cancel_futures=True)
