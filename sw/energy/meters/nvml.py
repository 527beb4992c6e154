"""NVML: the total-energy counter of an NVIDIA GPU's board.

Owns ``NvmlMeter``. Imports the meters' words; pynvml (nvidia-ml-py) where it is used.

The counter is in millijoules since the driver was loaded, for Volta and newer (NVIDIA, NVML API
reference, ``nvmlDeviceGetTotalEnergyConsumption``). Its sensor looks at about a quarter of the time
on an A100 or H100, and is off by about 5 % (Yang, Adamek and Armour, "Part-time Power
Measurements", arXiv 2312.02741): hence windows of ten seconds, repeated. There is no second way:
where the counter cannot be read, nothing is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from gateformer.energy.meters.meter import Reading, failed

TOLERANCE = 0.05
"""Of the sensor, against an outside meter: arXiv 2312.02741."""
MOST_WATTS = 5000.0
"""More than any board draws (assumed: the largest are sold at 1.2 kW)."""
PROBE_S = 0.5
"""A counter that has not moved in this time stands still: it is renewed about every 100 ms, and no
board draws less than a watt."""


class NvmlMeter:
    """One GPU's board: chip, memory and their supply.

    Parameters
    ----------
    device : int or str
        NVML's number of the GPU, or its UUID. CUDA may count differently: give the UUID of the
        device that runs.
    library : module or None
        In pynvml's place.
    pause, clock : callable
        As in ``time``: ``sleep`` and ``perf_counter``.
    """

    name = "NVML"
    seconds = 10.0

    def __init__(
        self,
        device: int | str = 0,
        library: ModuleType | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.device, self.library, self.pause, self.clock = device, library, pause, clock
        self._handle: Any = None
        self._before = 0
        self._began = 0.0

    def available(self) -> str | None:
        """Return why there is nothing to read, or None; takes half a second."""
        nvml = self._nvml()
        if nvml is None:
            return "no NVML: nvidia-ml-py is not installed (pip install -e '.[baselines]')"
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            return f"no NVML: {error}"
        try:
            self._handle = self._opened(nvml)
            before = self._millijoules(nvml)
            self.pause(PROBE_S)
            if self._millijoules(nvml) == before:
                return f"NVML is there but its energy counter stands still: {self._title(nvml)}"
        except nvml.NVMLError_NotSupported:
            return f"NVML is there, but {self._title(nvml)} has no energy counter (before Volta)"
        except nvml.NVMLError as error:
            return f"NVML is there but does not answer for GPU {self.device}: {error}"
        return None

    def start(self) -> None:
        """Read the counter."""
        nvml = self._nvml()
        if nvml is None:
            raise failed(self.name, "nvidia-ml-py is not installed")
        try:
            if self._handle is None:
                nvml.nvmlInit()
                self._handle = self._opened(nvml)
            self._before, self._began = self._millijoules(nvml), self.clock()
        except nvml.NVMLError as error:
            raise failed(self.name, f"GPU {self.device}: {error}") from None

    def stop(self) -> Reading:
        """Read the counter again."""
        nvml: Any = self._nvml()
        seconds = self.clock() - self._began
        try:
            spent = self._millijoules(nvml) - self._before
            method = f"NVML total energy counter of {self._title(nvml)}{self._company(nvml)}"
        except nvml.NVMLError as error:
            raise failed(self.name, f"GPU {self.device} was lost: {error}") from None
        if spent == 0:
            raise failed(self.name, f"The counter stood still for {seconds:.1f} s")
        if spent < 0:
            raise failed(self.name, "The counter began anew: the driver was loaded again")
        joules = spent / 1e3
        # It is renewed in steps, so that a short window may hold one step more than its own.
        if joules > (seconds + PROBE_S) * MOST_WATTS:
            raise failed(self.name, f"The counter leapt: {joules:.3g} J in {seconds:.1f} s")
        parts = {"board": joules}
        return Reading(joules, seconds, "board", "measured", method, parts, TOLERANCE)

    def _nvml(self) -> Any:
        if self.library is not None:
            return self.library
        try:
            import pynvml
        except ModuleNotFoundError:
            return None
        return pynvml

    def _opened(self, nvml: Any) -> Any:
        if isinstance(self.device, int):
            return nvml.nvmlDeviceGetHandleByIndex(self.device)
        return nvml.nvmlDeviceGetHandleByUUID(self.device)

    def _millijoules(self, nvml: Any) -> int:
        return int(nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def _title(self, nvml: Any) -> str:
        try:
            name = nvml.nvmlDeviceGetName(self._handle)
        except nvml.NVMLError:
            return f"GPU {self.device}"
        return name.decode() if isinstance(name, bytes) else str(name)

    def _company(self, nvml: Any) -> str:
        """Tell what else the board's joules pay for."""
        words = ""
        try:
            if len(nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)) > 1:
                words += "; other processes ran on it"
            if nvml.nvmlDeviceGetMigMode(self._handle)[0]:
                words += "; the whole board, of which MIG gives the work a part"
        except nvml.NVMLError_NotSupported:
            pass
        return words
