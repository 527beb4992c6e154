"""The feed-forward pair and its activations in torch, with a recipe's quantizers.

Owns ``activation_class`` and ``ffn_class``. Imports torch on demand.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from gateformer.quant.train.brevitas.packages import torch
from gateformer.quant.train.brevitas.quantizers import Quantized, plain

SEEN = 1 << 20
"""Activations, at most, that a share is read from; torch takes 16 million."""


@cache
def activation_class() -> type[Any]:
    """Return the torch module class ``Activation``."""
    module: Any = torch().nn.Module

    class Activation(module):  # type: ignore[misc] # torch is untyped here
        """ReLU or GELU, and the quantizers around it."""

        def __init__(self, make: Quantized, kind: str) -> None:
            super().__init__()
            self.kind = kind
            self.function = torch().nn.GELU() if kind == "gelu" else torch().nn.ReLU()
            if kind == "gelu":
                # Rounded before as well: the function is then a table of few entries.
                self.before = make.cast("activation")
            self.cast = make.cast("hidden", signed=kind == "gelu")

        def forward(self, x: Any) -> Any:
            """Return the activation, rounded."""
            if self.kind == "gelu":
                x = self.before(x)
            return self.cast(self.function(plain(x)))

    return Activation


@cache
def ffn_class() -> type[Any]:
    """Return the torch module class ``FeedForward``."""
    module: Any = torch().nn.Module

    class FeedForward(module):  # type: ignore[misc] # torch is untyped here
        """Two dense layers around an activation.

        With `keep`, so large a number is taken from what goes into the ReLU that this share of all
        stays above zero: the shifted ReLU of Mirzadeh et al., arXiv 2310.04564, its shift followed
        in training in place of chosen. `fold` moves it into the bias, where it costs nothing.
        """

        def __init__(
            self, make: Quantized, sizes: tuple[int, int], kind: str, keep: float | None = None
        ) -> None:
            super().__init__()
            width, ffn = sizes
            self.keep = keep
            self.up = make.linear(width, ffn)
            self.activation = activation_class()(make, kind)
            self.down = make.linear(ffn, width)
            self.register_buffer("shift", torch().zeros(()))

        def forward(self, x: Any) -> Any:
            """Return [n, tokens, width]."""
            hidden = self.up(x)
            if self.keep is not None and self.training:
                with torch().no_grad():
                    seen = plain(hidden).flatten()
                    seen = seen[:: -(-seen.numel() // SEEN)]
                    over = torch().quantile(seen, 1.0 - self.keep)
                    # The mean of some ten steps: one step's share is noise.
                    self.shift += 0.1 * (over.clamp(min=0.0) - self.shift)
            if self.keep is not None:
                hidden = plain(hidden) - self.shift
            return self.down(self.activation(hidden))

        def fold(self) -> None:
            """Take the shift from the bias once and for all."""
            with torch().no_grad():
                self.up.bias -= self.shift
            self.keep = None

    return FeedForward
