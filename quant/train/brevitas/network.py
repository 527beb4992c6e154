"""Transformer encoders in torch, in floating point or with a recipe's quantizers.

Owns ``build``, ``block_class`` and ``encoder_class``. Imports torch on demand.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from gateformer.quant.train.brevitas.attention import attention_class
from gateformer.quant.train.brevitas.feedforward import activation_class, ffn_class
from gateformer.quant.train.brevitas.norms import norm
from gateformer.quant.train.brevitas.packages import torch
from gateformer.quant.train.brevitas.quantizers import Quantized, plain
from gateformer.quant.train.brevitas.recipe import Network, Norm, Recipe, Techniques


def build(recipe: Recipe, shape: tuple[int, int], classes: int, *, quantized: bool) -> Any:
    """Return the untrained network, [n, tokens, features] -> logits [n, classes].

    A dense embedding, blocks of attention and a feed-forward pair, each around a residual sum, then
    pooled tokens and a dense head. The weights have the same names and shapes either way.

    Parameters
    ----------
    recipe : Recipe
        Sizes, widths and techniques.
    shape : (int, int)
        Tokens and features of an input.
    classes : int
        Logits.
    quantized : bool
        Whether with quantizers.
    """
    bound = recipe.techniques.accumulator_bits if quantized else None
    make = Quantized(recipe.bits if quantized else None, bound)
    return encoder_class()(make, recipe, shape, classes)


@cache
def block_class() -> type[Any]:
    """Return the torch module class ``Block``: attention and a feed-forward pair."""
    module: Any = torch().nn.Module

    class Block(module):  # type: ignore[misc] # torch is untyped here
        """Two branches, each ``cast(norm(x + branch(x)))``, or ``cast(x + branch(norm(x)))``."""

        def __init__(
            self, make: Quantized, net: Network, normal: Norm, techniques: Techniques, tokens: int
        ) -> None:
            super().__init__()
            self.first = net.norm_first
            self.calibrating = False
            sizes = (tokens, net.width, net.heads, net.key_dim)
            keep = techniques.relu_topk
            self.attention = attention_class()(make, techniques, sizes)
            self.ffn = ffn_class()(make, (net.width, net.ffn), net.activation, keep)
            # Attributes of their own: they name the layers of the exported file.
            for name in ("attention", "ffn"):
                self.add_module(f"{name}_norm", norm(normal, net.width))
                self.add_module(f"{name}_sum_cast", make.cast("sum"))
                self.add_module(f"{name}_cast", make.cast("activation"))
                if self.first:
                    self.add_module(f"{name}_norm_cast", make.cast("activation"))

        def branch(self, x: Any, name: str) -> Any:
            """Return a branch around `x`, the sum, and the normalization where it belongs."""
            part = partial(getattr, self)
            inner = part(f"{name}_norm_cast")(part(f"{name}_norm")(plain(x))) if self.first else x
            # One quantizer for both, hence one scale: their integers are added as they are.
            level, parts = part(f"{name}_sum_cast"), (plain(x), plain(part(name)(inner)))
            if self.calibrating:
                # Brevitas takes the mean over calls, and the larger of the two must fit.
                both = plain(level(torch().stack(parts))).sum(0)
            else:
                both = plain(level(parts[0])) + plain(level(parts[1]))
            return part(f"{name}_cast")(both if self.first else part(f"{name}_norm")(both))

        def forward(self, x: Any) -> Any:
            """Return [n, tokens, width]."""
            return self.branch(self.branch(x, "attention"), "ffn")

    return Block


@cache
def encoder_class() -> type[Any]:
    """Return the torch module class ``Encoder``."""
    module: Any = torch().nn.Module

    class Encoder(module):  # type: ignore[misc] # torch is untyped here
        """Embedding, blocks, pooling and head."""

        def __init__(
            self, make: Quantized, recipe: Recipe, shape: tuple[int, int], classes: int
        ) -> None:
            super().__init__()
            net = recipe.network
            tokens, features = shape
            self.flatten = net.pool == "flatten"
            self.input_cast = make.cast("input")
            self.embedding = make.linear(features, net.width)
            self.embedding_cast = make.cast("activation")
            self.blocks = [f"block{i}" for i in range(net.blocks)]
            for name in self.blocks:
                self.add_module(
                    name, block_class()(make, net, recipe.norm, recipe.techniques, tokens)
                )
            self.width = net.width * tokens if self.flatten else net.width
            if not self.flatten:
                self.pool_cast = make.cast("activation")
            sizes = (self.width, *net.head)
            self.head = [f"head{i}" for i in range(len(net.head))]
            for name, inputs, outputs in zip(self.head, sizes, net.head, strict=False):
                self.add_module(name, make.linear(inputs, outputs))
                self.add_module(f"{name}_activation", activation_class()(make, net.activation))
            self.logits = make.linear(sizes[-1], classes)

        def forward(self, x: Any) -> Any:
            """Return the logits."""
            x = self.embedding_cast(self.embedding(self.input_cast(x)))
            for name in self.blocks:
                x = getattr(self, name)(x)
            x = x.reshape(-1, self.width) if self.flatten else self.pool_cast(plain(x).mean(1))
            for name in self.head:
                x = getattr(self, f"{name}_activation")(getattr(self, name)(x))
            return plain(self.logits(x))

    return Encoder
