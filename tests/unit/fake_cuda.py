"""A CUDA that records what is launched and launches it again: for tests where there is no GPU."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

INT_MM = torch._int_mm


class Recorder(TorchDispatchMode):
    """Keeps each operation of torch with the tensors that it read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, made))
        return made


class FakeGraph:
    """Replays on the recorded tensors alone, as a CUDA graph does; Python is not run again."""

    launched = 0

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        FakeGraph.launched += 1
        for func, args, kwargs, made in self.recorder.done:
            again = func(*args, **kwargs)
            for old, new in zip(_tensors(made), _tensors(again), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def _tensors(made: Any) -> list[torch.Tensor]:
    every = made if isinstance(made, tuple | list) else [made]
    return [one for one in every if isinstance(one, torch.Tensor)]


class FakeStream:
    def wait_stream(self, other: "FakeStream") -> None:
        assert isinstance(other, FakeStream)


class FakeEvent:
    """Two events in a row lie 2.5 ms apart."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        pass

    def elapsed_time(self, later: "FakeEvent") -> float:
        return 2.5


def int_mm(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Multiply int8 by int8 exactly, in the shapes alone that ``torch._int_mm`` takes on a GPU.

    On a processor without VNNI torch's own product adds pairs in 16 bits, which overflow; a real
    GPU keeps its own.
    """
    assert rows.dtype == columns.dtype == torch.int8
    assert rows.shape[0] > 16
    assert not any(side % 8 for side in (rows.shape[1], *columns.shape))
    if rows.is_cuda:
        return INT_MM(rows, columns)
    return rows.to(torch.int32) @ columns.to(torch.int32)


class FakeCuda:
    """What `gateformer.baselines.gpu` uses of ``torch.cuda``."""

    Stream = FakeStream
    CUDAGraph = FakeGraph
    Event = FakeEvent

    def __init__(self, available: bool = True) -> None:
        self.available, self.waits = available, 0
        self.graphs: list[FakeGraph] = []

    def is_available(self) -> bool:
        return self.available

    def synchronize(self) -> None:
        self.waits += 1

    def current_stream(self) -> FakeStream:
        return FakeStream()

    def stream(self, one: FakeStream) -> Any:
        return nullcontext()

    @contextmanager
    def graph(self, one: FakeGraph) -> Iterator[None]:
        self.graphs.append(one)
        with one.recorder:
            yield
