"""Train the digits transformer with quantizers, from scikit-learn's images to an .h5 file.

    gateformer train fpga_projects/digits/recipe.toml

writes model.h5 and digits.npz beside the recipe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets import digits
from gateformer.quant.datasets.digits import Digits
from gateformer.quant.errors import ConfigError
from gateformer.quant.metrics import accuracy
from gateformer.quant.train import fitting
from gateformer.quant.train.attention import keras
from gateformer.quant.train.digits_network import build
from gateformer.quant.train.fitting import Print, save_model, score_ranges
from gateformer.quant.train.pruning import Course
from gateformer.quant.train.recipe import DigitsData, Recipe, Training


@dataclass(frozen=True, slots=True)
class Sample:
    """The digits of a run."""

    train: Digits
    valid: Digits
    test: Digits


@dataclass(frozen=True, slots=True)
class Report:
    """What a run reached on the test digits.

    Attributes
    ----------
    real, quantized:
        Share of them that the floating-point network and the quantized one tell.
    scores:
        Smallest and largest attention score of the quantized network.
    """

    real: float
    quantized: float
    scores: tuple[float, float]


def run(recipe: Recipe[DigitsData], out: Path, say: Print = print) -> Report:
    """Train after `recipe`; write model.h5 and digits.npz into the folder `out`."""
    plan = recipe.data
    try:
        sample = Sample(*digits.split(digits.load(), plan.seed, plan.train, plan.valid))
    except ValueError as error:
        raise ConfigError("E022", "wrong sizes", layer="data", cause=str(error)) from error
    model, report = train(recipe, sample, say)
    save_model(model, out / "model.h5")
    digits.save(out / "digits.npz", test=sample.test, calib=sample.train[: plan.calibration])
    return report


def train(recipe: Recipe[DigitsData], sample: Sample, say: Print = print) -> tuple[Any, Report]:
    """Fit in floating point, then with quantizers from there; return the quantized network."""
    plan = recipe.training
    keras().utils.set_random_seed(plan.seed)
    real = build(None, plan.score_limit)
    techniques = recipe.techniques
    fit(real, sample, plan, "float", say, techniques.course(grows=True))
    quantized = build(recipe.quantization, plan.score_limit)
    quantized.set_weights(real.get_weights())
    fit(quantized, sample, plan, "quantized", say, techniques.course(grows=False))
    x, y = sample.test.x, sample.test.y
    return quantized, Report(
        real=accuracy(real.predict(x, 4096, verbose=0), y),
        quantized=accuracy(quantized.predict(x, 4096, verbose=0), y),
        scores=score_ranges(quantized, x)[0],
    )


def fit(
    model: Any,
    sample: Sample,
    plan: Training,
    stage: Literal["float", "quantized"],
    say: Print,
    course: Course | None = None,
) -> None:
    """Fit `model`; its best epoch gives the validation digits' labels the most."""
    order = np.random.default_rng(plan.seed)

    def shuffled() -> Iterator[tuple[NDArray[np.float32], NDArray[np.int8]]]:
        while True:
            drawn = sample.train[order.permutation(len(sample.train))]
            yield drawn.x, drawn.y

    def judge(output: NDArray[np.floating]) -> tuple[float, str]:
        y = sample.valid.y
        likelihood = float(output[np.arange(len(y)), y].astype(np.float64).clip(1e-9).mean())
        return likelihood, f"accuracy {accuracy(output, y):.4f}, likelihood {likelihood:.4f}"

    epochs, rate = (
        (plan.float_epochs, plan.float_rate)
        if stage == "float"
        else (plan.quantized_epochs, plan.quantized_rate)
    )
    steps, key, valid = len(sample.train) // plan.batch, f"{stage}_rate", sample.valid.x
    fitting.fit(model, shuffled(), plan.batch, epochs, steps, rate, key, valid, judge, say, course)
