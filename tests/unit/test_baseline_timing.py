"""How a step is timed: on a clock of its own, so that the test is exact."""

import pytest

from gateformer.baselines.timing import BURST_S, LEAST, timed


class Machine:
    """A clock that only a step moves, and rests that are counted."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.calls = 0
        self.rests = 0

    def step(self) -> None:
        self.now += self.seconds[min(self.calls, len(self.seconds) - 1)]
        self.calls += 1

    def rest(self, seconds: float) -> None:
        self.rests += 1

    def clock(self) -> float:
        return self.now


def test_a_steady_step_is_timed_as_long_as_asked() -> None:
    machine = Machine(1 / 128)
    found = timed(machine.step, 2.0, clock=machine.clock, rest=machine.rest)
    assert found.samples == 256
    assert found.minimum == found.median == found.p99 == found.mean == 1 / 128
    assert machine.calls == found.samples + found.warmup
    # Bursts, with a rest and an untimed step before all but the first.
    assert machine.rests == pytest.approx(2.0 / BURST_S, abs=1)


def test_slow_first_steps_are_no_part_of_it() -> None:
    """Compilers and caches: the first step takes a second, each next one three fifths of it."""
    machine = Machine(*(max(0.01, 0.6**call) for call in range(12)))
    found = timed(machine.step, 1.0, clock=machine.clock, rest=machine.rest)
    assert found.warmup >= 10
    assert found.p99 == pytest.approx(0.01)


def test_a_long_step_is_timed_some_times_all_the_same() -> None:
    machine = Machine(30.0)
    found = timed(machine.step, 1.0, clock=machine.clock, rest=machine.rest)
    assert found.samples == LEAST
    assert found.median == 30.0


def test_calls_that_stand_still_do_not_fill_the_time() -> None:
    machine = Machine(*([0.001] * 20 + [0.5]) * 40)
    found = timed(machine.step, 1.0, clock=machine.clock, rest=machine.rest)
    assert found.samples >= 100
    assert found.median == pytest.approx(0.001)


def test_a_tail_shows_in_the_percentiles_and_not_in_the_median() -> None:
    machine = Machine(*([0.01] * 95 + [0.05] * 5) * 20)
    found = timed(machine.step, 10.0, clock=machine.clock, rest=machine.rest)
    assert found.median == pytest.approx(0.01)
    assert found.p99 == pytest.approx(0.05)
    assert found.median < found.mean < found.p99


def test_a_step_faster_than_its_clock_has_a_time() -> None:
    machine = Machine(0.0)
    ticks = iter(range(10_000_000))

    def clock() -> float:
        return next(ticks) // 5 * 1e-6

    found = timed(machine.step, 0.01, clock=clock, rest=machine.rest)
    assert 0 < found.minimum <= 1e-6
