"""A recipe's whole run: samples, training, and a folder that ``gateformer run`` takes.

Owns ``make``. Imports torch and Brevitas on demand.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets.archive import save_arrays
from gateformer.quant.datasets.labelled import Labelled, Sample
from gateformer.quant.metrics import accuracy
from gateformer.quant.train.brevitas.export import export, outputs
from gateformer.quant.train.brevitas.fitting import Print
from gateformer.quant.train.brevitas.packages import load
from gateformer.quant.train.brevitas.recipe import Bits, Recipe
from gateformer.quant.train.brevitas.tasks import samples
from gateformer.quant.train.brevitas.training import Trained, fitted, train

VERSION = 1
"""Grows whenever the same recipe trains another network than before."""

CHECKPOINTS = "checkpoints"


def make(
    recipe: Recipe,
    out: Path,
    folder: Path,
    workers: int = 1,
    say: Print = print,
    shared: Path | None = None,
    quantized: bool = True,
) -> Trained:
    """Train after a recipe and write a design.

    ``model.onnx``, ``data.npz`` (x_test, y_test, x_calib, y_calib and y_framework, the outputs of
    Brevitas itself for x_test), ``training.json``, and ``design.toml`` unless there is one. While
    it trains, ``checkpoints`` holds what an interrupted run goes on from.

    Parameters
    ----------
    recipe : Recipe
        What to train and how.
    out : Path
        The design's folder.
    folder : Path
        Where simulated events are kept.
    workers : int
        Processes that simulate events.
    say : callable
        Takes lines about the progress.
    shared : Path, optional
        Folder of fits in floating point, which recipes that differ only in quantizers share.
    quantized : bool
        Whether to fit with quantizers; else the network in floating point is the model.
    """
    for package in ("brevitas.nn", "onnx", "onnxoptimizer"):
        load(package)  # what is missing is told before anything takes time
    sample = samples(recipe.task, recipe.data, folder, workers)
    out.mkdir(parents=True, exist_ok=True)
    own = _float_identity(recipe, sample)
    # In the design's own folder it outlives a change of the fit with quantizers, too.
    first = (shared / f"float-{own[:16]}.npz" if shared else out / CHECKPOINTS / "float.npz", own)
    first[0].parent.mkdir(parents=True, exist_ok=True)
    if quantized:
        kept = out / CHECKPOINTS
        trained = train(recipe, sample, kept, identity(recipe, sample), say, first)
    else:
        trained = _real(fitted(recipe, sample, *first, say), sample)
    shape = (sample.train.x.shape[1], sample.train.x.shape[2])
    export(trained.network, shape, out / "model.onnx")
    calibration = sample.train[: recipe.data.calibration]
    arrays: dict[str, NDArray[Any]] = {"y_framework": trained.outputs}
    for name, part in (("test", sample.test), ("calib", calibration)):
        arrays |= {f"x_{name}": _narrow(part), f"y_{name}": part.y}
    save_arrays(out / "data.npz", arrays)
    facts = {"task": recipe.task, "float": trained.real, "quantized": trained.quantized}
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    design = out / "design.toml"
    if not design.exists():
        design.write_text(_design(recipe.task, sample), encoding="utf-8")
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return trained


def _real(network: Any, sample: Sample) -> Trained:
    found = outputs(network, sample.test.x)
    reached = accuracy(found, sample.test.y)
    return Trained(network, found, reached, reached)


def _float_identity(recipe: Recipe, sample: Sample) -> str:
    """Return the identity of the fit in floating point, quantizers left out of it."""
    techniques = replace(recipe.techniques, log_sqrt2=None, accumulator_bits=None)
    training = replace(recipe.training, quantized_epochs=1, quantized_rate=1.0)
    data = replace(recipe.data, calibration=1)
    first = replace(
        recipe,
        data=data,
        bits=Bits(),
        techniques=techniques,
        training=training,
        refinement=None,
    )
    return identity(first, sample)


def identity(recipe: Recipe, sample: Sample) -> str:
    """Return what tells one run from another: recipe, samples and the trainer's version."""
    # A table that came later is told where there is one: older recipes keep what they were.
    words = repr(recipe).replace(", refinement=None)", ")")
    told = sha256(f"{VERSION} {words}".encode())
    for part in (sample.train, sample.valid):
        told.update(part.x.tobytes())
        told.update(part.y.tobytes())
    return told.hexdigest()


def _narrow(part: Labelled) -> NDArray[np.floating]:
    """Return inputs in 16 bits where those hold them exactly."""
    half = part.x.astype(np.float16)
    return half if np.array_equal(half, part.x) else part.x


def _design(task: str, sample: Sample) -> str:
    classes = ", ".join(json.dumps(name) for name in sample.classes)
    return (
        f"# A network trained by gateformer train:\n"
        f"#   gateformer run design.toml\n"
        f'model = "model.onnx"\n'
        f'name = "{task}"\n\n'
        f"[data]\n"
        f'file = "data.npz"           # y_framework: what Brevitas gives for x_test\n'
        f"classes = [{classes}]\n"
    )
