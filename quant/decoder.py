"""A decoder-only transformer by its shape: its matrices, and its operations as a graph.

Owns ``Decoder``, ``Matrix`` and the operations. Imports nothing of the package.

Only shapes matter here: what a memory has to hold and to move for a token. One token passes through
``operations``; what it needs of earlier tokens stands in the KV cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NormKind = Literal["layer", "rms"]
Activation = Literal["gelu", "relu", "silu"]
Positions = Literal["learned", "rotary", "none"]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A constant matrix: outputs = matrix x inputs (+ bias).

    Attributes
    ----------
    name : str
        ``qkv``, ``projection``, ``up``, ``down`` or ``head``.
    outputs, inputs : int
        Its shape.
    bias : bool
        Whether a bias is added.
    """

    name: str
    outputs: int
    inputs: int
    bias: bool = False

    @property
    def weights(self) -> int:
        """Elements, the bias apart."""
        return self.outputs * self.inputs


@dataclass(frozen=True, slots=True)
class Operation:
    """A node of the decoder's graph.

    Attributes
    ----------
    name : str
        What it is called in reports; unique within a block.
    inputs : tuple of str
        Operations whose results it takes; ``input`` is what enters the block.
    """

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Embed(Operation):
    """The token's vector, and its position's where positions are learned."""

    width: int
    positions: bool


@dataclass(frozen=True, slots=True)
class Norm(Operation):
    """LayerNorm or RMSNorm of a vector."""

    kind: NormKind
    width: int


@dataclass(frozen=True, slots=True)
class Linear(Operation):
    """A constant matrix times a vector."""

    matrix: Matrix


@dataclass(frozen=True, slots=True)
class Rotate(Operation):
    """Rotary position embedding of queries and keys, ``width`` numbers."""

    width: int


@dataclass(frozen=True, slots=True)
class AppendKeys(Operation):
    """The token's keys go to the cache: ``heads`` vectors of ``width``."""

    heads: int
    width: int


@dataclass(frozen=True, slots=True)
class AppendValues(Operation):
    """The token's values go to the cache: ``heads`` vectors of ``width``."""

    heads: int
    width: int


@dataclass(frozen=True, slots=True)
class Scores(Operation):
    """Each head's query times all its keys."""

    heads: int
    kv_heads: int
    width: int


@dataclass(frozen=True, slots=True)
class Softmax(Operation):
    """Softmax of each head's scores."""

    heads: int


@dataclass(frozen=True, slots=True)
class Values(Operation):
    """Each head's values, weighted and summed."""

    heads: int
    kv_heads: int
    width: int


@dataclass(frozen=True, slots=True)
class Activate(Operation):
    """The nonlinearity of ``width`` numbers; gated: times as many others."""

    kind: Activation
    width: int
    gated: bool


@dataclass(frozen=True, slots=True)
class Residual(Operation):
    """The sum of two vectors."""

    width: int


@dataclass(frozen=True, slots=True)
class Choose(Operation):
    """The likeliest of ``width`` tokens."""

    width: int


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder's shape.

    Attributes
    ----------
    name : str
        What reports call it.
    layers, d_model, heads, kv_heads, d_head, d_ff, vocab : int
        Blocks; width of a token; query heads; key and value heads (fewer where queries share
        them); width of a head; width of the feed-forward network; tokens known.
    context : int
        Most tokens of a sequence.
    norm : {"layer", "rms"}
        Normalization before attention, before the feed-forward network, and at the end.
    activation : {"gelu", "relu", "silu"}
        Nonlinearity of the feed-forward network.
    gated : bool
        Whether it multiplies the activated half by another one.
    positions : {"learned", "rotary", "none"}
        How a token knows its place.
    bias_qkv, bias_projection, bias_ffn : bool
        Which matrices have a bias.
    tied : bool
        Whether the LM head is the token embedding.
    source : str
        Where the shape is from.
    epsilon : float
        Added to a normalization's variance or mean square.
    base : float
        Base of rotary positions: pair i of a head turns by base^(-2 i / d_head) a token.
    """

    name: str
    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_head: int
    d_ff: int
    vocab: int
    context: int
    norm: NormKind = "layer"
    activation: Activation = "gelu"
    gated: bool = False
    positions: Positions = "learned"
    bias_qkv: bool = True
    bias_projection: bool = True
    bias_ffn: bool = True
    tied: bool = True
    source: str = ""
    epsilon: float = 1e-5
    base: float = 10000.0

    @property
    def queries(self) -> int:
        """Numbers of all query heads."""
        return self.heads * self.d_head

    @property
    def kv_width(self) -> int:
        """Numbers of all key heads, or of all value heads, of one token."""
        return self.kv_heads * self.d_head

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The matrices of one block.

        ``qkv`` is query, key and value one above another. A gated ``up`` holds the gate's rows and
        the other ones alternately, so that any even part of it can be activated on its own.
        """
        up = self.d_ff * (2 if self.gated else 1)
        return (
            Matrix("qkv", self.queries + 2 * self.kv_width, self.d_model, self.bias_qkv),
            Matrix("projection", self.d_model, self.queries, self.bias_projection),
            Matrix("up", up, self.d_model, self.bias_ffn),
            Matrix("down", self.d_model, self.d_ff, self.bias_ffn),
        )

    @property
    def head(self) -> Matrix:
        """The LM head."""
        return Matrix("head", self.vocab, self.d_model)

    @property
    def block_weights(self) -> int:
        """Weights of the matrices of all blocks."""
        return self.layers * sum(matrix.weights for matrix in self.matrices)

    @property
    def norm_parameters(self) -> int:
        """Gains and, for LayerNorm, biases of one normalization."""
        return self.d_model * (2 if self.norm == "layer" else 1)

    @property
    def block_parameters(self) -> int:
        """Biases of one block's matrices and parameters of its two normalizations."""
        biases = sum(matrix.outputs for matrix in self.matrices if matrix.bias)
        return 2 * self.norm_parameters + biases

    @property
    def parameters(self) -> int:
        """All numbers that are learned."""
        tables = self.vocab * self.d_model * (1 if self.tied else 2)
        if self.positions == "learned":
            tables += self.context * self.d_model
        block = self.layers * self.block_parameters
        return self.block_weights + block + tables + self.norm_parameters

    @property
    def kv_elements(self) -> int:
        """Numbers that one token leaves in the cache, all blocks together."""
        return 2 * self.layers * self.kv_width

    def angles(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return by how much rotary positions turn the pairs of a head: positions x d_head / 2."""
        half = self.d_head // 2
        speeds = self.base ** (-np.arange(half) / max(1, half))
        return positions[:, None].astype(np.float64) * speeds

    def macs(self, position: int, *, logits: bool = True) -> int:
        """Return the multiply-accumulates of one token in all matrices and in attention.

        Parameters
        ----------
        position : int
            Tokens in front of it.
        logits : bool
            Whether the LM head is part of it.
        """
        attention = 2 * self.layers * self.queries * (position + 1)
        return self.block_weights + attention + (self.head.weights if logits else 0)

    def block(self) -> tuple[Operation, ...]:
        """Return the operations of one block, in an order in which they can be done."""
        qkv, projection, up, down = self.matrices
        d, width = self.d_model, self.d_head
        found: list[Operation] = [
            Norm("norm1", ("input",), self.norm, d),
            Linear("qkv", ("norm1",), qkv),
        ]
        rotated = "qkv"
        if self.positions == "rotary":
            found.append(Rotate("rotary", ("qkv",), self.queries + self.kv_width))
            rotated = "rotary"
        found += [
            AppendKeys("attention/append_keys", (rotated,), self.kv_heads, width),
            Scores(
                "attention/score",
                (rotated, "attention/append_keys"),
                self.heads,
                self.kv_heads,
                width,
            ),
            Softmax("attention/softmax", ("attention/score",), self.heads),
            AppendValues("attention/append_values", ("qkv",), self.kv_heads, width),
            Values(
                "attention/values",
                ("attention/softmax", "attention/append_values"),
                self.heads,
                self.kv_heads,
                width,
            ),
            Linear("projection", ("attention/values",), projection),
            Residual("residual1", ("input", "projection"), d),
            Norm("norm2", ("residual1",), self.norm, d),
            Linear("ffn/up", ("norm2",), up),
            Activate(f"ffn/{self.activation}", ("ffn/up",), self.activation, self.d_ff, self.gated),
            Linear("ffn/down", (f"ffn/{self.activation}",), down),
            Residual("residual2", ("residual1", "ffn/down"), d),
        ]
        return tuple(found)

    def first(self) -> tuple[Embed, ...]:
        """Return the operations in front of the blocks."""
        return (Embed("embedding", (), self.d_model, self.positions == "learned"),)

    def last(self) -> tuple[Operation, ...]:
        """Return the operations behind the blocks."""
        return (
            Norm("norm", ("input",), self.norm, self.d_model),
            Linear("head", ("norm",), self.head),
            Choose("token", ("head",), self.vocab),
        )

    def operations(self) -> tuple[Operation, ...]:
        """Return the whole graph: names of a block's operations begin with ``block<n>/``."""
        found: list[Operation] = list(self.first())
        result = "embedding"
        for layer in range(self.layers):
            for one in self.block():
                found.append(_renamed(one, f"block{layer}/", result))
            result = found[-1].name
        found += [_renamed(one, "", result) for one in self.last()]
        return tuple(found)


def _renamed(one: Operation, prefix: str, entering: str) -> Operation:
    inputs = tuple(entering if name == "input" else prefix + name for name in one.inputs)
    rest = [getattr(one, name) for name in type(one).__slots__]
    return type(one)(prefix + one.name, inputs, *rest)
