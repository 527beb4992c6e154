"""What GPU is here and how fast its memory is, asked of a process of its own.

Owns ``GpuFound``, ``probe`` and ``bandwidths``. Imports the record's words and the hardware's id;
torch and pynvml where they are used. Run as ``python -m gateformer.baselines.gpu.probe cuda``: it
prints JSON. `gateformer.baselines.gpu.hardware` runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any

from pydantic import Field

from gateformer.baselines.gpu.running import Device, nvml_name
from gateformer.baselines.hardware import identity
from gateformer.baselines.record import Hardware
from gateformer.energy.figure import Plain
from gateformer.quant.errors import BaselineError

SIZE = 1 << 30
"""Bytes of an array: four times the last cache of any GPU and more (H100: 50 MB)."""
REPEATS = 20
ASKED: Mapping[str, Callable[[Any, Any], object]] = {
    "driver": lambda nvml, _: nvml.nvmlSystemGetDriverVersion(),
    "power limit": lambda nvml, gpu: f"{nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1e3:g} W",
    "largest clock of the multiprocessors": lambda nvml, gpu: (
        f"{nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM)} MHz"
    ),
    "largest clock of the memory": lambda nvml, gpu: (
        f"{nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_MEM)} MHz"
    ),
    "error correction": lambda nvml, gpu: "on" if nvml.nvmlDeviceGetEccMode(gpu)[0] else "off",
    "MIG": lambda nvml, gpu: "on" if nvml.nvmlDeviceGetMigMode(gpu)[0] else "off",
}
"""What the driver is asked for; a GPU that does not know it leaves it out."""


class GpuFound(Plain):
    """A GPU.

    Attributes
    ----------
    name, uuid : str
        As the driver has them; the UUID is NVML's.
    multiprocessors : int
        Streaming multiprocessors.
    memory_gb : float
        GiB of its memory.
    bandwidths : dict of str to float
        GB/s of each kernel, the best of several.
    details : dict of str to str
        What else a peer would ask for.
    """

    name: str
    uuid: str
    multiprocessors: int = Field(ge=0)
    memory_gb: float = Field(gt=0)
    bandwidths: dict[str, float]
    details: dict[str, str]

    def hardware(self) -> Hardware:
        """Return what a record states; its bandwidth is that of reading."""
        told = self.details.items() | {
            (f"bandwidth, {name}", f"{gbs:.4g} GB/s") for name, gbs in self.bandwidths.items()
        }
        return Hardware(
            id=identity(self.name, self.multiprocessors, (f"{round(self.memory_gb)}",)),
            kind="gpu",
            name=self.name,
            cores=self.multiprocessors,
            memory_gb=self.memory_gb,
            bandwidth_gbs=self.bandwidths["read"],
            bandwidth_method=f"torch's sum of {SIZE >> 20} MiB on the device, best of {REPEATS}, "
            "between CUDA events",
            details=dict(sorted(told)) | {"uuid": self.uuid},
        )


def probe(device: Device, size: int = SIZE, repeats: int = REPEATS) -> GpuFound:
    """Return what a GPU is; for ``cpu``, the same kernels on the processor, for tests.

    Raises
    ------
    BaselineError
        E853 where there is none.
    """
    import torch

    device.need()
    versions = {"torch": str(torch.__version__), "cuda": str(torch.version.cuda)}
    measured = bandwidths(device, size, repeats)
    if device.name == "cpu":
        return GpuFound(
            name="cpu",
            uuid="",
            multiprocessors=0,
            memory_gb=1.0,
            bandwidths=measured,
            details=versions,
        )
    one = torch.cuda.get_device_properties(0)
    uuid = nvml_name(getattr(one, "uuid", ""))
    return GpuFound(
        name=str(one.name),
        uuid=uuid,
        multiprocessors=int(one.multi_processor_count),
        memory_gb=round(one.total_memory / (1 << 30), 1),
        bandwidths=measured,
        details=versions
        | {"compute capability": f"{one.major}.{one.minor}"}
        | told(uuid, nvml_library()),
    )


def nvml_library() -> Any:
    """Return pynvml, or None."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    return pynvml


def told(uuid: str, nvml: Any) -> dict[str, str]:
    """Return what the driver tells of a GPU.

    Parameters
    ----------
    uuid : str
        NVML's; the first GPU where empty.
    nvml : module or None
        pynvml.
    """
    if nvml is None:
        return {}
    details = {}
    try:
        nvml.nvmlInit()
        gpu = nvml.nvmlDeviceGetHandleByUUID(uuid) if uuid else nvml.nvmlDeviceGetHandleByIndex(0)
    except nvml.NVMLError:
        return {}
    for name, asked in ASKED.items():
        try:
            answer = asked(nvml, gpu)
        except nvml.NVMLError:
            continue
        details[name] = answer.decode() if isinstance(answer, bytes) else str(answer)
    return details


def bandwidths(device: Device, size: int = SIZE, repeats: int = REPEATS) -> dict[str, float]:
    """Return the GB/s of reading and of copying an array on the device.

    Parameters
    ----------
    device : Device
        Where the array lies.
    size : int
        Its bytes.
    repeats : int
        Times that each runs; the best counts. Copying reads and writes: both count.
    """
    import torch

    source = torch.ones(size // 4, dtype=torch.float32, device=device.name)
    target = torch.empty_like(source)
    kernels: dict[str, tuple[Callable[[], Any], int]] = {
        "read": (lambda: torch.sum(source), source.nbytes),
        "copy": (lambda: target.copy_(source), 2 * source.nbytes),
    }
    best = {}
    for name, (kernel, moved) in kernels.items():
        kernel()
        times = sorted(_seconds(device, kernel) for _ in range(repeats))
        best[name] = moved / times[0] / 1e9
        best[f"{name}, median"] = moved / median(times) / 1e9
    return best


def _seconds(device: Device, kernel: Callable[[], Any]) -> float:
    """Return a kernel's time: between CUDA events, or a wall clock's on the processor."""
    if device.name == "cpu":
        began = perf_counter()
        kernel()
        return perf_counter() - began
    events = [device.library.Event(enable_timing=True) for _ in range(2)]
    events[0].record()
    kernel()
    events[1].record()
    device.wait()
    return float(events[0].elapsed_time(events[1])) / 1e3


def main(arguments: list[str]) -> int:
    """Print the GPU as JSON; the reason on stderr where there is none."""
    try:
        answer = probe(Device(arguments[1]))
    except (BaselineError, ModuleNotFoundError) as error:
        print(getattr(error, "cause", None) or str(error), file=sys.stderr)
        return 1
    print(answer.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
