"""A decoder as a torch module, on any device and in any float type, with its cache in place.

Owns ``module``. Imports the decoder's weights and reference, and torch where it is used.

The cache is preallocated and written in place, as frameworks' static caches are, and a step reads
exactly the tokens that stand in it: it can be run again and again, compiled and captured.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.decoders.reference import Start, start
from gateformer.baselines.decoders.weights import EPSILON, Parameters, Weights, rotary
from gateformer.baselines.work import DecoderWork
from gateformer.quant.decoder import Decoder


def module(work: DecoderWork, device: str, dtype: str, begin: Start | None = None) -> Any:
    """Return the decoder, its cache filled up to the timed step, as a ``torch.nn.Module``.

    ``module(tokens)`` takes int64 (batch,) on the device and returns the logits (batch, vocab) of
    the token behind the context; it writes that token's keys and values into the cache. Each call
    does the same step again.

    Parameters
    ----------
    work : DecoderWork
        Shape, context, seed and batch.
    device, dtype : str
        Such as ``cuda`` and ``bfloat16``: names of torch's.
    begin : Start, optional
        Where the step begins, if it is known already.

    Raises
    ------
    DataError
        E604 where the context is too long for the decoder.
    """
    import torch

    begin = start(work) if begin is None else begin
    block, decoder = _classes()
    weights = Weights(work.decoder, work.seed)
    kind = getattr(torch, dtype)
    blocks = []
    for index, layer in enumerate(weights.layers()):
        held: Parameters = {name.replace(".", "_"): one for name, one in layer.items()}
        held["keys"] = _with_place(begin.keys[index], work.batch)
        held["values"] = _with_place(begin.values[index], work.batch)
        blocks.append(block(work.decoder, work.context, held).to(device, kind))
    outside = {name.replace(".", "_"): one for name, one in weights.outside().items()}
    outside["head_weight"] = outside.pop("head")
    if work.decoder.positions == "rotary":
        cosine, sine = rotary(work.decoder, work.context + 1)
        outside |= {"cosine": cosine[-1], "sine": sine[-1]}
    return decoder(work.decoder, work.context, outside, blocks).to(device, kind).eval()


def _with_place(past: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """Return each sequence's own copy with place for one token: (batch, heads, tokens, width)."""
    heads, tokens, width = past.shape
    found = np.zeros((batch, heads, tokens + 1, width), np.float32)
    found[:, :, :tokens] = past
    return found


@cache
def _classes() -> tuple[Any, Any]:
    """Return the module classes of a block and of the decoder, made where torch is first used."""
    import torch
    from torch.nn import functional

    class Held(torch.nn.Module):  # type: ignore[misc] # torch is Any to the type checker
        """A module whose weights are buffers: they move with it and have no gradients.

        ``product`` multiplies matrices that have a scale a row beside them, as integers do.
        """

        product: Any = None

        def __init__(self, shape: Decoder, context: int, held: Parameters) -> None:
            super().__init__()
            self.shape, self.context = shape, context
            for name, one in held.items():
                self.register_buffer(name, torch.from_numpy(one))

        def normal(self, x: Any, name: str) -> Any:
            width, weight = (self.shape.d_model,), getattr(self, f"{name}_weight")
            if self.shape.norm == "rms":
                return functional.rms_norm(x, width, weight, EPSILON)
            return functional.layer_norm(x, width, weight, getattr(self, f"{name}_bias"), EPSILON)

        def linear(self, x: Any, name: str) -> Any:
            weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias", None)
            if self.product is None:
                return functional.linear(x, weight, bias)
            return self.product(x, weight, getattr(self, f"{name}_scale"), bias)

    class Block(Held):
        """One layer with its cache."""

        def forward(self, x: Any, turns: Any) -> Any:
            x = x + self.attended(self.normal(x, "norm1"), turns)
            return x + self.fed(self.normal(x, "norm2"))

        def attended(self, x: Any, turns: Any) -> Any:
            shape, batch, place = self.shape, len(x), slice(self.context, self.context + 1)
            cut = [shape.queries, shape.kv_width, shape.kv_width]
            query, key, value = (
                one.view(batch, -1, 1, shape.d_head)
                for one in self.linear(x, "qkv").split(cut, dim=-1)
            )
            if turns is not None:
                query, key = _turned(query, *turns), _turned(key, *turns)
            self.keys[:, :, place] = key
            self.values[:, :, place] = value
            found = functional.scaled_dot_product_attention(
                query, self.keys, self.values, enable_gqa=shape.kv_heads != shape.heads
            )
            return self.linear(found.reshape(batch, shape.queries), "projection")

        def fed(self, x: Any) -> Any:
            if self.shape.gated:
                x = self.activated(self.linear(x, "gate")) * self.linear(x, "up")
            else:
                x = self.activated(self.linear(x, "up"))
            return self.linear(x, "down")

        def activated(self, x: Any) -> Any:
            if self.shape.activation == "gelu":
                return functional.gelu(x, approximate="tanh")
            return functional.silu(x) if self.shape.activation == "silu" else functional.relu(x)

    class Whole(Held):
        """The decoder."""

        def __init__(
            self, shape: Decoder, context: int, held: Parameters, blocks: list[Any]
        ) -> None:
            super().__init__(shape, context, held)
            self.blocks = torch.nn.ModuleList(blocks)

        def forward(self, tokens: Any) -> Any:
            x = functional.embedding(tokens, self.tokens)
            if self.shape.positions == "learned":
                x = x + self.positions[self.context]
            turns = (self.cosine, self.sine) if self.shape.positions == "rotary" else None
            for block in self.blocks:
                x = block(x, turns)
            return self.linear(self.normal(x, "norm"), "head")

    def _turned(x: Any, cosine: Any, sine: Any) -> Any:
        one, other = x.chunk(2, dim=-1)
        return torch.cat([one * cosine - other * sine, other * cosine + one * sine], dim=-1)

    return Block, Whole
