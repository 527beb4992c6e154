"""A decoder's numbers as a memory holds them: BF16, or INT8 and INT4 with a scale a row.

Owns ``Weights``, ``Whole``, ``random_weights``, ``of_language`` and ``quantized``. Imports the
decoder, the arithmetic and imported language models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.layout import Floats
from gateformer.quant.decoder import Decoder
from gateformer.quant.frontends.gguf_file import Language

LARGEST = {"int8": 127, "int4": 7}
"""What a row's largest magnitude becomes."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A matrix of whole numbers.

    Attributes
    ----------
    numbers : array of int8, shape (outputs, inputs)
        From -128 to 127, or from -8 to 7.
    scales : array of float32, shape (outputs,)
        What 1 stands for in each row; BF16 numbers.
    """

    numbers: NDArray[np.int8]
    scales: Floats


Numbers = Floats | Whole
"""A matrix: BF16 numbers, or whole ones."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A decoder's numbers.

    Attributes
    ----------
    blocks : tuple of mapping of str to array or Whole
        For each block its matrices by name, outputs x inputs.
    parameters : tuple of array
        For each block gain and bias of both norms, then the matrices' biases in the order of
        ``Decoder.matrices``; BF16.
    head, embedding : array or Whole, shape (vocab, d_model)
        LM head and token embedding, the same where both are tied; else the embedding is BF16.
    positions : array, shape (context, d_model)
        Learned positions, BF16; empty without.
    final : array
        Gain and bias of the last norm, BF16.
    """

    blocks: tuple[Mapping[str, Numbers], ...]
    parameters: tuple[Floats, ...]
    head: Numbers
    embedding: Numbers
    positions: Floats
    final: Floats


def random_weights(decoder: Decoder, seed: int = 0) -> Weights:
    """Return BF16 numbers such that activations neither grow nor vanish."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Floats:
        return to_bf16(rng.normal(size=shape) / np.sqrt(shape[-1]))

    def parameters(norms: int, biases: int) -> Floats:
        one = np.ones(decoder.d_model)
        norm = (one, 0 * one) if decoder.norm == "layer" else (one,)
        return to_bf16(np.concatenate([*(norm * norms), 0.1 * rng.normal(size=biases)]))

    biases = sum(matrix.outputs for matrix in decoder.matrices if matrix.bias)
    blocks, own = [], []
    for _ in range(decoder.layers):
        blocks.append({one.name: draw(one.outputs, one.inputs) for one in decoder.matrices})
        own.append(parameters(2, biases))
    head = draw(decoder.vocab, decoder.d_model)
    embedding = head if decoder.tied else draw(decoder.vocab, decoder.d_model)
    learned = decoder.context if decoder.positions == "learned" else 0
    positions = draw(learned, decoder.d_model)
    return Weights(tuple(blocks), tuple(own), head, embedding, positions, parameters(1, 0))


def of_language(model: Language, weights: str = "bf16") -> Weights:
    """Return a language model's numbers, each rounded to BF16, or matrices to whole numbers."""
    blocks = tuple(
        {name: _matrix(one, weights) for name, one in own.items() if name != "parameters"}
        for own in model.blocks
    )
    parameters = tuple(to_bf16(own["parameters"]) for own in model.blocks)
    head = _matrix(model.head, weights)
    embedding = head if model.decoder.tied else to_bf16(model.embedding)
    none = np.zeros((0, model.decoder.d_model), np.float32)
    return Weights(blocks, parameters, head, embedding, none, to_bf16(model.final))


def quantized(own: Weights, weights: str) -> Weights:
    """Return the same with matrices of another format; BF16 ones as they are."""

    def of(matrix: Numbers) -> Numbers:
        return matrix if isinstance(matrix, Whole) else _matrix(matrix, weights)

    blocks = tuple({name: of(one) for name, one in block.items()} for block in own.blocks)
    head = of(own.head)
    embedding = head if own.embedding is own.head else own.embedding
    return replace(own, blocks=blocks, head=head, embedding=embedding)


def _matrix(matrix: Floats, weights: str) -> Numbers:
    """Round a matrix: to BF16, or each row by its largest magnitude; scales are BF16 numbers.

    Narrower ranges that clip a row's largest numbers cost this kind of model more than they save.
    """
    if weights == "bf16":
        return to_bf16(matrix)
    most = LARGEST[weights]
    scales = to_bf16(np.abs(matrix).max(1) * np.float32(1 / most))
    scales = np.where(scales > 0, scales, np.float32(1))
    numbers = np.rint(matrix * (1 / scales.astype(np.float64)).astype(np.float32)[:, None])
    return Whole(np.clip(numbers, -most - 1, most).astype(np.int8), scales)
