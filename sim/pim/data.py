"""A compiled decoder with numbers in it: every token's logits, bit by bit, from its own program.

Owns ``Weights``, ``random_weights`` and ``Executor``. Imports the banks, the compiler, the ASIC's
functions and the arithmetic. It knows no clock; the same program goes through the engine for that.

The ASIC keeps vectors in BF16 and computes in FP32. Weights are BF16, one sequence, ``v_batch`` 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import Share, merge, to_bf16
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.functions import Alu
from gateformer.hw.pim.layout import Address, Floats, Part, Placed, Striped
from gateformer.hw.pim.lowering import hidden_parts
from gateformer.hw.pim.program import Segment, Step
from gateformer.quant.decoder import Decoder
from gateformer.sim.pim.banks import Banks

EPSILON = np.float32(1e-5)
"""Added to a norm's variance."""
BASE = 10000.0
"""Base of rotary positions."""


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
        own = 1 + 0.1 * rng.normal(size=biases) - 1
        return to_bf16(np.concatenate([*(norm * norms), own]))

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


class Executor:
    """Runs the programs of a compiler on numbers.

    Parameters
    ----------
    compiler : Compiler
        With BF16 weights, one sequence, ``v_batch`` 1.
    weights : Weights
        The numbers.
    """

    def __init__(self, compiler: Compiler, weights: Weights) -> None:
        layout = compiler.layout
        if layout.weights != "bf16" or layout.batch != 1 or compiler.v_batch != 1:
            raise ValueError("data is held for BF16 weights, one sequence and v_batch 1 only")
        self.compiler = compiler
        self.layout = layout
        self.decoder = compiler.decoder
        self.banks = Banks(layout.grid, layout.rows)
        self.vectors: dict[str, Floats] = {}
        self.position = 0
        for block, own in enumerate(weights.blocks):
            for name, placed in layout.matrices.items():
                self._put(placed, own[name], block)
            self._put(layout.parameters, own["parameters"][None], block)
        self._put(layout.head, weights.head)
        self._put(layout.final, weights.final[None])
        if layout.embedding is not None:
            self._put(layout.embedding, weights.embedding)
        if layout.positions is not None:
            self._put(layout.positions, weights.positions)

    def token(self, position: int, word: int) -> Floats:
        """Run one token behind those that ran before.

        Returns
        -------
        array of float32, shape (vocab,)
            The logits.
        """
        self.position = position
        steps = self.compiler.token(position, word=word).steps
        parts = {
            name: sum(step.block == 0 and step.work.name == name for step in steps)
            for name in ("attention/score", "ffn/up")
        }
        self.parts = self.layout.caches[0].parts(position, parts["attention/score"])
        wide = 2 if self.decoder.gated else 1
        grid, width = self.layout.grid, self.decoder.d_ff
        self.hidden = hidden_parts(grid, width, wide, self.compiler.parts)
        place = 0
        while place < len(steps):
            # the steps of one operation are taken together, parts and sums included
            block, name = steps[place].block, _operation(steps[place])
            last = place
            while last < len(steps) and (steps[last].block, _operation(steps[last])) == (
                block,
                name,
            ):
                last += 1
            self._operate(name, block, steps[place:last], word)
            place = last
        return self.vectors["head"]

    def _operate(self, name: str, block: int, steps: tuple[Step, ...], word: int) -> None:
        segments = [step for step in steps if isinstance(step.work, Segment)]
        kept = self.vectors
        match name:
            case "embedding":
                kept["x"] = self._embed(segments, word)
            case "parameters":
                table = self.layout.parameters if block >= 0 else self.layout.final
                kept["parameters"] = self._fetch(segments[0], table, 0, block)
                kept["input"] = kept["x"]
            case "norm" | "norm1" | "norm2":
                kept["norm"] = self._norm(0 if name != "norm2" else 1)
            case "attention":
                kept["attention"] = self._attention(segments, block)
            case "ffn":
                kept["x"] = self._feed_forward(segments, block)
            case "qkv" | "projection":
                source = "norm" if name == "qkv" else "attention"
                kept[name] = kept["x"] = self._product(segments[0], name, kept[source])
                if name == "projection":
                    kept["x"] = kept[name]
            case "head":
                kept["head"] = self._product(segments[0], name, kept["norm"])
            case "rotary":
                self._rotate()
            case "residual1" | "residual2":
                kept["x"] = kept["input"] = to_bf16(kept["input"] + kept["x"])
            case "token":
                kept["token"] = np.argmax(kept["head"])
            case _:
                raise ValueError(f"no meaning for {name}")
