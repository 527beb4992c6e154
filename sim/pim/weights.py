"""A decoder's numbers as a memory holds them.

Owns ``Weights``, ``random_weights`` and ``of_language``. Imports the decoder, the arithmetic and
imported language models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.layout import Floats
from gateformer.quant.decoder import Decoder
from gateformer.quant.frontends.gguf_file import Language


@dataclass(frozen=True, slots=True)
class Weights:
    """A decoder's numbers, all BF16.

    Attributes
    ----------
    blocks : tuple of mapping of str to array
        For each block its matrices by name, outputs x inputs, and ``parameters``: gain and bias of
        both norms, then the matrices' biases, in the order of ``Decoder.matrices``.
    head, embedding : array, shape (vocab, d_model)
        LM head and token embedding, the same where both are tied.
    positions : array, shape (context, d_model)
        Learned positions; empty without.
    final : array
        Gain and bias of the last norm.
    """

    blocks: tuple[Mapping[str, Floats], ...]
    head: Floats
    embedding: Floats
    positions: Floats
    final: Floats


def random_weights(decoder: Decoder, seed: int = 0) -> Weights:
    """Return numbers such that activations neither grow nor vanish."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Floats:
        return to_bf16(rng.normal(size=shape) / np.sqrt(shape[-1]))

    def parameters(norms: int, biases: int) -> Floats:
        one = np.ones(decoder.d_model)
        norm = (one, 0 * one) if decoder.norm == "layer" else (one,)
        return to_bf16(np.concatenate([*(norm * norms), 0.1 * rng.normal(size=biases)]))

    biases = sum(matrix.outputs for matrix in decoder.matrices if matrix.bias)
    blocks = tuple(
        {matrix.name: draw(matrix.outputs, matrix.inputs) for matrix in decoder.matrices}
        | {"parameters": parameters(2, biases)}
        for _ in range(decoder.layers)
    )
    head = draw(decoder.vocab, decoder.d_model)
    embedding = head if decoder.tied else draw(decoder.vocab, decoder.d_model)
    learned = decoder.context if decoder.positions == "learned" else 0
    return Weights(blocks, head, embedding, draw(learned, decoder.d_model), parameters(1, 0))


def of_language(model: Language) -> Weights:
    """Return a language model's numbers, each rounded to BF16."""
    blocks = tuple({name: to_bf16(one) for name, one in own.items()} for own in model.blocks)
    head = to_bf16(model.head)
    embedding = head if model.decoder.tied else to_bf16(model.embedding)
    none = np.zeros((0, model.decoder.d_model), np.float32)
    return Weights(blocks, head, embedding, none, to_bf16(model.final))
