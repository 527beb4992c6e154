"""Train the b-tagging transformer with quantizers, from simulated collisions to an .h5 file.

    gateformer train fpga_projects/btag/recipe.toml

writes model.h5 and jets.npz beside the recipe.  Simulated jets are kept in --data and reused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.datasets import jets
from gateformer.quant.datasets.jets import Jets
from gateformer.quant.train import fitting
from gateformer.quant.train.attention import keras
from gateformer.quant.train.fitting import Print, save_model, score_ranges
from gateformer.quant.train.metrics import Separation, separation
from gateformer.quant.train.network import build
from gateformer.quant.train.pruning import Course
from gateformer.quant.train.recipe import Data, Quantization, Recipe, Training
from gateformer.quant.train.simulated import kept


@dataclass(frozen=True, slots=True)
class Sample:
    """The jets of a run; `test` comes from other events than the rest."""

    train: Jets
    valid: Jets
    test: Jets


@dataclass(frozen=True, slots=True)
class Report:
    """What a run reached on the test jets.

    Attributes
    ----------
    real, quantized:
        Separation by the floating-point network and by the quantized one.
    scores:
        Smallest and largest attention score of each block of the quantized network.
    """

    real: Separation
    quantized: Separation
    scores: tuple[tuple[float, float], ...]


def run(recipe: Recipe[Data], out: Path, data: Path, workers: int, say: Print = print) -> Report:
    """Train after `recipe`; write model.h5 and jets.npz into the folder `out`."""
    sample = prepare(recipe.data, data, workers)
    model, report = train(recipe, sample, say)
    save_model(model, out / "model.h5")
    quantize = partial(quantize_inputs, quantization=recipe.quantization)
    calibration = sample.train[: recipe.data.calibration]
    jets.save(out / "jets.npz", test=quantize(sample.test), calib=quantize(calibration))
    return report


def prepare(recipe: Data, folder: Path, workers: int) -> Sample:
    """Return the jets of a recipe, from `folder` where they were simulated before."""
    known = kept(folder, recipe.train + recipe.valid, recipe.seed, workers)
    fitted, valid = jets.split(known, recipe.train)
    return Sample(fitted, valid, kept(folder, recipe.test, recipe.seed + 1, workers))


def train(recipe: Recipe[Data], sample: Sample, say: Print = print) -> tuple[Any, Report]:
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
        real=separation(real.predict(x, 4096, verbose=0), y),
        quantized=separation(quantized.predict(x, 4096, verbose=0), y),
        scores=score_ranges(quantized, x),
    )


def fit(
    model: Any,
    sample: Sample,
    plan: Training,
    stage: Literal["float", "quantized"],
    say: Print = print,
    course: Course | None = None,
) -> None:
    """Fit `model`; its best epoch has the highest mean area on the validation jets."""
    order = np.random.default_rng(plan.seed)

    def shuffled() -> Iterator[tuple[NDArray[np.float32], NDArray[np.int8]]]:
        while True:
            jets = sample.train[order.permutation(len(sample.train))]
            yield jets.x, jets.y

    def judge(output: NDArray[np.floating]) -> tuple[float, str]:
        reached = separation(output, sample.valid.y)
        return reached.macro, describe(reached)

    epochs, rate = (
        (plan.float_epochs, plan.float_rate)
        if stage == "float"
        else (plan.quantized_epochs, plan.quantized_rate)
    )
    steps, key, valid = len(sample.train) // plan.batch, f"{stage}_rate", sample.valid.x
    fitting.fit(model, shuffled(), plan.batch, epochs, steps, rate, key, valid, judge, say, course)


def quantize_inputs(sample: Jets, quantization: Quantization) -> Jets:
    """Return jets whose features are rounded as the network's first layer rounds them."""
    bits, integer = quantization.input_bits, quantization.input_integer
    step = 2.0 ** (integer + 1 - bits)
    bound = 2.0**integer
    x = np.clip(np.rint(sample.x / step) * step, -bound, bound - step)
    return Jets(x.astype(np.float32), sample.y, sample.pt)


def describe(reached: Separation) -> str:
    """Return the three areas in words."""
    b_light, b_charm, macro = astuple(reached)
    return f"b/light {b_light:.4f}, b/c {b_charm:.4f}, macro {macro:.4f}"
