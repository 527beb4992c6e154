"""A pynvml whose board takes joules for each replay, for worker processes that find it first."""

import time
from typing import Any

JOULES = 0.1
"""Of a replay of `unit.fake_cuda`."""
WATTS = 0.1
"""At rest: however long a replay takes on a busy machine, it adds little."""


class NVMLError(Exception):
    pass


class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818 - the library's name
    pass


def nvmlInit() -> None:  # noqa: N802 - the library's name
    pass


def nvmlDeviceGetHandleByIndex(index: int) -> str:  # noqa: N802
    return f"GPU {index}"


def nvmlDeviceGetTotalEnergyConsumption(handle: str) -> int:  # noqa: N802
    from unit.fake_cuda import FakeGraph

    return round((time.perf_counter() * WATTS + FakeGraph.launched * JOULES) * 1e3)


def nvmlDeviceGetName(handle: str) -> str:  # noqa: N802
    return "Fake H100"


def nvmlDeviceGetComputeRunningProcesses(handle: str) -> list[Any]:  # noqa: N802
    return [object()]


def nvmlDeviceGetMigMode(handle: str) -> list[int]:  # noqa: N802
    raise NVMLError_NotSupported
