"""Rows of several seeds as one, and one variant against another.

Owns ``Summary``, ``summaries``, ``Against`` and ``against``. Imports rows and the device's sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Literal

from gateformer.hw.devices import load
from gateformer.study.rows import Row
from gateformer.study.schema import Study

DEVICE = "xcvu13p"
"""Whose ratio of LUTs to DSP blocks makes one area of both."""

LEAST = 0.01
"""Changes of area or clocks below this are none."""

Verdict = Literal["gains", "no change", "costs", "trades", "loses accuracy"]


@dataclass(frozen=True, slots=True)
class Summary:
    """A variant at one width: means over its seeds.

    Attributes
    ----------
    variant, bits
        Which.
    rows
        One a seed, none of them failed.
    """

    variant: str
    bits: int
    rows: tuple[Row, ...]

    def mean(self, name: str) -> float | None:
        """Return the mean of a figure over the seeds that have it."""
        found = [value for row in self.rows if (value := row.number(name)) is not None]
        return fmean(found) if found else None

    @property
    def error(self) -> float:
        """Standard error of the mean accuracy that the count of test samples leaves.

        sqrt(p (1 - p) / n) of a share p of n samples, taken once: all seeds have the same test
        samples, so that more of them do not make it smaller.
        """
        share, samples = self.mean("integer") or 0.0, self.mean("samples") or 1.0
        return math.sqrt(share * (1.0 - share) / samples)

    def area(self, synthesized: bool) -> float | None:
        """Return LUTs and DSP blocks as LUTs, predicted or as yosys counts them."""
        above = "synth_" if synthesized else ""
        lut, dsp = self.mean(f"{above}lut"), self.mean(f"{above}dsp")
        return None if lut is None or dsp is None else lut + lut_per_dsp() * dsp


@dataclass(frozen=True, slots=True)
class Against:
    """A variant beside the one that it is set against, at the same width.

    Attributes
    ----------
    without, this
        Both.
    accuracy
        Share of right answers that it has more.
    allowed
        How many less still count as equal: one standard error.
    paired
        Whether that is of the differences, sample by sample; else of each share by itself.
    dsp
        DSP blocks that it has more; None where it is not known of both.
    area, clocks
        Relative changes; area is None where it is not known of both.
    synthesized
        Whether yosys counted the areas.
    """

    without: Summary
    this: Summary
    accuracy: float
    allowed: float
    paired: bool
    dsp: float | None
    area: float | None
    clocks: float
    synthesized: bool

    @property
    def verdict(self) -> Verdict:
        """What it is worth at equal accuracy."""
        if self.accuracy < -self.allowed:
            return "loses accuracy"
        changes = (self.area or 0.0, self.clocks)
        less, more = (any(sign * one > LEAST for one in changes) for sign in (-1, 1))
        if less and more:
            return "trades"
        return "gains" if less else "costs" if more else "no change"


@cache
def lut_per_dsp() -> float:
    """Return how many LUTs the device has for each DSP block."""
    device = load(DEVICE)
    return float(device.lut) / float(device.dsp)


def summaries(rows: Iterable[Row]) -> list[Summary]:
    """Return one summary a variant and width, in the order of the rows, failed ones left out."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if not row.failed:
            groups.setdefault((row.variant, row.bits), []).append(row)
    return [Summary(variant, bits, tuple(some)) for (variant, bits), some in groups.items()]


def against(study: Study, found: Sequence[Summary]) -> list[Against]:
    """Return each summary beside that of what its variant is set against."""
    by_place = {(one.variant, one.bits): one for one in found}
    out = []
    for variant in study.variants:
        base = study.base(variant)
        for this in found:
            without = None if base is None else by_place.get((base, this.bits))
            if this.variant == variant.name and without is not None:
                out.append(_against(without, this))
    return out


def paired_error(without: Summary, this: Summary) -> float | None:
    """Return the standard error of the difference of two shares of the same samples.

    sqrt(b + c - (b - c)^2 / n) / n, where b samples are told by the one alone and c by the other
    alone (McNemar, Psychometrika 12, 1947, page 153): samples that both tell, or neither, say
    nothing about the difference. The mean over the seeds; all have the same samples, so that more
    of them do not make it smaller. None where the rows do not tell the samples, or seeds differ.
    """
    others = {row.seed: row for row in without.rows}
    if {row.seed for row in this.rows} != others.keys():
        return None
    errors = []
    for row in this.rows:
        one, other = (_bits(found) for found in (row, others[row.seed]))
        if one is None or other is None or one[1] != other[1]:
            return None
        mine, its = (one[0] & ~other[0]).bit_count(), (other[0] & ~one[0]).bit_count()
        errors.append(math.sqrt(mine + its - (mine - its) ** 2 / one[1]) / one[1])
    return fmean(errors)


def _bits(row: Row) -> tuple[int, int] | None:
    """Return which samples a row tells, as an integer's bits, and how many samples there are."""
    right, samples = row["right"], row.number("samples")
    if not isinstance(right, str) or not samples:
        return None
    return int(right, 16), int(samples)


def _against(without: Summary, this: Summary) -> Against:
    synthesized = None not in (without.area(True), this.area(True))
    before, after = without.area(synthesized), this.area(synthesized)
    clocks = [one.mean("latency") or 1.0 for one in (without, this)]
    blocks = [one.mean(f"{'synth_' if synthesized else ''}dsp") for one in (without, this)]
    error = paired_error(without, this)
    return Against(
        without=without,
        this=this,
        accuracy=(this.mean("integer") or 0.0) - (without.mean("integer") or 0.0),
        allowed=max(without.error, this.error) if error is None else error,
        paired=error is not None,
        dsp=None if None in blocks else blocks[1] - blocks[0],  # type: ignore[operator] # as said
        area=None if not before or after is None else after / before - 1.0,
        clocks=clocks[1] / clocks[0] - 1.0,
        synthesized=synthesized,
    )
