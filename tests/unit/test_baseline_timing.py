"""How a step is timed: on a clock of its own, so that the test is exact."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from gateformer.baselines.timing import BURST_S, LEAST, PIECE, all_outputs, calls_of, many, timed


class Machine:
    """A session whose clock only a step moves, and rests that are counted."""

    version = "1"
    options: Mapping[str, str] = {}
    bytes = 1

    def __init__(self, *seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.calls = 0
        self.rests = 0

    def step(self) -> None:
        self.now += self.seconds[min(self.calls, len(self.seconds) - 1)]
        self.calls += 1

    def outputs(self) -> NDArray[np.float64]:
        return np.full((1, 2), float(self.calls))

    def close(self) -> None:
        pass

    def rest(self, seconds: float) -> None:
        self.rests += 1

    def clock(self) -> float:
        return self.now


def test_a_steady_step_is_timed_as_long_as_asked() -> None:
    machine = Machine(1 / 128)
    found = timed(calls_of(machine, machine.clock), 2.0, clock=machine.clock, rest=machine.rest)
    assert found.samples == 256
    assert found.minimum == found.median == found.p99 == found.mean == 1 / 128
    assert machine.calls == found.samples + found.warmup
    # Bursts, with a rest and an untimed step before all but the first.
    assert machine.rests == pytest.approx(2.0 / BURST_S, abs=1)


def test_slow_first_steps_are_no_part_of_it() -> None:
    """Compilers and caches: the first step takes a second, each next one three fifths of it."""
    machine = Machine(*(max(0.01, 0.6**call) for call in range(12)))
    found = timed(calls_of(machine, machine.clock), 1.0, clock=machine.clock, rest=machine.rest)
    assert found.warmup >= 10
    assert found.p99 == pytest.approx(0.01)


def test_a_long_step_is_timed_some_times_all_the_same() -> None:
    machine = Machine(30.0)
    found = timed(calls_of(machine, machine.clock), 1.0, clock=machine.clock, rest=machine.rest)
    assert found.samples == LEAST
    assert found.median == 30.0


def test_calls_that_stand_still_do_not_fill_the_time() -> None:
    machine = Machine(*([0.001] * 20 + [0.5]) * 40)
    found = timed(calls_of(machine, machine.clock), 1.0, clock=machine.clock, rest=machine.rest)
    assert found.samples >= 100
    assert found.median == pytest.approx(0.001)


def test_a_tail_shows_in_the_percentiles_and_not_in_the_median() -> None:
    machine = Machine(*([0.01] * 95 + [0.05] * 5) * 20)
    found = timed(calls_of(machine, machine.clock), 10.0, clock=machine.clock, rest=machine.rest)
    assert found.median == pytest.approx(0.01)
    assert found.p99 == pytest.approx(0.05)
    assert found.median < found.mean < found.p99


def test_a_step_faster_than_its_clock_has_a_time() -> None:
    machine = Machine(0.0)
    ticks = iter(range(10_000_000))

    def clock() -> float:
        return next(ticks) // 5 * 1e-6

    found = timed(calls_of(machine, clock), 0.01, clock=clock, rest=machine.rest)
    assert 0 < found.minimum <= 1e-6


class Frames(Machine):
    """Three batches of frames."""

    batches = 3

    def __init__(self) -> None:
        super().__init__(0.01)
        self.turns: list[int] = []

    def turn(self, place: int) -> None:
        # Long, and in no time of a step.
        self.now += 5.0
        self.turns.append(place)


class Own(Frames):
    """It reads a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def repeat(self, calls: int) -> NDArray[np.float64]:
        self.asked.append(calls)
        self.now += calls * 1e-6
        return np.full(calls, 1e-6)


def test_a_network_takes_its_batches_in_turn_outside_the_time() -> None:
    machine = Frames()
    found = timed(calls_of(machine, machine.clock), 0.1, clock=machine.clock, rest=machine.rest)
    assert (found.minimum, found.p99) == pytest.approx((0.01, 0.01))
    assert machine.turns == [call % 3 for call in range(machine.calls)]
    step, count = many(machine)
    assert count == 1
    step()
    assert machine.turns[-1] == (machine.calls - 1) % 3
    outputs = all_outputs(machine)
    assert machine.turns[-3:] == [0, 1, 2]
    # One after the other, each by the step on its own batch.
    assert outputs[:, 0].tolist() == [machine.calls - 2, machine.calls - 1, machine.calls]


def test_one_batch_is_not_run_again_for_its_outputs() -> None:
    machine = Machine(0.01)
    machine.step()
    assert all_outputs(machine).tolist() == [[1.0, 1.0]]


def test_a_session_with_a_clock_of_its_own_is_asked_for_many_calls() -> None:
    machine = Own()
    found = timed(calls_of(machine, machine.clock), 0.05, clock=machine.clock, rest=machine.rest)
    assert found.median == found.p99 == pytest.approx(1e-6)
    assert machine.calls == 0
    assert max(machine.asked) == PIECE
    assert found.samples + found.warmup == sum(machine.asked)
    step, count = many(machine)
    step()
    assert machine.asked[-1] == count == PIECE
