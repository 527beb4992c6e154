"""A pynvml whose board draws 300 W, for worker processes that find it first."""

import time
from typing import Any

WATTS = 300


class NVMLError(Exception):
    pass


class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818 - the library's name
    pass


def nvmlInit() -> None:  # noqa: N802 - the library's name
    pass


def nvmlDeviceGetHandleByIndex(index: int) -> str:  # noqa: N802
    return f"GPU {index}"


def nvmlDeviceGetTotalEnergyConsumption(handle: str) -> int:  # noqa: N802
    return round(time.perf_counter() * WATTS * 1e3)


def nvmlDeviceGetName(handle: str) -> str:  # noqa: N802
    return "Fake H100"


def nvmlDeviceGetComputeRunningProcesses(handle: str) -> list[Any]:  # noqa: N802
    return [object()]


def nvmlDeviceGetMigMode(handle: str) -> list[int]:  # noqa: N802
    raise NVMLError_NotSupported
