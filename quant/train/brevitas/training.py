"""A recipe's two fits, in floating point and with quantizers from there, and what they reach.

Owns ``Trained``, ``train``, ``fitted`` and ``calibrate``. Imports torch and Brevitas on demand.
"""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets.labelled import Sample
from gateformer.quant.metrics import accuracy
from gateformer.quant.train.brevitas.export import BATCH, outputs
from gateformer.quant.train.brevitas.feedforward import ffn_class
from gateformer.quant.train.brevitas.fitting import Plan, Print, fit, renew
from gateformer.quant.train.brevitas.fused import fused
from gateformer.quant.train.brevitas.network import block_class, build
from gateformer.quant.train.brevitas.packages import load, seeded, torch
from gateformer.quant.train.brevitas.recipe import Recipe

CALIBRATION = 2048
"""Training samples, at most, that the quantizers' first scales are read from."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run made.

    Attributes
    ----------
    network
        The torch module with quantizers.
    outputs : ndarray of float32, (n, classes)
        What it gives for the test samples.
    real, quantized
        Shares of them that the network in floating point and this one tell.
    """

    network: Any
    outputs: NDArray[np.float32]
    real: float
    quantized: float


def train(
    recipe: Recipe,
    sample: Sample,
    kept: Path,
    identity: str,
    say: Print = print,
    first: tuple[Path, str] | None = None,
) -> Trained:
    """Fit after a recipe; go on where an interrupted run of the same identity stopped.

    Parameters
    ----------
    recipe : Recipe
        What to train and how.
    sample : Sample
        What to train on.
    kept : Path
        Folder of the checkpoints, which stay there.
    identity : str
        Of recipe and samples.
    say : callable
        Takes a line an epoch.
    first : (Path, str), optional
        Checkpoint and identity of the fit in floating point, where recipes share it.
    """
    kept.mkdir(parents=True, exist_ok=True)
    shape, classes = sample.train.x.shape[1:], len(sample.classes)
    real = fitted(recipe, sample, *(first or (kept / "float.npz", identity)), say)
    quantized = build(recipe, shape, classes, quantized=True)
    refine(quantized, real, recipe, sample, kept / "quantized.npz", identity, say)
    found = outputs(quantized, sample.test.x)
    y = sample.test.y
    told = accuracy(outputs(real, sample.test.x), y), accuracy(found, y)
    return Trained(quantized, found, *told)


def fitted(recipe: Recipe, sample: Sample, path: Path, identity: str, say: Print = print) -> Any:
    """Return the recipe's network in floating point, fitted; `path` is its checkpoint."""
    seeded(recipe.training.seed)
    real = build(recipe, sample.train.x.shape[1:], len(sample.classes), quantized=False)
    fit(real, _plan(recipe, 0), sample, path, identity, say)
    return real


def refine(
    quantized: Any,
    real: Any,
    recipe: Recipe,
    sample: Sample,
    path: Path,
    identity: str,
    say: Print = print,
) -> None:
    """Give a network with quantizers a trained one's weights, and fit it from there.

    Parameters
    ----------
    quantized, real
        torch modules whose weights have the same names and shapes.
    recipe, sample, path, identity, say
        As `train` and `fit` take them; of the recipe, the training and the techniques.
    """
    if recipe.refinement:
        real = deepcopy(real)  # it teaches better with means of its last weights
        renew(real, sample)
    quantized.load_state_dict(real.state_dict(), strict=False)
    calibrate(quantized, sample.train.x[:CALIBRATION])
    plan = _plan(recipe, 1)
    wanted = None
    if plan.distill > 0.0:
        logits = torch().from_numpy(outputs(real, sample.train.x))
        wanted = torch().softmax(logits, 1).numpy()
    # Older recipes keep their bytes: the order of a sum differs.
    with fused(quantized) if recipe.refinement else nullcontext():
        fit(quantized, plan, sample, path, identity, say, wanted)
    for module in quantized.modules():
        if isinstance(module, ffn_class()) and module.keep is not None:
            module.fold()


def calibrate(network: Any, x: NDArray[np.floating]) -> None:
    """Read the first scale of each activation's quantizer from samples, nothing quantized."""
    network.eval()
    blocks = [module for module in network.modules() if isinstance(module, block_class())]
    for block in blocks:
        block.calibrating = True
    with load("brevitas.graph.calibrate").calibration_mode(network), torch().no_grad():
        for start in range(0, len(x), BATCH):
            network(torch().from_numpy(np.asarray(x[start : start + BATCH], np.float32)))
    for block in blocks:
        block.calibrating = False


def _plan(recipe: Recipe, stage: int) -> Plan:
    plan, techniques = recipe.training, recipe.techniques
    return Plan(
        stage=stage,
        seed=plan.seed,
        batch=plan.batch,
        epochs=(plan.float_epochs, plan.quantized_epochs)[stage],
        rate=(plan.float_rate, plan.quantized_rate)[stage],
        decay=plan.decay,
        pruning=techniques.pruning,
        settles=stage == 0 and (recipe.norm == "prepbn" or techniques.pruning > 0.0),
        fixed_norms=1.0 if stage == 0 else recipe.fixed_norms,
        distill=0.0 if stage == 0 else recipe.distill,
    )
