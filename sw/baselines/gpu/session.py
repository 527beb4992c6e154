"""A module that stands ready on a device: its inputs there, its step waited for.

Owns ``GpuSession``. Imports how modules run, and torch where it is used.

The time of a step is a wall clock's around launch, kernels and the wait for their end: what a
caller has to wait for. Times between CUDA events would leave the launch out, which for a small
network is most of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.gpu.running import Device, How, captured

Run = Callable[..., tuple[Any, Any]]
"""Takes the inputs on the device; returns the outputs (batch, numbers), and what goes back to the
host."""


class GpuSession:
    """A session of torch on a GPU.

    Parameters
    ----------
    run : callable
        The module's step.
    inputs : sequence of torch.Tensor
        On the host.
    others : sequence of sequence of torch.Tensor
        More batches of inputs, which are taken in turn.
    device : Device
        Where it runs.
    how : {"eager", "graphs", "compile"}
        Everything but ``eager`` is captured and replayed.
    transfer : bool
        Whether a step copies its inputs to the device and its answer back.
    bytes : int
        Read for one step.
    options : mapping of str to str
        For the record.
    matmul : {"highest", "high"}
        Torch's precision of float32 products: ``high`` is TF32.
    """

    def __init__(
        self,
        run: Run,
        inputs: tuple[Any, ...],
        device: Device,
        how: How,
        *,
        transfer: bool,
        bytes: int,
        options: Mapping[str, str],
        matmul: str = "highest",
        others: Sequence[tuple[Any, ...]] = (),
    ) -> None:
        import torch

        self.torch, self.device, self.transfer, self.bytes = torch, device, transfer, bytes
        self.version = str(torch.__version__)
        self.options: Mapping[str, str] = dict(options) | {
            "cuda": str(torch.version.cuda),
            "clock": "wall, device waited for",
            "float32 products": matmul,
        }
        self._before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(matmul)
        self.held = (inputs, *others)
        self.batches = len(self.held)
        # Copied: the batch in turn is written over it.
        self.host = tuple(device.pinned(one.clone()) for one in inputs)
        self.inputs = tuple(one.clone().to(device.name) for one in inputs)

        def call() -> tuple[Any, Any]:
            return run(*self.inputs)

        with torch.inference_mode():
            self.call = call if how == "eager" else captured(call, device.library)
            self.made, answer = self.call()
            device.wait()
            self.answer = device.pinned(torch.empty_like(answer, device="cpu"))

    def turn(self, place: int) -> None:
        """Put a batch into the inputs, there and on the host; no part of a step."""
        for there, here, frames in zip(self.inputs, self.host, self.held[place], strict=True):
            here.copy_(frames)
            there.copy_(here)
        self.device.wait()

    def step(self) -> None:
        """Run once, and wait for the end."""
        with self.torch.inference_mode():
            if self.transfer:
                for there, here in zip(self.inputs, self.host, strict=True):
                    there.copy_(here, non_blocking=True)
            self.made, answer = self.call()
            if self.transfer:
                self.answer.copy_(answer, non_blocking=True)
        self.device.wait()

    def outputs(self) -> NDArray[np.float64]:
        """Return what the last step gave: (batch, numbers)."""
        found: NDArray[np.float64] = self.made.to("cpu", self.torch.float64).numpy()
        return found

    def close(self) -> None:
        """Let go of the module and give torch's setting back."""
        self.torch.set_float32_matmul_precision(self._before)
        del self.call, self.made, self.inputs, self.host, self.held, self.answer
