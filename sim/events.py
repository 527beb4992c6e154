"""A small event kernel: callbacks and processes on one clock, in a deterministic order.

Owns ``Kernel``, ``Channel`` and ``Signal``. Imports the standard library only.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

Process = Generator["Wait", Any, None]
"""A generator that yields what it waits for: ``kernel.until(...)``, ``channel.get()``, a signal."""


class Wait(ABC):
    """What a process can wait for."""

    @abstractmethod
    def attach(self, resume: Callable[[Any], None]) -> None:
        """Call ``resume`` with the result, now or later."""


class Kernel:
    """Runs events by clock, then order, then age.

    Attributes
    ----------
    now : int
        The clock of the event that runs.
    events : int
        Events run so far.
    """

    def __init__(self) -> None:
        self.now = 0
        self.events = 0
        self._heap: list[tuple[int, int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._age = 0

    def at(self, clock: int, call: Callable[..., object], *values: Any, order: int = 0) -> None:
        """Run ``call(*values)`` in a clock; lower orders come first within it.

        Raises
        ------
        ValueError
            If the clock has passed.
        """
        if clock < self.now:
            raise ValueError(f"clock {clock} has passed, it is {self.now}")
        self._age += 1
        heapq.heappush(self._heap, (clock, order, self._age, call, values))

    def start(self, process: Process, order: int = 0) -> None:
        """Start a process in this clock."""
        self.at(self.now, self._resume, process, None, order=order)

    def until(self, clock: int, order: int = 0) -> Wait:
        """Wait for a clock."""
        return _Until(self, clock, order)

    def run(self, until: int | None = None) -> int:
        """Run all events, or those up to a clock; returns the last event's clock."""
        heap = self._heap
        while heap and (until is None or heap[0][0] <= until):
            self.now, _, _, call, values = heapq.heappop(heap)
            self.events += 1
            call(*values)
        return self.now

    def _resume(self, process: Process, value: Any) -> None:
        try:
            wait = process.send(value)
        except StopIteration:
            return
        wait.attach(lambda result: self._resume(process, result))


class Channel(Wait):
    """An unbounded queue between processes; each item goes to one reader, oldest first.

    Waiting for the channel is waiting for its next item.
    """

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._readers: deque[Callable[[Any], None]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Any) -> None:
        """Hand over an item; a waiting reader runs at once."""
        if self._readers:
            self._readers.popleft()(item)
        else:
            self._items.append(item)

    def get(self) -> Channel:
        """Wait for the next item."""
        return self

    def attach(self, resume: Callable[[Any], None]) -> None:
        """Give the oldest item, or queue up for one."""
        if self._items:
            resume(self._items.popleft())
        else:
            self._readers.append(resume)


class Signal(Wait):
    """Wakes all who wait whenever it fires."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[Any], None]] = []

    def fire(self, value: Any = None) -> None:
        """Wake all who wait now, in the order they came."""
        waiting, self._waiting = self._waiting, []
        for resume in waiting:
            resume(value)

    def attach(self, resume: Callable[[Any], None]) -> None:
        """Wait for the next firing."""
        self._waiting.append(resume)


class _Until(Wait):
    __slots__ = ("_clock", "_kernel", "_order")

    def __init__(self, kernel: Kernel, clock: int, order: int) -> None:
        self._kernel, self._clock, self._order = kernel, clock, order

    def attach(self, resume: Callable[[Any], None]) -> None:
        self._kernel.at(self._clock, resume, None, order=self._order)
