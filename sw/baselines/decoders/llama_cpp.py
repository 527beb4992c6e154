"""llama.cpp: its own decoding call on a GGUF file with the decoder's weights.

Owns ``session``. Imports the file's writer, and ``llama_cpp``, of which only the bindings of the C
library are used: nothing of Python stands in the timed call but the call itself.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.decoders.gguf_file import STORAGE, write
from gateformer.baselines.decoders.sizes import step_bytes
from gateformer.baselines.decoders.weights import Weights
from gateformer.baselines.runtime import Session
from gateformer.baselines.work import DecoderWork
from gateformer.quant.errors import BaselineError

PART = 512
"""Tokens of the prompt that are decoded at once."""


def session(precision: str) -> Callable[[DecoderWork, int], Session]:
    """Return the opening of a session with matrices stored as ``precision``."""

    def opened(work: DecoderWork, threads: int) -> Session:
        return _Llama(work, threads, precision)

    return opened


class _Llama:
    """A context of llama.cpp whose sequences all stand behind the prompt."""

    def __init__(self, work: DecoderWork, threads: int, precision: str) -> None:
        import llama_cpp

        self.library: Any = llama_cpp
        self.version = llama_cpp.__version__
        self.options: Mapping[str, str] = {
            "package": "llama-cpp-python",
            "cache": "f16",
            "load": "read into memory, not mapped",
            "system": llama_cpp.llama_print_system_info().decode().strip(),
        }
        self.bytes = step_bytes(work, STORAGE[precision])
        self.work = work
        self._quiet()
        llama_cpp.llama_backend_init()
        with tempfile.TemporaryDirectory(prefix="gateformer-gguf-") as folder:
            path = Path(folder) / "model.gguf"
            write(path, Weights(work.decoder, work.seed), precision)
            self.model = self._model(path)
        self.context = self._context(threads)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self._prompt(Weights(work.decoder, work.seed).prompt(work.context))
        self.batch = self._batch(work.tokens(), work.context, range(work.batch))

    def step(self) -> None:
        """Forget the last step's token and decode it again."""
        forget, before = self.library.llama_memory_seq_rm, self.work.context
        for sequence in range(self.work.batch):
            forget(self.memory, sequence, before, -1)
        self._decode(self.batch)

    def outputs(self) -> NDArray[np.float64]:
        """Return the logits: (batch, vocab)."""
        rows = []
        for number in range(self.work.batch):
            pointer = self.library.llama_get_logits_ith(self.context, number)
            rows.append(np.ctypeslib.as_array(pointer, (self.work.decoder.vocab,)))
        return np.asarray(rows, np.float64)

    def close(self) -> None:
        """Free the context and the model."""
        self.library.llama_batch_free(self.batch)
        self.library.llama_free(self.context)
        self.library.llama_model_free(self.model)

    def _quiet(self) -> None:
        """Keep only what it says of errors: it goes to the log with the reason of a failure."""

        def heard(level: int, text: bytes, _: ctypes.c_void_p) -> None:
            if level == ERROR:
                print(text.decode(errors="replace"), end="", flush=True)

        # The library keeps its address only.
        self.heard: Any = self.library.llama_log_callback(heard)
        self.library.llama_log_set(self.heard, ctypes.c_void_p(0))

    def _model(self, path: Path) -> Any:
        wanted = self.library.llama_model_default_params()
        wanted.n_gpu_layers = 0
        # The file goes away once it is read, and memory of malloc may have huge pages.
        wanted.load_mode = self.library.LLAMA_LOAD_MODE_NONE
        model = self.library.llama_model_load_from_file(str(path).encode(), wanted)
        if not model:
            raise _failed("it did not load the model")
        return model

    def _context(self, threads: int) -> Any:
        wanted = self.library.llama_context_default_params()
        wanted.n_ctx = (self.work.context + 1 + 255) // 256 * 256 * self.work.batch
        wanted.n_batch = wanted.n_ubatch = max(PART, self.work.batch)
        wanted.n_seq_max = self.work.batch
        wanted.n_threads = wanted.n_threads_batch = threads
        wanted.kv_unified = False  # each sequence has a cache of its own
        context = self.library.llama_init_from_model(self.model, wanted)
        if not context:
            raise _failed("it did not make a context")
        return context

    def _prompt(self, tokens: NDArray[np.int64]) -> None:
        """Decode the prompt once and copy its cache to the other sequences."""
        for first in range(0, len(tokens), PART):
            part = tokens[first : first + PART]
            batch = self._batch(part, first, None)
            self._decode(batch)
            self.library.llama_batch_free(batch)
        if len(tokens):
            for sequence in range(1, self.work.batch):
                self.library.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)

    def _batch(self, tokens: NDArray[np.int64], first: int, sequences: range | None) -> Any:
        """Return a batch: a token for each sequence, or the next tokens of the first one."""
        batch = self.library.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for number, token in enumerate(tokens):
            batch.token[number] = int(token)
            batch.pos[number] = first + (number if sequences is None else 0)
            batch.n_seq_id[number] = 1
            batch.seq_id[number][0] = 0 if sequences is None else sequences[number]
            batch.logits[number] = sequences is not None
        return batch

    def _decode(self, batch: Any) -> None:
        status = self.library.llama_decode(self.context, batch)
        if status:
            raise _failed(f"llama_decode returned {status}")


ERROR = 4
"""GGML_LOG_LEVEL_ERROR, of ggml.h."""


def _failed(why: str) -> BaselineError:
    return BaselineError("E851", "runtime failed", layer="llama.cpp", cause=why.capitalize())
