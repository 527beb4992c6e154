"""The core's clocks: when every beat of every frame leaves every stage.

Owns ``Pipeline``, the event model of the never stalling core. Imports the design records and
the event kernel.

Each stage's clocks come twice: from its links (when operands are there, plus its latency) and
from the schedule (its offset from the input's beats). The two must agree; where inputs differ in
length, the schedule may be later. Whatever does not agree is listed as a problem.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.dataflow.design import Design, Link, Stage
from gateformer.sim.boundary import MOVE
from gateformer.sim.events import Kernel

Reader = Callable[[int, int], object]
_MOST_PROBLEMS = 20


class Pipeline:
    """All stages of a design.

    Attributes
    ----------
    problems : list of str
        Where the stages' clocks contradict each other.
    """

    def __init__(self, kernel: Kernel, design: Design) -> None:
        self.kernel = kernel
        self.design = design
        self.problems: list[str] = []
        self.slots: list[list[int]] = []
        self.same_length = len({port.beats for port in design.inputs}) == 1
        self._readers: dict[str, list[Reader]] = {}
        self._beats: dict[str, int] = {}
        for port in design.inputs:
            for value in (port.value, *([] if port.mask is None else [port.mask])):
                self._beats[value] = port.beats
                self._readers[value] = []
        self.stages: list[StageModel] = []
        for stage in design.stages:
            model = StageModel(self, stage)
            self.stages.append(model)
            self._beats[stage.name] = stage.beats
            self._readers[stage.name] = []
        for model in self.stages:
            for index, link in enumerate(model.stage.links):
                self.tap(link.source, model.receiver(index))

    def beats(self, source: str) -> int:
        """Beats a frame of a stage or input."""
        return self._beats[source]

    def tap(self, source: str, reader: Reader) -> None:
        """Call ``reader(frame, beat)`` in the clock in which a beat leaves a stage or input."""
        self._readers[source].append(reader)

    def enter(self, slot: int) -> None:
        """Take a slot: its beats are in the input register in the next clock."""
        if slot == 0:
            self.slots.append([])
        self.slots[-1].append(self.kernel.now + 1)
        self.kernel.at(self.kernel.now + 1, self._register, len(self.slots) - 1, slot, order=MOVE)

    def _register(self, frame: int, slot: int) -> None:
        for port in self.design.inputs:
            if slot < port.beats:
                self.leave(port.value, frame, slot)
                if port.mask is not None:
                    self.leave(port.mask, frame, slot)
        if slot == self.design.slots - 1:
            for model in self.stages:
                model.release(frame)

    def leave(self, source: str, frame: int, beat: int) -> None:
        """Hand a beat to all who read it, in this clock."""
        for reader in self._readers[source]:
            reader(frame, beat)

    def scheduled(self, stage: Stage, frame: int, beat: int) -> int | None:
        """Clock at which the schedule says that a beat leaves; None while it cannot be known."""
        clocks = self.slots[frame]
        if stage.paced == "input":
            return clocks[beat] + stage.offset if beat < len(clocks) else None
        if len(clocks) < self.design.slots:
            return None
        return clocks[-1] + stage.offset + beat * self.design.beat_interval

    def problem(self, text: str) -> None:
        """List a contradiction."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(text)

    def peaks(self) -> dict[str, int]:
        """Most beats held, of every skip FIFO; one that is too small is a problem."""
        found = {}
        for model in self.stages:
            for index, link in enumerate(model.stage.links):
                if link.depth:
                    most = peak(model.arrived[index], model.read[index])
                    found[f"{link.source} -> {model.stage.name}"] = most
                    if most > link.depth:
                        self.problem(
                            f"{model.stage.name}: the FIFO from '{link.source}' holds "
                            f"{link.depth} beats, {most} come"
                        )
        return found

    def spans(self) -> dict[str, NDArray[np.int64]]:
        """First and last clock of each frame at every stage's output."""
        found = {}
        for model in self.stages:
            clocks = np.array(model.left, np.int64)
            whole = clocks[: len(clocks) // model.stage.beats * model.stage.beats]
            found[model.stage.name] = whole.reshape(-1, model.stage.beats)[:, [0, -1]]
        return found


class StageModel:
    """One stage: collects its operands' clocks and says when its beats leave."""

    def __init__(self, pipeline: Pipeline, stage: Stage) -> None:
        self.stage = stage
        self.arrived: list[list[int]] = [[] for _ in stage.links]
        self.read: list[list[int]] = [[] for _ in stage.links]
        self.left: list[int] = []
        self._pipeline = pipeline
        self._triggered = 0  # beats whose operands are known
        self._waiting: deque[tuple[int, int, int, list[int]]] = deque()
        self._whole = [self._is_whole(link) for link in stage.links]
        self._counts = [pipeline.beats(link.source) for link in stage.links]

    def receiver(self, index: int) -> Reader:
        """The reader of one link."""
        arrived, link = self.arrived[index], self.stage.links[index]
        kernel = self._pipeline.kernel

        def receive(frame: int, beat: int) -> None:
            arrived.append(kernel.now + link.delay)
            self._collect()

        return receive

    def release(self, frame: int) -> None:
        """The frame's last slot is known: what waited for it may be scheduled."""
        while self._waiting and self._waiting[0][0] <= frame:
            self._leave(*self._waiting.popleft())

    def _is_whole(self, link: Link) -> bool:
        """Whether the stage uses a link's frame as a whole, not beat by beat."""
        single = self._pipeline.beats(link.source) == 1 and self.stage.beats > 1
        return link.kind == "frame" or self.stage.kind == "reduce" or single

    def _collect(self) -> None:
        """Trigger every beat whose operands have all come."""
        stage = self.stage
        while True:
            frame, beat = divmod(self._triggered, stage.beats)
            needs = [
                (frame + 1) * count - 1 if whole else frame * count + beat
                for whole, count in zip(self._whole, self._counts, strict=True)
            ]
            if any(n >= len(a) for n, a in zip(needs, self.arrived, strict=True)):
                return
            clocks = [a[n] for n, a in zip(needs, self.arrived, strict=True)]
            self._triggered += 1
            self._trigger(frame, beat, clocks)

    def _trigger(self, frame: int, beat: int, clocks: list[int]) -> None:
        """All operands of a beat are known: say when it enters by its links."""
        stage = self.stage
        wholes, direct, stored = self._sorted(clocks)
        if stage.kind == "gather":
            enter = max(wholes) + beat * self._pipeline.design.beat_interval
        elif stage.kind == "reduce":
            enter = max(wholes)
        else:
            enter = max(direct or stored or wholes)
        self._leave(frame, beat, enter, clocks)

    def _sorted(self, clocks: list[int]) -> tuple[list[int], list[int], list[int]]:
        """Clocks of whole frames, of beats that come directly, and of beats by FIFO."""
        wholes: list[int] = []
        direct: list[int] = []
        stored: list[int] = []
        for clock, link, whole in zip(clocks, self.stage.links, self._whole, strict=True):
            (wholes if whole else stored if link.depth else direct).append(clock)
        return wholes, direct, stored

    def _leave(self, frame: int, beat: int, enter: int, clocks: list[int]) -> None:
        pipeline, stage = self._pipeline, self.stage
        planned = pipeline.scheduled(stage, frame, beat)
        if planned is None:
            self._waiting.append((frame, beat, enter, clocks))
            return
        clock = enter + stage.latency
        if clock > planned or (clock < planned and pipeline.same_length):
            pipeline.problem(
                f"{stage.name}: frame {frame} beat {beat} leaves in clock {clock} by its links, "
                f"in clock {planned} by the schedule"
            )
        clock = max(clock, planned)
        self._check(frame, beat, clock - stage.latency, clocks)
        self._read(frame, beat, clock - stage.latency)
        pipeline.kernel.at(clock, self._gone, frame, beat, order=MOVE)

    def _check(self, frame: int, beat: int, enter: int, clocks: list[int]) -> None:
        """List an operand that comes too late, or is gone: it is held until its next beat."""
        stage = self.stage
        wholes, direct, stored = self._sorted(clocks)
        if stage.kind == "gather":
            late = [c for c in (*direct, *stored) if c > enter + stage.latency - 1]
        else:
            oldest = enter - self._pipeline.design.beat_interval
            late = [c for c in wholes if c > enter] + [c for c in direct if c <= oldest]
        if late:
            self._pipeline.problem(
                f"{stage.name}: frame {frame} beat {beat} enters in clock {enter}, "
                f"but an operand comes in clock {late[0]}"
            )

    def _gone(self, frame: int, beat: int) -> None:
        self.left.append(self._pipeline.kernel.now)
        self._pipeline.leave(self.stage.name, frame, beat)

    def _read(self, frame: int, beat: int, enter: int) -> None:
        """Read the beat from the skip FIFOs: the strobe is in the clock before it is used."""
        for index, link in enumerate(self.stage.links):
            if not link.depth:
                continue
            if self._whole[index]:
                if self.stage.kind != "stream" and beat == 0:
                    before = range(self._counts[index] - 1, -1, -1)
                    interval = self._pipeline.design.beat_interval
                    self.read[index] += [enter - 1 - n * interval for n in before]
                continue
            arrived = self.arrived[index][frame * self._counts[index] + beat]
            if arrived > enter - 2 and self.stage.kind == "stream":
                self._pipeline.problem(
                    f"{self.stage.name}: frame {frame} beat {beat} of '{link.source}' comes in "
                    f"clock {arrived}, too late for use in clock {enter}"
                )
            self.read[index].append(enter - 1)


def peak(arrived: list[int], read: list[int]) -> int:
    """Most beats inside a FIFO; a read and a write in one clock do not add."""
    most, gone = 0, 0
    for stored, clock in enumerate(arrived, start=1):
        while gone < len(read) and read[gone] <= clock:
            gone += 1
        most = max(most, stored - gone)
    return most
