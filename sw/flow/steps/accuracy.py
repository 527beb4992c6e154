"""Accuracy: the model in float64 against its integers, on the test data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateformer.config.schema import Config
from gateformer.flow.data import Samples, data_files, read_samples
from gateformer.flow.step import Metric, Outcome, Step, View
from gateformer.flow.steps.importing import Import
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.vectors import quantized
from gateformer.quant.types import FloatArray, IntArray

CHUNK = 1000
"""Samples at a time: attention's intermediate values take memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """The first output of every test sample.

    Attributes
    ----------
    float, integer : ndarray of float64, (n, outputs)
        Of the model, and of its integers as reals.
    labels : ndarray of int64 or None
        Classes.
    reason : str
        Why something is missing.
    """

    float: FloatArray | None
    integer: FloatArray | None
    labels: IntArray | None
    reason: str


class Accuracy(Step[Outputs]):
    """Runs the test data through the model and through its integers."""

    name = "accuracy"
    needs = (Import, Lower)
    uses = ("data",)

    def files(self, config: Config) -> Iterable[Path]:
        """Yield the data's file."""
        return data_files(config)

    def make(self, view: View) -> Outputs:
        """Return both outputs, or why there are none."""
        if view.config.data.file is None:
            return Outputs(None, None, None, "no data: set data.file, or give --data")
        samples = read_samples(view.config.data, view.get(Import), "test")
        return evaluate(view, samples)

    def write(self, view: View, product: Outputs, folder: Path) -> Outcome:
        """Write both outputs, and what they are worth."""
        if product.float is None or product.integer is None:
            return Outcome(blank(product.reason), product.reason)
        arrays: dict[str, np.ndarray] = {"float": product.float, "integer": product.integer}
        if product.labels is not None:
            arrays["labels"] = product.labels
            arrays["classes"] = np.array(view.config.data.classes, np.str_)
        np.savez_compressed(folder / "outputs.npz", **arrays)  # type: ignore[arg-type] # as above
        difference = np.abs(product.float - product.integer)
        metrics: dict[str, Metric] = {
            **blank(product.reason),
            "accuracy.samples": len(product.float),
            "accuracy.mean_difference": float(difference.mean()),
            "accuracy.largest_difference": float(difference.max()),
        }
        if product.float.shape[1] > 1:
            same = product.float.argmax(1) == product.integer.argmax(1)
            metrics["accuracy.argmax_agreement"] = float(same.mean())
        reason = unusable(product)
        metrics["accuracy.reason"] = reason
        if reason is not None or product.labels is None:
            return Outcome(metrics, f"mean difference {difference.mean():.2g}; {reason}")
        from gateformer.quant.metrics import accuracy, auc

        outputs = (product.float, product.integer)
        before, after = (auc(out, product.labels) for out in outputs)
        right = [accuracy(out, product.labels) for out in outputs]
        metrics |= {
            "accuracy.metric": "auc",
            "accuracy.float": before,
            "accuracy.integer": after,
            "accuracy.ratio": after / before if before else None,
            "accuracy.top1_float": right[0],
            "accuracy.top1_integer": right[1],
        }
        told = f"AUC {before:.4f} in float, {after:.4f} in integers"
        return Outcome(metrics, f"{told}; {right[0]:.1%} and {right[1]:.1%} right")


def evaluate(view: View, samples: Samples) -> Outputs:
    """Run samples through the model and through its integers."""
    from gateformer.quant.execute import run, run_reals

    model, typed = view.get(Import), view.get(Lower).graph
    name = model.outputs[0]
    reals, integers = [], []
    for start in range(0, len(samples), CHUNK):
        part = {key: array[start : start + CHUNK] for key, array in samples.inputs.items()}
        count = len(next(iter(part.values())))
        real = run_reals(model, part)[name]
        raw = run(typed, quantized(typed, part, count))[typed.outputs[0]]
        reals.append(real.reshape(count, -1))
        integers.append(typed.to_real(typed.outputs[0], raw).reshape(count, -1))
        view.progress(start + count, len(samples))
    return Outputs(np.concatenate(reals), np.concatenate(integers), samples.labels, samples.reason)


def blank(reason: str) -> dict[str, Metric]:
    """Return the metrics where nothing can be measured."""
    return {
        "accuracy.metric": None,
        "accuracy.float": None,
        "accuracy.integer": None,
        "accuracy.reason": reason or None,
    }


def unusable(outputs: Outputs) -> str | None:
    """Return why the area under the ROC curve cannot be had, or None."""
    if outputs.labels is None or outputs.float is None:
        return outputs.reason
    classes = set(np.unique(outputs.labels).tolist())
    wanted = set(range(max(2, outputs.float.shape[1])))
    if not classes <= wanted:
        return f"labels up to {max(classes)} for {outputs.float.shape[1]} outputs"
    if len(classes) < 2:
        return "all labels are equal"
    return None
