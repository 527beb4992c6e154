"""The decoders' GPU candidates on the processor, beside a fake NVML: for the measuring loop."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gateformer.baselines.gpu.candidates import DECODERS
from gateformer.baselines.gpu.running import Device
from gateformer.energy.meters.nvml import NvmlMeter

PLACE = "unit.gpu_on_cpu:CANDIDATES"
HERE = Path(__file__).parent
PATHS = {"PYTHONPATH": f"{HERE / 'fake_nvml'}:{HERE.parent}"}


def opened(candidate: Any, work: Any, threads: int) -> Any:
    from unit.fake_cuda import FakeCuda

    # In the worker: the fake counter moves all the time, ten seconds would show no more.
    NvmlMeter.seconds = 0.2
    return candidate.open(work, threads, device=Device("cpu", FakeCuda()))


CANDIDATES = tuple(
    replace(one, open=partial(opened, one), environment=PATHS)
    for one in DECODERS
    if one.key == "torch-graphs:bf16"
)
