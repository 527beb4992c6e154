"""A point's network: trained once for all points that share it, then quantized where asked.

Owns ``design``, ``training_key`` and ``versions``. Imports the trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gateformer.config.read import load
from gateformer.flow.files import digest_of, discard
from gateformer.flow.quantizing import quantize
from gateformer.quant.datasets.labelled import Sample
from gateformer.quant.ptq.settings import Recipe as Widths
from gateformer.quant.train.brevitas import making, tasks
from gateformer.quant.train.brevitas.recipe import Samples
from gateformer.study.points import Point

PACKAGES = ("torch", "brevitas", "onnx", "numpy")
"""What decides a training besides the recipe and the data."""

Say = Callable[[str], None]


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Return the versions of packages; those that are missing have none."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def training_key(point: Point, data: Path) -> str:
    """Return the hash of what decides a point's training: recipe, data, versions."""
    return digest_of(
        {
            "trainer": making.VERSION,
            "recipe": told(point.recipe),
            "data": data_digest(point.recipe.task, point.recipe.data, data),
            "real": point.ptq is not None,
            "versions": versions(),
        }
    )


def told(value: Any) -> Any:
    """Return a recipe as JSON values, without what is left out: later keys change no hash."""
    if is_dataclass(value):
        found = {one.name: told(getattr(value, one.name)) for one in fields(value)}
        return {name: inner for name, inner in found.items() if inner is not None}
    return list(value) if isinstance(value, tuple) else value


def data_digest(task: str, wanted: Samples, folder: Path) -> str:
    """Return the hash of all samples of a recipe, test samples among them."""
    return _digest(task, wanted, folder)


@lru_cache(maxsize=64)
def _digest(task: str, wanted: Samples, folder: Path) -> str:
    sample: Sample = tasks.samples(task, wanted, folder, workers=1)
    told = sha256()
    for part in (sample.train, sample.valid, sample.test):
        told.update(repr(part.x.shape).encode())
        told.update(part.x.tobytes())
        told.update(part.y.tobytes())
    return told.hexdigest()


def trained(point: Point, data: Path, cache: Path, say: Say) -> Path:
    """Return the design that a point's training gives; it is kept in `cache`.

    An interrupted training goes on from its last epoch.
    """
    folder = cache / "trained" / training_key(point, data)[:24]
    if folder.is_dir():
        return folder
    partial = folder.with_name(f"{folder.name}.partial")
    quantized, floats = point.ptq is None, cache / "floats"
    making.make(point.recipe, partial, data, 1, say, floats, quantized)
    partial.rename(folder)
    return folder


def design(point: Point, data: Path, cache: Path, place: Path, say: Say) -> Path:
    """Return the design of a point, trained and quantized.

    Parameters
    ----------
    point : Point
        Which.
    data, cache : Path
        Folders of simulated events and of trainings.
    place : Path
        The point's own folder: what is quantized after training goes there.
    say : callable
        Takes lines about the progress.
    """
    folder = trained(point, data, cache, say)
    if point.ptq is None:
        return folder
    given: dict[str, Any] = dict(point.ptq)
    techniques = {str(name): float(value) for name, value in given.pop("techniques", {}).items()}
    out = place / "quantized"
    discard(out)
    quantize(load(folder, point.overrides), Widths(**given), techniques, None, out)
    return out
