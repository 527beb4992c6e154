"""Decoding in torch on a CPU: eager, and compiled by its own compiler.

Owns ``session``. Imports the decoder as a torch module, and torch where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.decoders.sizes import plain, step_bytes
from gateformer.baselines.decoders.torch_model import module
from gateformer.baselines.runtime import Session
from gateformer.baselines.work import DecoderWork

BYTES: Mapping[str, int] = {"float32": 4, "bfloat16": 2}
"""Of torch's types."""


def session(dtype: str, *, compiled: bool = False) -> Callable[[DecoderWork, int], Session]:
    """Return the opening of a session in a type of torch's, such as ``bfloat16``."""

    def opened(work: DecoderWork, threads: int) -> Session:
        return _Torch(work, threads, dtype, compiled)

    return opened


class _Torch:
    """A module with its tokens in place."""

    def __init__(self, work: DecoderWork, threads: int, dtype: str, compiled: bool) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        self.version = torch.__version__
        self.options: Mapping[str, str] = {"cache": f"{dtype}, in place"}
        self.bytes = step_bytes(work, plain(BYTES[dtype]))
        self.run = module(work, "cpu", dtype)
        self.tokens = torch.from_numpy(work.tokens())
        if compiled:
            import torch._inductor.config as inductor

            # Weights are constants of inference: the compiler may pack them as it likes. From C++
            # kernels are called without Python between them.
            inductor.freezing = inductor.cpp_wrapper = True
            self.options = {**self.options, "compiler": "inductor, weights frozen, C++ wrapper"}
            self.run = torch.compile(self.run, dynamic=False)
        self.step()

    def step(self) -> None:
        """Decode the token."""
        with self.torch.inference_mode():
            self.logits = self.run(self.tokens)

    def outputs(self) -> NDArray[np.float64]:
        """Return the logits: (batch, vocab)."""
        return np.asarray(self.logits.to(self.torch.float64).numpy())

    def close(self) -> None:
        """Let go of the module; what it compiled stays torch's."""
        del self.run, self.logits
