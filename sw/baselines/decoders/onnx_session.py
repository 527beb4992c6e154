"""ONNX Runtime on a decoder's step, inputs, outputs and the cache bound in place.

Owns ``session``. Imports the model's writer, and ``onnxruntime`` where it is used.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.decoders.onnx_model import packed, write
from gateformer.baselines.decoders.reference import start
from gateformer.baselines.decoders.sizes import step_bytes
from gateformer.baselines.decoders.weights import Weights
from gateformer.baselines.runtime import Session
from gateformer.baselines.work import DecoderWork


def session(precision: str) -> Callable[[DecoderWork, int], Session]:
    """Return the opening of a session with matrices stored as ``precision``."""

    def opened(work: DecoderWork, threads: int) -> Session:
        return _Onnx(work, threads, precision)

    return opened


class _Onnx:
    """A session with everything bound."""

    def __init__(self, work: DecoderWork, threads: int, precision: str) -> None:
        import onnxruntime

        self.version = onnxruntime.__version__
        self.options: Mapping[str, str] = {
            "attention": "GroupQueryAttention, float32 cache in place",
            "matrices": "Gemm" if precision == "fp32" else "MatMulNBits, blocks of 32, int8 inputs",
        }
        self.bytes = step_bytes(work, packed(precision, platform.machine()))
        wanted = onnxruntime.SessionOptions()
        wanted.intra_op_num_threads = threads
        wanted.inter_op_num_threads = 1
        wanted.log_severity_level = 3
        with tempfile.TemporaryDirectory(prefix="gateformer-onnx-") as folder:
            weights = Weights(work.decoder, work.seed)
            path = write(Path(folder), weights, work.context, precision)
            self.run = onnxruntime.InferenceSession(path, wanted, ["CPUExecutionProvider"])
        self.binding = self.run.io_binding()
        self._bind(work, onnxruntime.OrtValue.ortvalue_from_numpy)
        self.logits = np.zeros((work.batch, work.decoder.vocab), np.float32)
        self._into("logits", self.logits)

    def step(self) -> None:
        """Decode the token."""
        self.run.run_with_iobinding(self.binding)

    def outputs(self) -> NDArray[np.float64]:
        """Return the logits: (batch, vocab)."""
        return self.logits.astype(np.float64)

    def close(self) -> None:
        """Free the session."""
        del self.binding, self.run

    def _bind(self, work: DecoderWork, made: Callable[[NDArray[np.generic]], object]) -> None:
        begin = start(work)
        inputs: dict[str, NDArray[np.generic]] = {
            "token": work.tokens(),
            "before": np.full(work.batch, work.context, np.int32),
            "total": np.array(work.context + 1, np.int32),
        }
        self.kept = [made(one) for one in inputs.values()]
        for name, one in zip(inputs, self.kept, strict=True):
            self.binding.bind_ortvalue_input(name, one)
        places = (work.batch, work.decoder.kv_heads, work.context + 1, work.decoder.d_head)
        for index in range(work.decoder.layers):
            for name, past in (("key", begin.keys[index]), ("value", begin.values[index])):
                cache = np.zeros(places, np.float32)
                cache[:, :, :-1] = past
                value = made(cache)
                self.kept.append(value)
                # One memory for both: the operator sees that and adds the token where it belongs.
                self.binding.bind_ortvalue_input(f"{name}{index}", value)
                self.binding.bind_ortvalue_output(f"new_{name}{index}", value)

    def _into(self, name: str, array: NDArray[np.float32]) -> None:
        pointer = array.ctypes.data
        self.binding.bind_output(name, "cpu", 0, np.float32, array.shape, pointer)
