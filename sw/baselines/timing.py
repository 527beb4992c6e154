"""How a step is timed: warmed up until it holds still, then in short bursts, every call on its own.

Owns ``timed``. Imports numpy and the records' words. A machine is often shared: in bursts with
rests between them a scheduler takes less away, and the median stays where it is if it takes some.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter, sleep

import numpy as np

from gateformer.baselines.record import Times

BLOCK_S = 0.05
"""Length of a block of warm-up."""
STABLE = 0.03
"""Two blocks in a row whose medians differ from the one before by no more end the warm-up."""
WARM_S = 10.0
"""Longest warm-up, in seconds, beyond its least number of steps."""
LEAST_WARM_S = 0.3
"""Shortest one: clocks rise and compilers that watch the first calls are done by then."""
BURST_S = 0.2
REST_S = 0.02
LEAST = 5
"""Fewest calls that are timed, however long they take."""
ENOUGH, LONGER = 100, 4.0
"""Calls behind a p99 that is worth its name, and for how many times as long they are waited for:
on a busy machine a few calls that stood still would fill the time."""
MOST = 200_000
"""Most calls that are timed."""

Clock = Callable[[], float]


def timed(
    step: Callable[[], None],
    seconds: float,
    *,
    clock: Clock = perf_counter,
    rest: Callable[[float], None] = sleep,
) -> Times:
    """Return the times of a step.

    Parameters
    ----------
    step : callable
        Runs to its end.
    seconds : float
        Sum of the timed calls, at least; more where a call is long.
    clock : callable
        Seconds.
    rest : callable
        Waits so many seconds.
    """
    warmup = _warm(step, clock)
    found: list[float] = []
    total = 0.0
    collecting = gc.isenabled()
    gc.disable()
    try:
        while _more(len(found), total, seconds):
            burst = min(BURST_S, seconds - total) if total < seconds else BURST_S
            rest(REST_S)
            # Caches cool while it rests: the first call after it counts for warm-up.
            if total:
                step()
                warmup += 1
            spent = 0.0
            while spent < burst and _more(len(found), total + spent, seconds):
                began = clock()
                step()
                one = clock() - began
                found.append(one)
                spent += one
            total += spent
    finally:
        if collecting:
            gc.enable()
    return summary(found, warmup)


def _more(count: int, total: float, seconds: float) -> bool:
    """Tell whether calls are still to be timed."""
    if count >= MOST:
        return False
    return count < LEAST or total < seconds or (count < ENOUGH and total < LONGER * seconds)


def summary(found: list[float], warmup: int) -> Times:
    """Return the record of some calls' seconds."""
    array = np.maximum(np.asarray(found), 1e-9)  # a clock's own step, where two readings are equal
    median, p90, p99 = (float(one) for one in np.percentile(array, (50, 90, 99)))
    return Times(
        samples=len(found),
        warmup=warmup,
        minimum=float(array.min()),
        median=median,
        p90=p90,
        p99=p99,
        mean=float(array.mean()),
    )


def _warm(step: Callable[[], None], clock: Clock) -> int:
    """Run until two blocks in a row take as long as the one before; return how many steps."""
    count, still, before = 0, 0, 0.0
    began = clock()
    while count < 2 or (
        (spent := clock() - began) < WARM_S and (still < 2 or spent < LEAST_WARM_S)
    ):
        block: list[float] = []
        while not block or sum(block) < BLOCK_S:
            start = clock()
            step()
            block.append(clock() - start)
            count += 1
            if len(block) >= 1000:
                break
        now = float(np.median(block))
        still = still + 1 if abs(now - before) <= STABLE * before else 0
        before = now
    return count
