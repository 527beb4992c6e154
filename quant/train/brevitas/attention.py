"""Multi-head attention in torch with a recipe's quantizers and techniques.

Owns ``attention_class`` and ``log_quant_class``. Imports torch on demand.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from gateformer.quant.train.brevitas.packages import torch
from gateformer.quant.train.brevitas.quantizers import Quantized, plain
from gateformer.quant.train.brevitas.recipe import Techniques


@cache
def log_quant_class() -> type[Any]:
    """Return the torch function ``LogQuant(p, bits)``.

    ``2^(-k / 2)`` with ``k = round(-2 log2 p)``, and 0 where ``k >= 2^bits``: RepQ-ViT's log-sqrt2
    quantizer (arXiv 2212.08254, section 3.3, and its code) with scale one, as
    ``quant.expand.shares.log_sqrt2``. Its gradient is passed straight through. In ONNX it is the
    node ``gateformer::LogQuant`` with attributes ``bits`` and ``base = "sqrt2"``.
    """
    function: Any = torch().autograd.Function

    class LogQuant(function):  # type: ignore[misc] # torch is untyped here
        """Quantizer of shares on powers of sqrt(2)."""

        @staticmethod
        def forward(context: Any, p: Any, bits: int) -> Any:
            """Return the nearest power in the logarithm, or zero."""
            # Below every share that counts: log2 of zero has no number.
            least = 2.0 ** -(2 ** (bits - 1) + 1)
            k = torch().round(-2.0 * torch().log2(p.clamp(min=least))).clamp(min=0)
            return torch().where(k < 2**bits, torch().exp2(-0.5 * k), torch().zeros_like(k))

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            """Pass the gradient."""
            return gradient, None

        @staticmethod
        def symbolic(graph: Any, p: Any, bits: int) -> Any:
            """Return the ONNX node."""
            node = graph.op("gateformer::LogQuant", p, bits_i=bits, base_s="sqrt2")
            return node.setType(p.type())

    return LogQuant


@cache
def attention_class() -> type[Any]:
    """Return the torch module class ``Attention``."""
    module: Any = torch().nn.Module

    class Attention(module):  # type: ignore[misc] # torch is untyped here
        """Scaled dot-product self-attention of one sequence."""

        def __init__(
            self,
            make: Quantized,
            techniques: Techniques,
            sizes: tuple[int, int, int, int],
        ) -> None:
            """Take tokens, features, heads and features of a head as `sizes`."""
            super().__init__()
            self.tokens, width, self.heads, self.key_dim = sizes
            self.techniques = techniques
            # A quantizer of its own kind: without the others there is none.
            self.log_bits = None if make.bits is None else techniques.log_sqrt2
            inner = self.heads * self.key_dim
            self.query = make.linear(width, inner)
            self.key = make.linear(width, inner)
            self.value = make.linear(width, inner)
            self.output = make.linear(inner, width)
            self.query_cast = make.cast("attention")
            self.key_cast = make.cast("attention")
            self.value_cast = make.cast("attention")
            self.score_cast = make.cast("score")
            if self.log_bits is None:
                self.share_cast = make.cast("share", signed=False)
            self.context_cast = make.cast("activation")
            if techniques.gated_attention:
                self.gate = make.linear(width, self.heads)
                self.gate_cast = make.cast("attention", signed=False)
                # sigmoid(2) = 0.88: gates start nearly open.
                torch().nn.init.constant_(self.gate.bias, 2.0)

        def split(self, x: Any) -> Any:
            """Return [n, tokens, heads features] as [n, heads, tokens, features]."""
            # Sizes in place of x.shape: they become constants of the exported file.
            return plain(x).reshape(-1, self.tokens, self.heads, self.key_dim).transpose(1, 2)

        def shares(self, scores: Any) -> Any:
            """Return what a token takes from each other one."""
            shares = torch().softmax(scores, -1)
            if self.techniques.clipped_softmax is not None:
                # Bondarenko et al., arXiv 2306.12929, section 4.1.
                gamma, zeta = self.techniques.clipped_softmax
                shares = ((zeta - gamma) * shares + gamma).clamp(0.0, 1.0)
            if self.log_bits is None:
                return plain(self.share_cast(shares))
            return log_quant_class().apply(shares, self.log_bits)

        def forward(self, x: Any) -> Any:
            """Attend from each token to all."""
            query = self.query_cast(self.split(self.query(x)) * self.key_dim**-0.5)
            key = self.key_cast(self.split(self.key(x)))
            value = self.value_cast(self.split(self.value(x)))
            scores = self.score_cast(plain(query) @ plain(key).transpose(2, 3))
            context = self.shares(plain(scores)) @ plain(value)
            if self.techniques.gated_attention:
                # Section 4.2 there; the gates of all heads are made of all features of the token.
                gate = self.gate_cast(torch().sigmoid(plain(self.gate(x))))
                context = context * plain(gate).transpose(1, 2).unsqueeze(-1)
            inner = self.heads * self.key_dim
            merged = context.transpose(1, 2).reshape(-1, self.tokens, inner)
            return self.output(self.context_cast(merged))

    return Attention
