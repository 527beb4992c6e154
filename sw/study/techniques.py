"""What techniques take in hardware, with and without: ``python -m gateformer.study.techniques``.

Owns the table of docs/techniques.md: layers of one size with seeded weights, so that only the
technique differs. Accuracy is the study's. Imports the area of a graph.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateformer.hw.dataflow.truncate import truncate
from gateformer.quant.expand import Affine, Attention, Elementwise, LayerNorm, Linear
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.expand.shares import PLAIN, Shares
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.ops.base import Op
from gateformer.quant.passes.prepare import prepare
from gateformer.quant.types import Fixed, FloatArray
from gateformer.study.area import Area, area

TOKENS, WIDTH, HEADS, SIZE, WIDE = 8, 16, 2, 8, 32
"""Tokens, features, heads, features of a head, and features of the wide layer."""

BITS = 6
"""Bits of weights."""

KIND = Fixed(True, 8, 5)
"""Type of every activation."""

HEAD = "| layer | LUT | FF | DSP | latency | interval |\n|---|---:|---:|---:|---:|---:|\n"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
        The layer, and what is switched on.
    make : callable
        Its lowered graph.
    """

    name: str
    make: Callable[[], Graph]


def weights(*shape: int, seed: int = 1) -> FloatArray:
    """Weights of ``BITS`` bits in (-1, 1), near a normal distribution as trained ones are."""
    top = 1 << (BITS - 1)
    drawn = np.rint(np.random.default_rng(seed).normal(0.0, top / 3, shape))
    return np.clip(drawn, -top + 1, top - 1) / top


def pruned(kernel: FloatArray, share: float) -> FloatArray:
    """A kernel without a share of its weights, smallest first."""
    kept = kernel.copy()
    kept.ravel()[np.argsort(np.abs(kernel), axis=None)[: int(share * kernel.size)]] = 0.0
    return kept


def bounded(kernel: FloatArray, bits: int) -> FloatArray:
    """A kernel whose outputs' sums fit ``bits`` bits.

    ``|w|_1 <= (2^(P-1) - 1) 2^(s - N)`` on whole steps, N-bit inputs with sign s = 1 (A2Q, Colbert
    et al., arXiv 2308.13504, equation 8).
    """
    top = 1 << (BITS - 1)
    limit = ((1 << (bits - 1)) - 1) * 2.0 ** (1 - KIND.width)
    sums = np.abs(kernel * top).sum(0)
    scale: FloatArray = np.trunc(kernel * top * np.minimum(1.0, limit / sums)) / top
    return scale


def one(*layers: tuple[str, Op], features: int = WIDTH) -> Graph:
    """Layers one after another on tokens, imported and prepared."""
    builder = Builder("layer")
    name = builder.input("x", (TOKENS, features))
    for layer, op in layers:
        every = (name,) * 3 if isinstance(op, Attention) else (name,)
        name = builder.add(op, *every, name=layer, layer=layer)
    builder.output(name)
    graph, _ = prepare(builder.build(), heads=False, affine=True)
    return graph


def typed(graph: Graph, softmax: str = "max") -> Graph:
    """The graph in integers."""
    return lower(graph, Types(default=KIND), Options(softmax=softmax))  # type: ignore[arg-type]


def attention(shares: Shares = PLAIN, gated: bool = False) -> Graph:
    """Self-attention of all tokens."""
    inner = (WIDTH, HEADS, SIZE)
    gate = (weights(WIDTH, HEADS, seed=5), weights(HEADS, seed=6)) if gated else (None, None)
    op = Attention(
        HEADS,
        weights(*inner, seed=1), None,
        weights(*inner, seed=2), None,
        weights(*inner, seed=3), None,
        weights(HEADS, SIZE, WIDTH, seed=4), None,
        SIZE**-0.5, False, False, shares, *gate,
    )  # fmt: skip
    return typed(one(("mix", op)))


def linear(kernel: FloatArray) -> Graph:
    """A dense layer."""
    return typed(one(("dense", Linear(kernel, None, (kernel.shape[1],)))))


def normalized(kind: str) -> Graph:
    """A dense layer, a normalization, a rectifier and another dense layer."""
    rng = np.random.default_rng(7)
    gamma, beta = rng.uniform(0.5, 2.0, WIDE), rng.normal(size=WIDE)
    norm: tuple[tuple[str, Op], ...] = ()
    if kind == "layer":
        norm = (("norm", LayerNorm(gamma, beta, 1e-3)),)
    elif kind == "batch":
        norm = (("norm", Affine(gamma, beta)),)
    # Weights that training has not made exact: quantized when all that folds is folded.
    first = Linear(np.random.default_rng(8).normal(0.0, 0.3, (WIDTH, WIDE)), None, (WIDE,))
    last = Linear(weights(WIDE, WIDTH, seed=9), None, (WIDTH,))
    return typed(one(("up", first), *norm, ("relu", Elementwise("relu")), ("down", last)))


def rows() -> Iterator[Row]:
    """All lines of the table."""
    heads = f"attention, {TOKENS} tokens, {HEADS} x {SIZE}"
    yield Row(heads, attention)
    yield Row("same, clipped", lambda: attention(Shares("clipped", gamma=-4 / TOKENS)))
    yield Row("same, log-sqrt2 of 4 bits", lambda: attention(Shares("log_sqrt2")))
    yield Row("same, log-sqrt2 of 3 bits", lambda: attention(Shares("log_sqrt2", bits=3)))
    yield Row("same, gated", lambda: attention(gated=True))
    kernel = weights(WIDTH, WIDE)
    yield Row(f"dense {WIDTH} x {WIDE}", lambda: linear(kernel))
    for guard in (4, 3, 2):
        yield Row(f"same, truncated, {guard} guard bits", _cut(kernel, guard))
    for share in (0.5, 0.75):
        yield Row(f"same, {share:.0%} pruned", _linear(pruned(kernel, share)))
    for bits in (14, 12):
        yield Row(f"same, sums bound to {bits} bits", _linear(bounded(kernel, bits)))
    block = f"dense {WIDTH} x {WIDE}, normalization, ReLU, dense {WIDE} x {WIDTH}"
    yield Row(f"{block}: LayerNorm", lambda: normalized("layer"))
    yield Row("same, PRepBN or BatchNorm, folded", lambda: normalized("batch"))
    yield Row("same, no normalization", lambda: normalized("none"))


def _cut(kernel: FloatArray, guard: int) -> Callable[[], Graph]:
    return lambda: truncate(linear(kernel), guard)[0]


def _linear(kernel: FloatArray) -> Callable[[], Graph]:
    return lambda: linear(kernel)


def line(name: str, found: Area) -> str:
    """One line of the table."""
    cells = (found.lut, found.ff, found.dsp, found.latency, found.interval)
    return f"| {name} | {' | '.join(f'{cell:,}' for cell in cells)} |\n"


def main() -> None:
    """Print the table; ``--predicted`` leaves yosys out."""
    sys.stdout.write(HEAD)
    with tempfile.TemporaryDirectory() as scratch:
        for number, row in enumerate(rows()):
            work = None if "--predicted" in sys.argv else Path(scratch) / str(number)
            sys.stdout.write(line(row.name, area(row.make(), work=work)))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
