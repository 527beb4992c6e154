"""The GPU that baselines run on, as a record states it.

Owns ``gpu``. Imports the probe. A process that has once used CUDA holds its memory and keeps the
board awake until it ends, so this one never does: it asks another.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from importlib.util import find_spec

from pydantic import ValidationError

from gateformer.baselines.gpu.probe import GpuFound
from gateformer.baselines.gpu.running import no_gpu
from gateformer.baselines.record import Hardware

TIMEOUT_S = 300.0
DRIVER = "libcuda.so.1"
"""The driver's library, which CUDA loads first; loading it alone starts nothing."""


def driver() -> bool:
    """Tell whether there is a driver: without one there is nothing to ask, which takes seconds."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def gpu(device: str = "cuda", timeout_s: float = TIMEOUT_S) -> Hardware:
    """Return this machine's GPU, the first that torch finds, with its memory's bandwidth.

    Raises
    ------
    BaselineError
        E853 where there is none.
    """
    if not driver():
        raise no_gpu(f"no NVIDIA driver: {DRIVER} is not here")
    if find_spec("torch") is None:
        raise no_gpu("torch is not installed: pip install -e '.[baselines]'")
    command = [sys.executable, "-m", "gateformer.baselines.gpu.probe", device]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise no_gpu(f"it did not answer in {timeout_s:.0f} s") from None
    last = (done.stdout.strip().splitlines() or [""])[-1]
    try:
        return GpuFound.model_validate_json(last).hardware()
    except ValidationError:
        said = " ".join((done.stderr.strip().splitlines() or ["no answer"])[-1].split())[:300]
        raise no_gpu(said) from None
