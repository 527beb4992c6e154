"""Time of a decoding step, fitted: so much a layer, and bytes over a share of the bandwidth.

Owns ``Sample``, ``Law``, ``fit`` and ``predict``. Imports the records.

``t = a x layers + bytes / (s x bandwidth)`` with a and 1/s at least zero, by the least sum of
squared relative errors. Where launches run ahead of the device (eager on a GPU) the two hide behind
each other: ``t`` is the larger of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateformer.baselines.record import Record

SMALLER = 0.9
"""Of the bytes of a step: what reads more of them is the same shape again, and predicts nothing."""
WITHIN = 0.2
"""Relative error that a prediction is held to."""

APART = 0.005
"""Squared sine of the least angle between steps that count as different: gpt2-small beside
gpt2-medium has 0.03, one shape measured twice with 5 % of noise 0.0006."""


class Sample(NamedTuple):
    """One measured step."""

    layers: float
    reading: float
    """Seconds that its bytes take at the whole bandwidth."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Law:
    """What was fitted.

    Attributes
    ----------
    layer : float
        Seconds a layer.
    slowness : float
        Bandwidth over what is reached of it.
    hidden : bool
        Whether the layers' time and the reading hide behind each other.
    samples : int
        Different steps behind it; with one, or with steps that differ in size alone, the time a
        layer is taken to be zero and this is 1.
    """

    layer: float
    slowness: float
    hidden: bool
    samples: int

    @property
    def share(self) -> float | None:
        """Of the bandwidth that it reads with; None where reading does not show in the time."""
        return 1 / self.slowness if self.slowness else None

    def seconds(self, layers: float, reading: float) -> float:
        """Return the time of a step, as ``Sample`` states it."""
        launching, streaming = self.layer * layers, self.slowness * reading
        return max(launching, streaming) if self.hidden else launching + streaming


@dataclass(frozen=True, slots=True)
class Prediction:
    """What smaller steps on the same machine and runtime say of a larger one.

    Attributes
    ----------
    seconds : float
        The prediction.
    error : float
        Relative to what was measured.
    law : Law
        What was fitted.
    fitted : tuple of str
        Names of the workloads behind it; the predicted one is not among them.
    """

    seconds: float
    error: float
    law: Law
    fitted: tuple[str, ...]


def fit(samples: Sequence[Sample], *, hidden: bool = False) -> Law:
    """Fit a law.

    Parameters
    ----------
    samples : sequence of Sample
        At least one.
    hidden : bool
        As in ``Law``.
    """
    rows = [(one.layers / one.seconds, one.reading / one.seconds) for one in samples]
    both = _apart(rows)
    count = len({(one.layers, one.reading) for one in samples}) if both else 1
    found = list(_splits(rows)) if hidden and both else [_sum(rows, both)]
    laws = [Law(layer, slowness, hidden, count) for layer, slowness in found]
    return min(laws, key=lambda law: _error(law, samples))


def _error(law: Law, samples: Sequence[Sample]) -> float:
    return sum((law.seconds(one.layers, one.reading) / one.seconds - 1) ** 2 for one in samples)


def _apart(rows: Sequence[tuple[float, float]]) -> bool:
    """Whether steps differ enough in their layers for their bytes to tell the constants apart.

    Two measurements of one shape differ by their noise, and would tell anything.
    """
    ll, lr, rr = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    return ll * rr - lr * lr > APART * ll * rr


def _one(rows: Sequence[tuple[float, float]], column: int) -> float:
    """Least squares of one constant alone; zero where no row speaks of it."""
    squares = sum(row[column] ** 2 for row in rows)
    return sum(row[column] for row in rows) / squares if squares else 0.0


def _splits(rows: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Fit each constant to the steps where it is the larger one, for every place of the border.

    Steps with the most reading a layer are bound by reading: whatever the constants are, a border
    in that order tells the two kinds apart.
    """
    ordered = sorted(rows, key=lambda row: row[1] / row[0] if row[0] else float("inf"))
    for border in range(len(ordered) + 1):
        yield _one(ordered[:border], 0), _one(ordered[border:], 1)


def _sum(rows: Sequence[tuple[float, float]], both: bool) -> tuple[float, float]:
    """Fit both constants, neither below zero."""
    alone = (0.0, _one(rows, 1))
    if not both:
        return alone
    ll, lr, rr = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    left, right = (sum(row[i] for row in rows) for i in (0, 1))
    determinant = ll * rr - lr * lr
    layer, slowness = (left * rr - right * lr) / determinant, (right * ll - left * lr) / determinant
    if layer < 0:
        return alone
    return (layer, slowness) if slowness > 0 else (_one(rows, 0), 0.0)


def group(record: Record) -> tuple[object, ...]:
    """Return what two records have to share for one law to hold for both."""
    setup = record.setup
    return (
        record.hardware.id,
        setup.runtime,
        setup.version,
        setup.precision,
        setup.tier,
        setup.threads,
        record.pages,
        record.transfer,
    )


def bandwidth(record: Record, others: Iterable[Record]) -> float:
    """Return the GB/s that a machine's memory gives to a kind of pages; 1 where none was measured.

    Parameters
    ----------
    record : Record
        Of this machine and kind of pages.
    others : iterable of Record
        The best that was measured beside any of them is taken: on a shared machine the same memory
        gives half as much in another minute, and that has no place in a law.
    """
    mine = (record.hardware.id, record.pages)
    found = [
        one.hardware.bandwidth_gbs
        for one in (record, *others)
        if (one.hardware.id, one.pages) == mine
    ]
    return max((gbs for gbs in found if gbs is not None), default=1.0)


def sample(record: Record, gbs: float) -> Sample:
    """Return a record as a fit takes it, where memory gives so many GB/s."""
    return Sample(record.workload.layers, record.workload.bytes / (gbs * 1e9), record.times.median)


def predict(record: Record, others: Iterable[Record]) -> Prediction | None:
    """Predict a decoding step from smaller decoders on the same machine and runtime.

    Parameters
    ----------
    record : Record
        What is predicted; its own time enters the error alone.
    others : iterable of Record
        Any records: those of other machines, runtimes, batches and kinds are left aside.

    Returns
    -------
    Prediction or None
        None where no smaller one was measured.
    """
    if record.workload.kind != "decode" or record.workload.batch != 1:
        return None
    others = tuple(others)
    smaller = {
        (one.workload.name, one.workload.context): one
        for one in others
        if one.workload.kind == "decode"
        and one.workload.batch == 1
        and one.workload.bytes <= SMALLER * record.workload.bytes
        and group(one) == group(record)
    }
    if not smaller:
        return None
    hidden = record.hardware.kind == "gpu" and record.setup.tier == "eager"
    gbs = bandwidth(record, others)
    law = fit([sample(one, gbs) for one in smaller.values()], hidden=hidden)
    asked = sample(record, gbs)
    seconds = law.seconds(asked.layers, asked.reading)
    return Prediction(
        seconds, seconds / asked.seconds - 1, law, tuple(dict.fromkeys(name for name, _ in smaller))
    )
