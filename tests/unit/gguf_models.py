"""A small language model as a GGUF file, written by the package that others write theirs with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, WIDTH, HEADS, KV_HEADS, HIDDEN = 2, 64, 4, 2, 96
WORDS = ["<|end|>", "<|im_start|>", "a", "b", "c", "Ġ", "ab", "Ġc", "1", "2", "Ċ"]
MERGES = ["a b", "Ġ c"]


def neighbours(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Order rows as converters do: those of a pair one behind the other."""
    return matrix.reshape(heads, 2, -1, matrix.shape[1]).swapaxes(1, 2).reshape(matrix.shape)


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Return a model's numbers, queries and keys as a first half and a second one."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)

    kv = WIDTH // HEADS * KV_HEADS
    found = {
        "token_embd.weight": draw(len(WORDS), WIDTH),
        "output_norm.weight": 1 + 0.1 * draw(WIDTH),
    }
    for layer in range(LAYERS):
        found |= {
            f"blk.{layer}.{name}.weight": values
            for name, values in (
                ("attn_norm", 1 + 0.1 * draw(WIDTH)),
                ("attn_q", draw(WIDTH, WIDTH)),
                ("attn_k", draw(kv, WIDTH)),
                ("attn_v", draw(kv, WIDTH)),
                ("attn_output", draw(WIDTH, WIDTH)),
                ("ffn_norm", 1 + 0.1 * draw(WIDTH)),
                ("ffn_gate", draw(HIDDEN, WIDTH)),
                ("ffn_up", draw(HIDDEN, WIDTH)),
                ("ffn_down", draw(WIDTH, HIDDEN)),
            )
        }
    return found


@dataclass
class File:
    """What goes into a file; tests change it before it is written."""

    numbers: dict[str, np.ndarray] = field(default_factory=tensors)
    kinds: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(
        default_factory=lambda: {
            "llama.block_count": LAYERS,
            "llama.context_length": 256,
            "llama.embedding_length": WIDTH,
            "llama.feed_forward_length": HIDDEN,
            "llama.attention.head_count": HEADS,
            "llama.attention.head_count_kv": KV_HEADS,
            "llama.attention.layer_norm_rms_epsilon": 1e-6,
            "llama.rope.freq_base": 50000.0,
            "llama.rope.dimension_count": WIDTH // HEADS,
            "llama.vocab_size": len(WORDS),
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "smollm",
            "tokenizer.ggml.tokens": WORDS,
            "tokenizer.ggml.merges": MERGES,
            "tokenizer.ggml.token_type": [3, 3] + [1] * (len(WORDS) - 2),
            "tokenizer.ggml.eos_token_id": 0,
        }
    )
    architecture: str = "llama"

    def write(self, path: Path) -> Path:
        """Write it."""
        import gguf

        out = gguf.GGUFWriter(path, self.architecture)
        for key, value in self.fields.items():
            add: Callable[[str, Any], None] = {
                int: out.add_uint32,
                float: out.add_float32,
                str: out.add_string,
                bool: out.add_bool,
                list: out.add_array,
            }[type(value)]
            add(key, value)
        for name, values in self.numbers.items():
            own = values
            if name.endswith(("attn_q.weight", "attn_k.weight")):
                own = neighbours(values, HEADS if "attn_q" in name else KV_HEADS)
            kind = gguf.GGMLQuantizationType[self.kinds.get(name, "F32")]
            packed = gguf.quants.quantize(np.ascontiguousarray(own), kind)
            out.add_tensor(name, packed, raw_dtype=kind)
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()
        return path
