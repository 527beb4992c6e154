"""OpenVINO on a decoder's step, its cache read where it lies.

Owns ``session``. Imports the model's builder, and ``openvino`` where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.decoders.openvino_model import FORMATS, Format, bfloat16, build
from gateformer.baselines.decoders.reference import start
from gateformer.baselines.decoders.sizes import step_bytes
from gateformer.baselines.decoders.weights import Weights
from gateformer.baselines.runtime import Session
from gateformer.baselines.work import DecoderWork


def session(precision: str) -> Callable[[DecoderWork, int], Session]:
    """Return the opening of a session at a precision of ``FORMATS``."""

    def opened(work: DecoderWork, threads: int) -> Session:
        return _OpenVino(work, threads, FORMATS[precision])

    return opened


class _OpenVino:
    """A request with its inputs and the cache in place."""

    def __init__(self, work: DecoderWork, threads: int, form: Format) -> None:
        import openvino

        self.library: Any = openvino
        self.version = openvino.__version__.split("-")[0]
        self.options: Mapping[str, str] = {
            "INFERENCE_PRECISION_HINT": form.hint,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "cache": f"{form.cache}, read in place, the step's own numbers written behind it",
        }
        self.bytes = step_bytes(work, form.storage)
        begin = start(work)
        model = build(Weights(work.decoder, work.seed), work.context, work.batch, form)
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": form.hint,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            # The process is pinned already.
            "ENABLE_CPU_PINNING": False,
        }
        if form.bits < 16:
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = form.storage.block
            self.options = {
                **self.options,
                "activations": f"int8 in groups of {form.storage.block}",
            }
        if threads == 1 and form.bits == 32:
            # With one thread it looks for float32 layers to join, and 2026.4 ends the process
            # at such a layer with a bias.
            settings["SNIPPETS_MODE"] = "DISABLE"
            self.options = {**self.options, "SNIPPETS_MODE": "DISABLE"}
        self.request: Any = openvino.Core().compile_model(model, "CPU", settings)
        del model
        self.request = self.request.create_infer_request()
        self.tokens = work.tokens()
        self.request.set_tensor("token", openvino.Tensor(self.tokens, shared_memory=True))
        self.kept = [
            self._past(f"{name}{index}", past[index], work.batch, form.cache)
            for index in range(work.decoder.layers if work.context else 0)
            for name, past in (("key", begin.keys), ("value", begin.values))
        ]
        self.behind = np.zeros_like(self.request.get_tensor("new").data)

    def step(self) -> None:
        """Decode the token and keep its keys and values."""
        self.request.infer()
        self.behind[...] = self.request.get_tensor("new").data

    def outputs(self) -> NDArray[np.float64]:
        """Return the logits: (batch, vocab)."""
        return self.request.get_tensor("logits").data.astype(np.float64)

    def close(self) -> None:
        """Free the request, and with it the model."""
        del self.request

    def _past(self, name: str, past: NDArray[np.float32], batch: int, kind: str) -> Any:
        """Hand in each sequence's own copy of the cache; returns the memory, to be kept."""
        whole = np.array(np.broadcast_to(past, (batch, *past.shape)), order="C")
        if kind == "bf16":
            bits = bfloat16(whole)
            tensor = self.library.Tensor(bits, bits.shape, self.library.Type.bf16)
            self.request.set_tensor(name, tensor)
            return bits
        self.request.set_tensor(name, self.library.Tensor(whole, shared_memory=True))
        return whole
