"""Figures of merit of a classifier's scores: area under the ROC curve, accuracy.

Owns ``auc``, ``accuracy``, ``METRICS`` and ``worth``. Imports numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.errors import DataError
from gateformer.quant.types import FloatArray, IntArray


def ranks(score: FloatArray) -> FloatArray:
    """Ranks from 1, ties sharing their mean."""
    _, where, count = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2.0)[where]


def auc(score: FloatArray, label: IntArray) -> float:
    """Area under the ROC curve, of classes against the rest in the mean.

    Parameters
    ----------
    score : ndarray of float64, (n, classes), (n, 1) or (n,)
        Higher for the class; one column scores class 1.
    label : ndarray of int, (n,)
        Classes from 0.

    Raises
    ------
    DataError
        E604 where the labels hold one class alone.
    """
    score = score.reshape(score.shape[0], -1)
    columns = {1: score[:, 0]} if score.shape[1] == 1 else dict(enumerate(score.T))
    areas = []
    for kind, column in columns.items():
        is_kind = label == kind
        positive, negative = int(is_kind.sum()), int((~is_kind).sum())
        if positive and negative:
            above = ranks(column)[is_kind].sum() - positive * (positive + 1) / 2
            areas.append(above / (positive * negative))
    if not areas:
        raise DataError("E604", "one class alone in the labels", fix="give data of every class")
    return float(np.mean(areas))


def accuracy(score: NDArray[np.floating], label: NDArray[np.integer]) -> float:
    """Share of rows whose highest score is the label's; one column decides at one half."""
    score = score.reshape(score.shape[0], -1)
    guess = score.argmax(1) if score.shape[1] > 1 else score[:, 0] > 0.5
    return float((guess == label).mean())


METRICS: Mapping[str, Callable[[FloatArray, IntArray], float]] = MappingProxyType(
    {"auc": auc, "accuracy": accuracy}
)
"""By the name that a budget uses."""


def worth(metric: str, score: FloatArray, label: IntArray) -> float:
    """Return what a model is worth that others are measured by: above zero.

    Raises
    ------
    DataError
        E604 where labels are of classes that the model does not have, or of one class alone where
        two are needed, and where no answer of the model's is right.
    """
    classes = max(2, score.reshape(score.shape[0], -1).shape[1])
    if int(label.max(initial=0)) >= classes:
        raise DataError(
            "E604",
            f"labels up to {int(label.max())} for {classes} classes",
            fix="give labels from 0 of the classes that the model tells",
        )
    found = METRICS[metric](score, label)
    if found <= 0.0:
        raise DataError(
            "E604",
            f"the model on reals has an {metric} of 0 on these labels",
            cause="nothing can be lost of it",
            fix="check that labels and inputs belong together",
        )
    return found
