"""A decoder's weights, drawn by a seed: any layer at once and alone, always the same numbers.

Owns ``Weights`` and the constants that a shape leaves open. Imports the decoder's shape.

Nothing is kept: each layer is drawn again where it is asked for, so that a runtime never stands
beside a second copy of the model. Matrices are normal with a spread that lets every part of the
decoder matter in its logits: scores of attention spread over several units, so that a wrong cache,
position or mask shows; what each block adds shrinks with the depth, as trained models start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.decoder import Decoder

Array = NDArray[np.float32]
Parameters = dict[str, Array]

EPSILON = 1e-5
"""Of the normalizations: GPT-2's ``layer_norm_epsilon``."""
THETA = 10000.0
"""Base of rotary positions: RoFormer, arXiv 2104.09864."""
QUERY_SPREAD = 1.3
"""Standard deviation of queries and keys, so that scores have its square: no published model's."""
SMALL = 0.02
"""Standard deviation of biases and of gains about 1: GPT-2's ``initializer_range``."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a decoder.

    Attributes
    ----------
    decoder : Decoder
        Its shape.
    seed : int
        Draws them.
    """

    decoder: Decoder
    seed: int

    def layers(self) -> Iterator[Parameters]:
        """Return each layer's parameters, drawn as they are asked for."""
        return (self.layer(index) for index in range(self.decoder.layers))

    def layer(self, index: int) -> Parameters:
        """Return one layer's parameters: float32, matrices (outputs, inputs).

        Names are ``norm1``, ``qkv``, ``projection``, ``norm2``, ``up``, ``down``, and ``gate``
        where there is one, with ``.weight`` and ``.bias``. ``qkv`` is query, key and value one
        above another. The gate's rows, which the decoder's ``up`` holds between the others, stand
        apart here: a matrix is multiplied row by row, so the step is the same.
        """
        shape = self.decoder
        random = np.random.Generator(np.random.SFC64([self.seed, 2, index]))
        deep = 1 / sqrt(2 * shape.layers)
        found: Parameters = {}
        for name in ("norm1", "norm2"):
            found |= self._norm(random, name)
        for matrix in shape.matrices:
            spread = {"qkv": QUERY_SPREAD, "projection": deep, "down": deep}.get(matrix.name, 1.0)
            names = ("gate", "up") if shape.gated and matrix.name == "up" else (matrix.name,)
            for name in names:
                rows = matrix.outputs // len(names)
                found[f"{name}.weight"] = _normal(
                    random, spread / sqrt(matrix.inputs), rows, matrix.inputs
                )
                if matrix.bias:
                    found[f"{name}.bias"] = _normal(random, SMALL, rows)
        return found

    def outside(self) -> Parameters:
        """Return what lies outside of the layers.

        ``tokens`` (vocab, d_model); ``positions`` (context, d_model) where they are learned;
        ``norm.weight`` and ``norm.bias``; ``head`` (vocab, d_model), which is ``tokens`` itself
        where they are tied.
        """
        shape = self.decoder
        random = np.random.Generator(np.random.SFC64([self.seed, 3]))
        spread = 1 / sqrt(shape.d_model)
        found = {"tokens": _normal(random, spread, shape.vocab, shape.d_model)}
        if shape.positions == "learned":
            found["positions"] = _normal(random, spread, shape.context, shape.d_model)
        found |= self._norm(random, "norm")
        tied = shape.tied
        found["head"] = (
            found["tokens"] if tied else _normal(random, spread, shape.vocab, shape.d_model)
        )
        return found

    def prompt(self, tokens: int) -> NDArray[np.int64]:
        """Return the tokens that stand in front of the timed step, of every sequence: (tokens,)."""
        random = np.random.default_rng([self.seed, 4])
        return random.integers(0, self.decoder.vocab, tokens, np.int64)

    def _norm(self, random: np.random.Generator, name: str) -> Parameters:
        found = {f"{name}.weight": 1 + _normal(random, SMALL, self.decoder.d_model)}
        if self.decoder.norm == "layer":
            found[f"{name}.bias"] = _normal(random, SMALL, self.decoder.d_model)
        return found


def _normal(random: np.random.Generator, spread: float, *shape: int) -> Array:
    found = random.standard_normal(shape, np.float32)
    found *= np.float32(spread)
    return found


def rotary(decoder: Decoder, positions: int) -> tuple[Array, Array]:
    """Return cosines and sines of rotary positions: (positions, d_head / 2) each."""
    half = decoder.d_head // 2
    angles = np.outer(np.arange(positions), THETA ** (-np.arange(half) / half))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
