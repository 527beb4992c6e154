"""The event kernel: order, processes, channels, signals."""

from __future__ import annotations

import heapq
import random

import pytest

from gateformer.sim.events import Channel, Kernel, Process, Signal


def test_clock_then_order_then_age() -> None:
    kernel, seen = Kernel(), []
    for name, clock, order in [("d", 5, 1), ("a", 2, 0), ("c", 5, 0), ("b", 2, 0), ("e", 5, 1)]:
        kernel.at(clock, seen.append, name, order=order)
    assert kernel.run() == 5
    assert seen == ["a", "b", "c", "d", "e"]
    assert kernel.events == 5


def test_the_past_is_refused() -> None:
    kernel = Kernel()
    kernel.at(3, kernel.at, 2, print)
    with pytest.raises(ValueError, match="clock 2 has passed, it is 3"):
        kernel.run()


def test_run_stops_at_a_clock_and_goes_on() -> None:
    kernel, seen = Kernel(), []
    for clock in (1, 4, 9):
        kernel.at(clock, seen.append, clock)
    kernel.run(until=4)
    assert seen == [1, 4]
    kernel.run()
    assert seen == [1, 4, 9]


def test_a_channel_keeps_order_between_processes() -> None:
    kernel, channel, got = Kernel(), Channel(), []

    def producer() -> Process:
        for i in range(5):
            yield kernel.until(3 * i)
            channel.put(i)

    def consumer(name: str) -> Process:
        while True:
            item = yield channel.get()
            got.append((kernel.now, name, item))
            yield kernel.until(kernel.now + 4)

    kernel.start(consumer("x"))
    kernel.start(consumer("y"))
    kernel.start(producer())
    kernel.run()
    assert got == [(0, "x", 0), (3, "y", 1), (6, "x", 2), (9, "y", 3), (12, "x", 4)]
    assert len(channel) == 0


def test_a_signal_wakes_those_who_wait() -> None:
    kernel, signal, woken = Kernel(), Signal(), []

    def waiter(name: str, start: int) -> Process:
        yield kernel.until(start)
        value = yield signal
        woken.append((name, kernel.now, value))

    kernel.start(waiter("early", 0))
    kernel.start(waiter("late", 6))
    kernel.at(5, signal.fire, "first")
    kernel.at(8, signal.fire, "second")
    kernel.run()
    assert woken == [("early", 5, "first"), ("late", 8, "second")]


def test_a_queue_of_many_events_runs_in_order() -> None:
    kernel, seen, chance = Kernel(), [], random.Random(4)
    clocks = [chance.randrange(1000) for _ in range(2000)]
    for clock in clocks:
        kernel.at(clock, seen.append, clock)
    kernel.run()
    heapq.heapify(clocks)
    assert seen == [heapq.heappop(clocks) for _ in range(len(clocks))]
