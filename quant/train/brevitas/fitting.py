"""One fit of a network: steps, epochs, the best of them, and going on after an interruption.

Owns ``Plan``, ``fit``, ``diverged``, ``renew`` and ``judge``. Imports torch on demand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets.labelled import Labelled, Sample
from gateformer.quant.errors import ConfigError
from gateformer.quant.metrics import accuracy
from gateformer.quant.train.brevitas import checkpoint
from gateformer.quant.train.brevitas.checkpoint import State, Weights
from gateformer.quant.train.brevitas.export import BATCH, outputs
from gateformer.quant.train.brevitas.norms import fix, reread, set_share
from gateformer.quant.train.brevitas.packages import torch
from gateformer.quant.train.brevitas.pruning import Pruning
from gateformer.quant.train.pruning import share_at

Print = Callable[[str], None]
"""Where lines about the progress of a fit go."""

SETTLED = 0.75
"""Part of the floating-point fit after which techniques no longer change the network."""

READ = 40960
"""Training samples, at most, that fixed means of normalizations are read from."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one fit goes.

    Attributes
    ----------
    stage
        0 in floating point, 1 with quantizers.
    seed, batch, epochs, rate, decay
        As ``recipe.Training`` has them, for this stage.
    pruning
        Share of each layer's weights that becomes zero in stage 0; in stage 1 zeros stay.
    settles
        Whether the best epoch is to be one after `SETTLED` of the fit.
    fixed_norms, distill
        As ``recipe.Refinement`` has them, for this stage.
    """

    stage: int
    seed: int
    batch: int
    epochs: int
    rate: float
    decay: float
    pruning: float
    settles: bool
    fixed_norms: float = 1.0
    distill: float = 0.0


def fit(
    network: Any,
    plan: Plan,
    sample: Sample,
    path: Path,
    identity: str,
    say: Print = print,
    wanted: NDArray[np.float32] | None = None,
) -> None:
    """Fit with AdamW and a cosine-shaped learning rate; leave the best epoch in `network`.

    Parameters
    ----------
    network
        A torch module that gives logits.
    plan : Plan
        How.
    sample : Sample
        What is fitted and what tells the best epoch.
    path : Path
        The checkpoint, written after each epoch; a fit that it holds is gone on with.
    identity : str
        Of the run; a checkpoint of another is written over.
    say : callable
        Takes a line an epoch.
    wanted : ndarray of float32, (n, classes), optional
        Shares of the classes that another network gives the training samples, to distill.

    Raises
    ------
    ConfigError
        E009 where the loss is no number; the checkpoint is then the one before that epoch.
    """
    found = checkpoint.restore(path, identity)
    if found is not None and found.epoch == plan.epochs and not found.best:
        found = None  # a fit without a best epoch diverged, and nothing goes on from it
    state = found or State(0, -math.inf, {}, {}, {})
    if found is not None:
        network.load_state_dict(state.now)
    # Brevitas loads a scale as another parameter: an optimizer made before would not move it.
    optimizer = _optimizer(network, plan)
    checkpoint.set_moments(optimizer, state.moments)
    pruning = Pruning.of(network)
    fixed = math.floor(plan.fixed_norms * plan.epochs)  # the first epoch with such means
    if state.epoch > fixed:
        fix(network)
    for epoch in range(state.epoch, plan.epochs):
        part = epoch / plan.epochs if plan.stage == 0 else 1.0
        pruned = plan.pruning if plan.stage == 0 else 0.0
        zeros = pruning.smallest(share_at(part, pruned)) if pruned else pruning.zeros()
        clear = partial(pruning.clear, zeros)
        if epoch == fixed:
            renew(network, sample)
            fix(network)
        loss = _epoch(network, optimizer, plan, (sample.train, wanted), epoch, clear)
        reached, words = judge(network, sample.valid)
        if not math.isfinite(reached):
            raise diverged(plan, epoch, f"outputs that are no numbers after epoch {epoch + 1}")
        say(f"epoch {epoch + 1}/{plan.epochs}: loss {loss:.4f}, {words}")
        ripe = not plan.settles or part >= SETTLED or epoch + 1 == plan.epochs
        now = network.state_dict()
        better = ripe and reached > state.reached
        best = _copy(now) if better else state.best
        reached = reached if better else state.reached
        state = State(epoch + 1, reached, best, now, checkpoint.moments(optimizer))
        checkpoint.save(path, identity, state)
    network.load_state_dict(state.best)


def diverged(plan: Plan, epoch: int, seen: str) -> ConfigError:
    """Return E009: what was `seen` in an epoch, counted from 0, and where the fit still stood."""
    fit_, key = (("in floating point", "float_rate"), ("with quantizers", "quantized_rate"))[
        plan.stage
    ]
    kept = f"The checkpoint keeps epoch {epoch}" if epoch else "No epoch was done before"
    return ConfigError(
        "E009",
        "training that diverges",
        layer=f"training.{key}",
        cause=f"The fit {fit_} gave {seen} of {plan.epochs}, at a rate of {plan.rate:g}. {kept}",
        fix=f"Lower training.{key}, and run the command again",
    )


def renew(network: Any, sample: Sample) -> None:
    """Read the means of normalizations anew, for the weights as they are."""
    some = sample.train.x[:READ]
    reread(network, (torch().from_numpy(part) for part in _batches(some)))


def judge(network: Any, samples: Labelled) -> tuple[float, str]:
    """Return how much probability the labels get in the mean, and that in words."""
    logits = outputs(network, samples.x).astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    likelihood = float(shares[np.arange(len(samples)), samples.y].mean())
    told = accuracy(logits, samples.y)
    return likelihood, f"accuracy {told:.4f}, likelihood {likelihood:.4f}"


def _optimizer(network: Any, plan: Plan) -> Any:
    """Return AdamW; kernels alone decay, not biases, norms and scales."""
    parts: list[list[Any]] = [[], []]
    for _, parameter in network.named_parameters():
        parts[parameter.dim() >= 2].append(parameter)
    groups = [
        {"params": p, "weight_decay": d} for p, d in zip(parts, (0.0, plan.decay), strict=True)
    ]
    return torch().optim.AdamW(groups, lr=plan.rate)


def _epoch(
    network: Any,
    optimizer: Any,
    plan: Plan,
    data: tuple[Labelled, NDArray[np.float32] | None],
    epoch: int,
    clear: Callable[[], None],
) -> float:
    """Fit one epoch, last steps short of a batch left out; return the mean loss."""
    network.train()
    samples, wanted = data
    # A seed an epoch: an interrupted run goes on with the same order.
    order = np.random.default_rng([plan.seed, plan.stage, epoch]).permutation(len(samples))
    steps = max(1, len(samples) // plan.batch)
    total = 0.0
    for step in range(steps):
        done = (epoch + step / steps) / plan.epochs
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * 0.5 * (1.0 + math.cos(math.pi * done))
        set_share(network, 1.0 - done / SETTLED if plan.stage == 0 else 0.0)
        drawn = order[step * plan.batch : (step + 1) * plan.batch]
        x, y = torch().from_numpy(samples.x[drawn]), torch().from_numpy(samples.y[drawn])
        logits = network(x)
        loss = torch().nn.functional.cross_entropy(logits, y)
        if wanted is not None:
            soft = torch().nn.functional.cross_entropy(logits, torch().from_numpy(wanted[drawn]))
            loss = (1.0 - plan.distill) * loss + plan.distill * soft
        optimizer.zero_grad()
        value = loss.item()
        if not math.isfinite(value):
            seen = f"a loss of {value:g} in step {step + 1} of {steps}, epoch {epoch + 1}"
            raise diverged(plan, epoch, seen)
        loss.backward()
        optimizer.step()
        clear()
        total += value
    return total / steps


def _batches(x: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (x[start : start + BATCH] for start in range(0, len(x), BATCH))


def _copy(weights: Weights) -> Weights:
    return {name: tensor.clone() for name, tensor in weights.items()}
