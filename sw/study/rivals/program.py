"""Small networks of integers that every generator can express: what they compute, and for us.

Owns ``Program`` and ``subjects``. Imports the graph and primitives.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.cast import Cast
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.types import Fixed, IntArray, Overflow, Rounding

INPUT = Fixed(True, 8, 0)
"""Type of every element that enters."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One step: ``output = kind(inputs)``.

    Attributes
    ----------
    kind : {"dense", "relu", "drop", "scores", "context"}
        ``W x`` on each token; ``max(x, 0) >> drop``; ``x >> drop`` of what is never negative;
        ``q k^T``; ``s v``.
    inputs : tuple of str
        Values that it reads.
    output : str
        Value that it makes.
    weight : ndarray of int, (outputs, inputs), or None
        Of a dense line.
    drop : int
        Bits that a relu line drops.
    """

    kind: Literal["dense", "relu", "drop", "scores", "context"]
    inputs: tuple[str, ...]
    output: str
    weight: IntArray | None = None
    drop: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A network on tokens of 8-bit integers; nothing in it saturates.

    Attributes
    ----------
    name : str
        Of letters, digits and ``_``.
    about : str
        What it is, in a few words.
    tokens, features : int
        Shape of the input; one token enters as a vector.
    lines : tuple of Line
        Steps in order, from the value ``x`` on.
    outputs : tuple of str
        Values that leave, side by side.
    """

    name: str
    about: str
    tokens: int
    features: int
    lines: tuple[Line, ...]
    outputs: tuple[str, ...]

    def plain(self) -> dict[str, object]:
        """Return it as JSON's types; a relu line has its result's fraction bits."""
        values = self.graph().values
        lines = [
            {
                "kind": line.kind,
                "inputs": list(line.inputs),
                "output": line.output,
                "weight": None if line.weight is None else line.weight.tolist(),
                "bits": values[line.output].fixed.width,
                "frac": values[line.output].fixed.frac,
            }
            for line in self.lines
        ]
        shape = [self.tokens, self.features]
        return {"shape": shape, "lines": lines, "outputs": list(self.outputs)}

    def graph(self) -> Graph:
        """Return it as a typed graph."""
        builder = Builder(self.name)
        whole = self.tokens == 1
        shape = (self.features,) if whole else (self.tokens, self.features)
        builder.input("x", shape, INPUT)
        for line in self.lines:
            self._add(builder, line)
        for name in self.outputs:
            builder.output(name)
        return builder.build()

    def _add(self, builder: Builder, line: Line) -> None:
        first = builder.values[line.inputs[0]]
        if line.kind == "dense":
            assert line.weight is not None
            zeros = np.zeros(len(line.weight), np.int64)
            op = Dense(line.weight, 0, zeros, first.fixed.frac, (len(line.weight),))
            builder.add(op, first.name, name=line.output, layer=line.output)
        elif line.kind in ("relu", "drop"):
            kind = first.fixed
            most = int(first.bounds[1].max()) >> line.drop
            to = Fixed(False, max(most.bit_length(), 1), kind.frac - line.drop)
            op_cast = Cast(to, Rounding.TRN, Overflow.SAT)
            builder.add(op_cast, first.name, name=line.output, layer=line.output)
        else:
            heads = [
                builder.add(
                    Reshape((self.tokens, 1, builder.values[name].shape[1])), name,
                    name=f"{line.output}/{name}", layer=line.output,
                )
                for name in line.inputs
            ]  # fmt: skip
            contract: Literal["features", "tokens"] = (
                "features" if line.kind == "scores" else "tokens"
            )
            made = builder.add(
                MatMul(contract), *heads, name=f"{line.output}/product", layer=line.output
            )
            size = builder.values[made].shape[2]
            builder.add(Reshape((self.tokens, size)), made, name=line.output, layer=line.output)


def dense(name: str, about: str, shape: tuple[int, int], bits: int, kept: float) -> Program:
    """One matrix of ``bits``-bit weights, of which a share is kept and the rest is zero."""
    rng = np.random.default_rng([shape[0], shape[1], bits])
    weight = _weights(rng, shape, bits) * (rng.random(shape) < kept)
    return Program(name, about, 1, shape[1], (Line("dense", ("x",), "y", weight),), ("y",))


def projections(size: int, bits: int) -> Program:
    """Query, key and value projections of one token."""
    rng = np.random.default_rng(size)
    lines = tuple(
        Line("dense", ("x",), name, _weights(rng, (size, size), bits))
        for name in ("query", "key", "value")
    )
    about = f"three {size} x {size} matrices of {bits} bits on one token (query, key, value)"
    return Program("projections", about, 1, size, lines, ("query", "key", "value"))


def token_mlp(sizes: tuple[int, ...], bits: int) -> Program:
    """What every particle of a jet goes through: matrices with rectifiers between."""
    rng = np.random.default_rng(sizes)
    lines: list[Line] = []
    name = "x"
    for layer, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        weight = _weights(rng, (outputs, inputs), bits)
        lines.append(Line("dense", (name,), f"dense{layer}", weight))
        drop = 8 if layer > 1 else 6
        lines.append(Line("relu", (f"dense{layer}",), f"relu{layer}", drop=drop))
        name = f"relu{layer}"
    widths = "-".join(str(size) for size in sizes)
    about = f"a token's {widths} network of {bits}-bit weights, rectified"
    return Program("token_mlp", about, 1, sizes[0], tuple(lines), (name,))


def attention(tokens: int, features: int, size: int, bits: int) -> Program:
    """One head whose scores are rectified instead of normalized: no generator but ours divides."""
    rng = np.random.default_rng([tokens, features, size])
    lines: list[Line] = []
    for name in ("query", "key", "value"):
        lines.append(Line("dense", ("x",), f"{name}_sum", _weights(rng, (size, features), bits)))
        lines.append(Line("relu", (f"{name}_sum",), name, drop=5))
    lines.append(Line("scores", ("query", "key"), "score_sum"))
    lines.append(Line("drop", ("score_sum",), "score", drop=6))
    lines.append(Line("context", ("score", "value"), "mixed"))
    about = f"attention, {tokens} tokens x {features}, one head of {size}, rectified scores"
    return Program("attention", about, tokens, features, tuple(lines), ("mixed",))


def _weights(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> IntArray:
    top = 1 << (bits - 1)
    return rng.integers(-top + 1, top, shape)


def subjects() -> tuple[Program, ...]:
    """Every network of the page."""
    return (
        dense("dense_16_int8", "16 x 16, 8-bit weights", (16, 16), 8, 1.0),
        dense("dense_16_int4", "16 x 16, 4-bit weights", (16, 16), 4, 1.0),
        dense("dense_16_half", "16 x 16, 6-bit weights, half of them zero", (16, 16), 6, 0.5),
        dense("dense_8_of_32", "32 inputs, 8 outputs, 6-bit weights", (8, 32), 6, 1.0),
        dense("dense_32", "32 x 32, 6-bit weights, three quarters of them zero", (32, 32), 6, 0.25),
        projections(12, 6),
        token_mlp((3, 16, 16, 8), 6),
        attention(4, 6, 2, 4),
    )
