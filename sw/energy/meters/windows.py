"""Joules an inference: the same step again and again inside a meter's windows.

Owns ``choose`` and ``metered``. Imports the meters and the figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from gateformer.energy.figure import Energy
from gateformer.energy.meters.estimate import EstimateMeter
from gateformer.energy.meters.meter import Meter, Reading, failed
from gateformer.energy.meters.nvml import NvmlMeter
from gateformer.energy.meters.rapl import RaplMeter
from gateformer.quant.errors import BaselineError

REPEATS = 3
REST_S = 3.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A meter, or why there is none.

    Attributes
    ----------
    meter : Meter or None
        The one to read.
    reason : str
        Why nothing is measured; empty where a counter is read.
    """

    meter: Meter | None
    reason: str


def choose(kind: Literal["cpu", "gpu"], *, device: int | str = 0, estimate: bool = False) -> Choice:
    """Return what can count joules here.

    Parameters
    ----------
    kind : {"cpu", "gpu"}
        What runs.
    device : int or str
        Of a GPU: NVML's number, or the UUID.
    estimate : bool
        Whether an estimate, labelled ``modelled``, may stand in for a CPU's missing meter.
    """
    meter: Meter = RaplMeter() if kind == "cpu" else NvmlMeter(device)
    return chosen(meter, EstimateMeter() if estimate and kind == "cpu" else None)


def chosen(meter: Meter, instead: Meter | None = None) -> Choice:
    """Return a meter if it can be read, another one in its place, or why neither can."""
    cause = meter.available()
    if cause is None:
        return Choice(meter, "")
    reason = f"not measurable here: {cause}"
    if instead is None:
        return Choice(None, reason)
    other = instead.available()
    return Choice(instead, reason) if other is None else Choice(None, f"{reason}; {other}")


def metered(
    step: Callable[[], None],
    inferences: int,
    choice: Choice,
    *,
    repeats: int = REPEATS,
    seconds: float | None = None,
    rest: float = REST_S,
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[Energy | None, str]:
    """Return the joules of one inference, and how they were had or why not.

    Everything that the counter covers is in them: other processes and the machine at rest too. The
    note gives the power at rest, so that a reader can take it off.

    Parameters
    ----------
    step : callable
        Runs once, to its end.
    inferences : int
        That one step makes.
    choice : Choice
        From ``choose``.
    repeats : int
        Windows; their median is the figure, their extremes are its error bar.
    seconds : float or None
        Of a window; the meter's shortest one where None or shorter.
    rest : float
        Seconds without work that are metered first; 0: none.
    clock, pause : callable
        As in ``time``.
    """
    meter = choice.meter
    if meter is None:
        return None, choice.reason
    window = max(seconds or 0.0, meter.seconds)
    found: list[tuple[Reading, int]] = []
    try:
        resting = _resting(meter, rest, pause) if rest else None
        for _ in range(repeats):
            meter.start()
            steps, end = 0, clock() + window
            while steps == 0 or clock() < end:
                step()
                steps += 1
            found.append((meter.stop(), steps))
        # A median is one of like things: a counter of memory may stand still in one window.
        if len(seen := sorted({reading.boundary for reading, _ in found})) > 1:
            raise failed(meter.name, f"Its windows are not of one boundary: {', '.join(seen)}")
    except BaselineError as error:
        if error.code != "E854":
            raise
        return None, f"not measured: {error}"
    last = found[-1][0]
    each = [reading.joules / (steps * inferences) for reading, steps in found]
    known = last.kind == "measured"
    energy = Energy(
        value=median(each),
        kind=last.kind,
        source=last.method,
        low=min(each) * (1 - last.tolerance) if known else None,
        high=max(each) * (1 + last.tolerance) if known else None,
        boundary=last.boundary,
    )
    watts = fmean(reading.watts for reading, _ in found)
    note = (
        f"{choice.reason + '; ' if choice.reason else ''}{last.method}; "
        f"{repeats} windows of {fmean(r.seconds for r, _ in found):.1f} s, "
        f"{sum(steps for _, steps in found):,} steps, {watts:.1f} W"
    )
    return energy, note if resting is None else f"{note}, at rest {resting.watts:.1f} W"


def _resting(meter: Meter, seconds: float, pause: Callable[[float], None]) -> Reading:
    meter.start()
    pause(seconds)
    return meter.stop()
