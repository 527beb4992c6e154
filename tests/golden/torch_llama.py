"""LLaMA's decoder in torch, float32: written from its description, with none of our code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional


def logits(
    numbers: Mapping[str, np.ndarray],
    tokens: Sequence[int],
    *,
    layers: int,
    heads: int,
    kv_heads: int,
    epsilon: float,
    base: float,
) -> np.ndarray:
    """Run tokens through a file's tensors, by their names and in the file's own order of rows."""
    own = {name: torch.from_numpy(values) for name, values in numbers.items()}
    x = own["token_embd.weight"][list(tokens)]
    n, width = len(tokens), x.shape[1] // heads
    speeds = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    turns = torch.polar(torch.ones(n, width // 2, dtype=torch.float64),
                        torch.arange(n, dtype=torch.float64)[:, None] * speeds)  # fmt: skip

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.rms_norm(x, (x.shape[-1],), own[f"{name}.weight"], epsilon)

    def turned(x: torch.Tensor) -> torch.Tensor:
        """Neighbouring numbers are a complex one's parts."""
        pairs = torch.view_as_complex(x.double().reshape(n, -1, width // 2, 2))
        return torch.view_as_real(pairs * turns[:, None]).reshape(x.shape).float()

    for layer in range(layers):
        name = f"blk.{layer}."
        h = norm(x, f"{name}attn_norm")
        q, k, v = ((h @ own[f"{name}attn_{one}.weight"].T).reshape(n, -1, width) for one in "qkv")
        q, k, v = (one.transpose(0, 1)[None] for one in (turned(q), turned(k), v))
        k, v = (one.repeat_interleave(heads // kv_heads, 1) for one in (k, v))
        a = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + a[0].transpose(0, 1).reshape(n, -1) @ own[f"{name}attn_output.weight"].T
        h = norm(x, f"{name}ffn_norm")
        gate = functional.silu(h @ own[f"{name}ffn_gate.weight"].T)
        hidden = gate * (h @ own[f"{name}ffn_up.weight"].T)
        x = x + hidden @ own[f"{name}ffn_down.weight"].T
    head = own.get("output.weight", own["token_embd.weight"])
    found: np.ndarray = (norm(x, "output_norm") @ head.T).numpy()
    return found
