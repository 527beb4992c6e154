"""A small language model of bytes, trained here: what a feed-forward network learns to do without.

Owns ``Recipe``, ``Vocabulary`` of bytes and ``fit``. Imports the decoder, imported models and
torch, on demand. One thread and a seed give the same numbers twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateformer.quant.decoder import Decoder
from gateformer.quant.frontends.gguf_file import Floats, Language
from gateformer.quant.frontends.gguf_vocabulary import Vocabulary
from gateformer.quant.train.brevitas.packages import seeded, torch

BYTES = Vocabulary(
    kind="bytes",
    split="",
    tokens=tuple(map(chr, range(256))),
    merges=(),
    control=frozenset(),
    end=None,
    begin=None,
)
"""Every byte is a token."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training.

    Attributes
    ----------
    decoder : Decoder
        RMSNorm, rotary positions, ReLU without a gate, no biases, a tied head, 256 tokens.
    steps, batch, window : int
        Steps of AdamW, stretches of text a step, bytes a stretch.
    rate : float
        Largest learning rate; it rises over a twentieth of the steps, then falls as a cosine.
    seed : int
        Of the first numbers and of the stretches.
    lanes, tile : int
        Hidden numbers that are kept or left out together, and those among which they are chosen.
    keep : int or None
        Groups that are kept of a tile, those with the largest sums of magnitudes; None for all.
        In the first third of the steps fewer and fewer are kept, then so many.
    """

    decoder: Decoder
    steps: int = 800
    batch: int = 8
    window: int = 256
    rate: float = 2e-3
    seed: int = 1
    lanes: int = 16
    tile: int = 1024
    keep: int | None = None

    def __post_init__(self) -> None:
        shape = self.decoder
        if shape.d_ff % self.lanes or (shape.d_ff > self.tile and shape.d_ff % self.tile):
            raise ValueError("hidden numbers are whole groups, and tiles alike")
        known = (shape.norm, shape.positions, shape.activation, shape.gated, shape.tied)
        if known != ("rms", "rotary", "relu", False, True) or shape.vocab != len(BYTES.tokens):
            raise ValueError("no decoder of bytes: RMSNorm, rotary, ReLU without a gate, tied head")

    def kept(self, step: int) -> int:
        """Return how many groups of a tile are kept in a step."""
        groups = min(self.tile, self.decoder.d_ff) // self.lanes
        if self.keep is None:
            return groups
        share = min(1.0, 3 * step / self.steps)
        return round(groups + share * (self.keep - groups))


def fit(
    recipe: Recipe, text: Sequence[int], say: Callable[[int, float], None] = lambda step, loss: None
) -> Language:
    """Train a model on a text.

    Parameters
    ----------
    recipe : Recipe
        How.
    text : sequence of int
        Bytes; more than a window.
    say : callable
        Told each step and its loss in nats a byte.

    Returns
    -------
    Language
        Its numbers, float32.

    Raises
    ------
    ToolError
        E505 without torch.
    """
    seeded(recipe.seed)
    t = torch()
    shape = recipe.decoder
    data = t.tensor(list(text), dtype=t.long)
    parameters = _first(shape)
    flat = [one for part in parameters.values() for one in part]
    optimizer = t.optim.AdamW(flat, lr=recipe.rate, betas=(0.9, 0.95), weight_decay=0.1)
    turns = _turns(shape, recipe.window)
    warm = max(1, recipe.steps // 20)
    for step in range(recipe.steps):
        falling = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * min((step + 1) / warm, max(0.02, falling))
        starts = t.randint(len(data) - recipe.window, (recipe.batch,))
        some = t.stack([data[start : start + recipe.window + 1] for start in starts])
        found = _logits(recipe, parameters, turns, some[:, :-1], recipe.kept(step))
        loss = t.nn.functional.cross_entropy(found.flatten(0, 1), some[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        t.nn.utils.clip_grad_norm_(flat, 1.0)
        optimizer.step()
        say(step, loss.item())
    return _language(shape, parameters)


def _first(shape: Decoder) -> dict[str, list[Any]]:
    """Return a model's first numbers by name, a tensor a block; both norms' gains are one."""
    t = torch()

    def draw(outputs: int, inputs: int, scale: float = 1.0) -> Any:
        size = scale / math.sqrt(inputs)
        return t.nn.Parameter(size * t.randn(outputs, inputs))

    # What is added to the residual is made smaller, so that its sum does not grow with the blocks.
    smaller = {
        "projection": 1 / math.sqrt(2 * shape.layers),
        "down": 1 / math.sqrt(2 * shape.layers),
    }
    found = {
        one.name: [
            draw(one.outputs, one.inputs, smaller.get(one.name, 1.0)) for _ in range(shape.layers)
        ]
        for one in shape.matrices
    }
    ones = t.ones(2 * shape.d_model)
    found["parameters"] = [t.nn.Parameter(ones.clone()) for _ in range(shape.layers)]
    found["embedding"] = [draw(shape.vocab, shape.d_model)]
    found["final"] = [t.nn.Parameter(t.ones(shape.d_model))]
    return found


def _logits(
    recipe: Recipe, own: dict[str, list[Any]], turns: tuple[Any, Any], tokens: Any, kept: int
) -> Any:
    """Return logits of stretches of text: (stretches, tokens, vocab)."""
    shape, f = recipe.decoder, torch().nn.functional
    x = own["embedding"][0][tokens]
    for block in range(shape.layers):
        gains = own["parameters"][block].view(2, -1)
        h = f.rms_norm(x, gains[0].shape, gains[0], shape.epsilon) @ own["qkv"][block].T
        q, k, v = (
            one.unflatten(-1, (-1, shape.d_head)).transpose(1, 2)
            for one in h.split((shape.queries, shape.kv_width, shape.kv_width), -1)
        )
        context = f.scaled_dot_product_attention(
            _turned(q, turns), _turned(k, turns), v, is_causal=True, enable_gqa=True
        )
        x = x + context.transpose(1, 2).flatten(2) @ own["projection"][block].T
        h = f.rms_norm(x, gains[1].shape, gains[1], shape.epsilon) @ own["up"][block].T
        x = x + _largest(recipe, f.relu(h), kept) @ own["down"][block].T
    final = own["final"][0]
    return f.rms_norm(x, final.shape, final, shape.epsilon) @ own["embedding"][0].T


def _largest(recipe: Recipe, hidden: Any, kept: int) -> Any:
    """Return hidden numbers with zeros outside the largest groups of each tile."""
    parts = hidden.split(recipe.tile, -1)
    found = []
    for part in parts:
        groups = part.unflatten(-1, (-1, recipe.lanes))
        sums = groups.detach().abs().sum(-1)
        if kept < sums.shape[-1]:
            chosen = sums.topk(kept, -1).indices
            mask = torch().zeros_like(sums).scatter_(-1, chosen, 1.0)
            groups = groups * mask[..., None]
        found.append(groups.flatten(-2))
    return torch().cat(found, -1)


def _turns(shape: Decoder, window: int) -> tuple[Any, Any]:
    angles = shape.angles(np.arange(window))
    return tuple(torch().tensor(f(angles), dtype=torch().float32) for f in (np.cos, np.sin))


def _turned(x: Any, turns: tuple[Any, Any]) -> Any:
    """Rotary positions: a head's first half with its second."""
    (cosine, sine), (first, second) = turns, x.chunk(2, -1)
    return torch().cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def _language(shape: Decoder, own: dict[str, list[Any]]) -> Language:
    def numbers(one: Any) -> Floats:
        found: Floats = one.detach().numpy().copy()
        return found

    names = [one.name for one in shape.matrices] + ["parameters"]
    blocks = tuple(
        {name: numbers(own[name][block]) for name in names} for block in range(shape.layers)
    )
    embedding = numbers(own["embedding"][0])
    return Language(
        shape, blocks, embedding, embedding, numbers(own["final"][0]), BYTES, {"F32": 0}
    )
