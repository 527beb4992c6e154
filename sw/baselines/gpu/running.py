"""How a torch module runs on a device: one kernel at a time, captured once and replayed, compiled.

Owns ``Device``, ``captured``, ``compiled`` and the error of a machine without a GPU. Imports torch
where it is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from gateformer.quant.errors import BaselineError

How = Literal["eager", "graphs", "compile"]
WARM = 3
"""Calls on a side stream before a capture, as torch's notes on CUDA graphs ask for."""
COMPILER: Mapping[str, object] = {"coordinate_descent_tuning": True, "triton.cudagraphs": False}
"""Inductor's settings: tuned for products with a vector; what it makes is captured here, as its own
capture leaves out modules that write into their buffers."""


class Cuda(Protocol):
    """What is used of ``torch.cuda``."""

    def is_available(self) -> bool:
        """Tell whether there is a GPU."""

    def synchronize(self) -> None:
        """Wait until all that was launched is done."""

    def current_stream(self) -> Any:
        """Return the stream that is launched on."""

    Event: Any
    Stream: Any
    stream: Any
    CUDAGraph: Any
    graph: Any


class Device:
    """Where a session runs: ``cuda``, or ``cpu`` with nothing to wait for.

    Parameters
    ----------
    name : str
        Of torch's.
    cuda : Cuda or None
        In the place of ``torch.cuda``.
    """

    def __init__(self, name: str, cuda: Cuda | None = None) -> None:
        self.name = name
        self.cuda = cuda

    @property
    def library(self) -> Cuda:
        """``torch.cuda``, or what stands in its place."""
        if self.cuda is not None:
            return self.cuda
        import torch

        library: Cuda = torch.cuda
        return library

    def need(self) -> None:
        """Raise where there is no such device.

        Raises
        ------
        BaselineError
            E853.
        """
        if self.name == "cpu":
            return
        # Torch tells of a driver that is too old in a warning.
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if self.library.is_available():
                return
        raise no_gpu("; ".join(["torch sees no CUDA device", *_reasons(said)]))

    def wait(self) -> None:
        """Wait until the device is done."""
        if self.name != "cpu":
            self.library.synchronize()

    def pinned(self, tensor: Any) -> Any:
        """Return a host's tensor in memory that the device can read at full speed."""
        return tensor if self.name == "cpu" else tensor.pin_memory()


def _reasons(said: list[warnings.WarningMessage]) -> list[str]:
    import torch

    found = [" ".join(str(one.message).split())[:300] for one in said]
    if torch.version.cuda is None:
        found.append(f"torch {torch.__version__} is built without CUDA")
    return found


def no_gpu(cause: str) -> BaselineError:
    """Return the error of a machine without a GPU."""
    return BaselineError(
        "E853",
        "no GPU",
        cause=cause,
        fix="Run it where a CUDA build of torch sees a GPU; recorded and modelled rows need none",
    )


def nvml_name(uuid: object) -> str:
    """Return a UUID of torch's as NVML writes it; empty where torch does not know it."""
    text = str(uuid)
    return text if not text or text.startswith(("GPU-", "MIG-")) else f"GPU-{text}"


def nvml_device() -> int | str:
    """Return what NVML knows torch's first GPU by: its UUID, as the two may count differently.

    NVML's first GPU where torch does not tell: a meter's trouble must not cost the times.
    """
    import torch

    try:
        return nvml_name(getattr(torch.cuda.get_device_properties(0), "uuid", "")) or 0
    except (AssertionError, RuntimeError):
        return 0


def captured(call: Callable[[], Any], cuda: Cuda) -> Callable[[], Any]:
    """Return a call that replays all kernels of another one with one launch.

    What the call returns stays at the same place: each replay writes it anew.

    Parameters
    ----------
    call : callable
        Reads and writes tensors that stay where they are, and asks the device for nothing.
    cuda : Cuda
        ``torch.cuda``.
    """
    side = cuda.Stream()
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        for _ in range(WARM):
            call()
    cuda.current_stream().wait_stream(side)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        made = call()

    def replayed() -> Any:
        graph.replay()
        return made

    return replayed


def compiled(module: Any) -> Any:
    """Return a module compiled by torch's compiler for its fixed shapes.

    A decoder's blocks are compiled on their own: the same code serves all of them, so that it takes
    no longer for 48 layers than for one.
    """
    import torch

    blocks = getattr(module, "blocks", None)
    if blocks is None:
        return torch.compile(module, dynamic=False, options=dict(COMPILER))
    for block in blocks:
        block.compile(dynamic=False, options=dict(COMPILER))
    return module
