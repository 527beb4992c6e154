"""How a step is timed: warmed up until it holds still, then in short bursts, every call on its own.

Owns ``timed``, and the calls of a session. Imports numpy and the records' words. A machine is
often shared: in bursts with rests between them a scheduler takes less away, and the median stays
where it is if it takes some.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from itertools import cycle
from time import perf_counter, sleep
from typing import cast

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.record import Times
from gateformer.baselines.runtime import Clocked, Session, Turning

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

PIECE_S, PIECE = 0.002, 1024
"""Calls that are asked for at once are about so long, and so many at most."""

Clock = Callable[[], float]
Calls = Callable[[int], Sequence[float]]
"""Runs a step so many times, each to its end; returns the seconds of each."""


def calls_of(session: Session, clock: Clock = perf_counter) -> Calls:
    """Return the timed calls of a session.

    A network takes its batches of frames in turn: the same frame again and again would be easier
    than any use of it, and all runtimes get the same. A session that has a clock uses it.
    """
    if isinstance(session, Clocked):
        return cast("Calls", session.repeat)
    turn = _turner(session)

    def calls(count: int) -> list[float]:
        found = []
        for _ in range(count):
            turn()
            began = clock()
            session.step()
            found.append(clock() - began)
        return found

    return calls


def many(session: Session) -> tuple[Callable[[], None], int]:
    """Return what runs a session's steps under a meter, and how many of them."""
    if isinstance(session, Clocked):
        repeat = session.repeat

        def piece() -> None:
            repeat(PIECE)

        return piece, PIECE
    turn = _turner(session)

    def step() -> None:
        turn()
        session.step()

    return step, 1


def all_outputs(session: Session) -> NDArray[np.float64]:
    """Return the outputs of every batch: (frames, numbers); of the last step where there is one."""
    if not isinstance(session, Turning) or session.batches == 1:
        return np.asarray(session.outputs(), np.float64)
    found = []
    for place in range(session.batches):
        session.turn(place)
        session.step()
        found.append(np.array(session.outputs(), np.float64))
    return np.concatenate(found)


def _turner(session: Session) -> Callable[[], None]:
    """Return what puts the next batch into a session; nothing where there is only one."""
    if not isinstance(session, Turning) or session.batches == 1:
        return lambda: None
    places = cycle(range(session.batches))
    return lambda: session.turn(next(places))


def timed(
    calls: Calls,
    seconds: float,
    *,
    clock: Clock = perf_counter,
    rest: Callable[[float], None] = sleep,
) -> Times:
    """Return the times of a step.

    Parameters
    ----------
    calls : callable
        Runs it.
    seconds : float
        Sum of the timed calls, at least; more where a call is long.
    clock : callable
        Seconds, for the length of the warm-up.
    rest : callable
        Waits so many seconds.
    """
    warmup, piece = _warm(calls, clock)
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
                calls(1)
                warmup += 1
            spent = 0.0
            while spent < burst and _more(len(found), total + spent, seconds):
                some = calls(piece)
                found.extend(some)
                spent += sum(some)
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


def _warm(calls: Calls, clock: Clock) -> tuple[int, int]:
    """Run until two blocks in a row take as long as the one before.

    Returns the number of steps, and how many of them are then asked for at once.
    """
    count, still, before, piece = 0, 0, 0.0, 1
    began = clock()
    while count < 2 or (
        (spent := clock() - began) < WARM_S and (still < 2 or spent < LEAST_WARM_S)
    ):
        block: list[float] = []
        while sum(block) < BLOCK_S or not block:
            block.extend(calls(piece))
            if len(block) >= PIECE:
                break
        count += len(block)
        now = float(np.median(block))
        still = still + 1 if abs(now - before) <= STABLE * before else 0
        before = now
        piece = max(1, min(PIECE, int(PIECE_S / max(now, 1e-9))))
    return count, piece
