"""Small networks of every kind, made from seeded weights, and how they are checked against RTL."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateformer.hw.dataflow.plan import Plan, plan
from gateformer.hw.dataflow.truncate import truncate
from gateformer.hw.rtl.emit import Rtl, emit
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.quant.expand import (
    Affine,
    Attention,
    Elementwise,
    Embedding,
    Exact,
    LayerNorm,
    Linear,
    LogSqrt2,
    Parameter,
    Pool,
    QuantizeEach,
    RMSNorm,
    ScaledQuantize,
    Softmax,
    Table,
)
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.expand.shares import PLAIN, Shares
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.layout import Concat, Reshape, Slice, Transpose
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.fold_heads import fold_heads
from gateformer.quant.passes.fold_scales import fold_scales
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding
from gateformer.sim.dataflow import simulate_clocks
from gateformer.sim.rtl.simulate import SimulationResult, simulate
from gateformer.sim.rtl.testbench import testbench
from gateformer.sim.stalls import StallPattern


@dataclass(frozen=True)
class Maker:
    """Adds layers with random dyadic weights to a builder."""

    builder: Builder
    rng: np.random.Generator
    bits: int = 6

    def weights(self, *shape: int) -> FloatArray:
        """Weights in (-1, 1), multiples of 2^(1 - bits)."""
        top = 1 << (self.bits - 1)
        return self.rng.integers(-top + 1, top, shape) / top

    def linear(self, x: str, size: int, name: str) -> str:
        """A dense layer on each token, or on a vector."""
        shape = self.builder.values[x].shape
        inputs = shape[0] if len(shape) == 1 else int(np.prod(shape[1:]))
        op = Linear(self.weights(inputs, size), self.weights(size), (size,))
        return self.builder.add(op, x, name=name, layer=name)

    def scaled(self, x: str, size: int, name: str, *, each: bool = True) -> str:
        """A dense layer of whole steps, whose size is each output's own or one."""
        kernel = self.rng.integers(-7, 8, (int(np.prod(self.builder.values[x].shape[1:])), size))
        scale = self.rng.uniform(0.02, 0.06, size) if each else np.full(size, 0.043)
        op = Linear(kernel.astype(np.float64), self.rng.normal(size=size) / 4, (size,), scale)
        return self.builder.add(op, x, name=name, layer=name)

    def steps(
        self, x: str, scale: float | FloatArray, bits: int, name: str,
        *, zero: int = 0, low: int | None = None,
        rounding: Rounding = Rounding.RND_CONV,
    ) -> str:  # fmt: skip
        """A quantizer with real steps, of all of a type's or fewer, signed unless from ``low``."""
        first = -(1 << (bits - 1)) if low is None else low
        last = (1 << (bits - 1)) - 1 if low is None else low + (1 << bits) - 2
        op = ScaledQuantize(np.asarray(scale), np.asarray(zero), first, last, rounding)
        return self.builder.add(op, x, name=name, layer=name)

    def attention(
        self, x: str, source: str, name: str, heads: int = 2, size: int = 4,
        causal: bool = False, mask: str | None = None, biased: bool = True,
        shares: Shares = PLAIN, gated: bool = False,
    ) -> str:  # fmt: skip
        """Multi-head attention of ``x`` to ``source``."""
        d, s = (self.builder.values[v].shape[1] for v in (x, source))

        def bias(*shape: int) -> FloatArray | None:
            return self.weights(*shape) if biased else None

        op = Attention(
            heads,
            self.weights(d, heads, size), bias(heads, size),
            self.weights(s, heads, size), bias(heads, size),
            self.weights(s, heads, size), bias(heads, size),
            self.weights(heads, size, d), bias(d),
            size**-0.5, causal, mask is not None, shares,
            *((self.weights(d, heads), bias(heads)) if gated else ()),
        )  # fmt: skip
        masks = () if mask is None else (mask,)
        return self.builder.add(op, x, source, source, *masks, name=name, layer=name)

    def each(self, x: str, shape: tuple[int, ...], overflow: Overflow, name: str) -> str:
        """A quantizer with random widths, none among them, over axes that are not 1."""
        signed, width = self.rng.integers(0, 2, shape), self.rng.integers(0, 7, shape)
        frac = self.rng.integers(1, 4, shape)
        op = QuantizeEach(signed, width, frac, Rounding.RND, overflow)
        return self.builder.add(op, x, name=name, layer=name)

    def one(self, op: object, *inputs: str, name: str) -> str:
        """Any single operation as a layer."""
        return self.builder.add(op, *inputs, name=name, layer=name)  # type: ignore[arg-type]


def _input(m: Maker, tokens: int = 6, features: int = 4) -> str:
    return m.builder.input("x", (tokens, features))


def dense(m: Maker) -> None:
    """Two dense layers with a rectifier between."""
    h = m.linear(_input(m), 5, "hidden")
    h = m.one(Elementwise("relu"), h, name="rectified")
    m.builder.output(m.linear(h, 3, "logits"))


def self_attention(m: Maker) -> None:
    """Self attention with a residual sum; unfolded, since heads are narrow."""
    x = _input(m)
    a = m.attention(x, x, "mix", size=3)
    m.builder.output(m.one(Add(), a, x, name="sum"))


def folded(m: Maker) -> None:
    """Self attention whose heads are wider than the model: folded."""
    x = _input(m, 5, 3)
    a = m.attention(x, x, "mix", heads=2, size=8)
    s = m.one(Add(), a, x, name="sum")
    f = m.one(Reshape((15,)), s, name="flat")
    h = m.linear(f, 4, "head")
    m.builder.output(m.one(Softmax(), h, name="shares"))


def causal(m: Maker) -> None:
    """Causal attention."""
    x = _input(m)
    m.builder.output(m.attention(x, x, "mix", size=3, causal=True))


def masked(m: Maker) -> None:
    """Attention and pooling under a padding mask."""
    x = _input(m)
    keep = m.builder.input("keep", (6, 1), masks="x")
    a = m.attention(x, x, "mix", size=3, mask=keep)
    s = m.one(Add(), a, x, name="sum")
    m.builder.output(m.one(Pool("mean", True), s, keep, name="pooled"))


def masked_causal(m: Maker) -> None:
    """Both masks at once."""
    x = _input(m)
    keep = m.builder.input("keep", (6, 1), masks="x")
    m.builder.output(m.attention(x, x, "mix", size=3, causal=True, mask=keep))


def cross(m: Maker) -> None:
    """Queries from one input, keys and values from a shorter one."""
    x = _input(m, 6, 4)
    y = m.builder.input("y", (4, 5))
    m.builder.output(m.attention(x, y, "mix", size=3))


def cross_longer(m: Maker) -> None:
    """Queries from one input, keys and values from a longer one."""
    x = _input(m, 3, 4)
    y = m.builder.input("y", (7, 2))
    m.builder.output(m.attention(x, y, "mix", size=3))


def layer_norm(m: Maker) -> None:
    """LayerNorm after a dense layer, before another."""
    h = m.linear(_input(m), 6, "hidden")
    op = LayerNorm(m.weights(6) + 1.0, m.weights(6), 1e-3)
    n = m.one(op, h, name="norm")
    m.builder.output(m.linear(n, 3, "logits"))


def rms_norm(m: Maker) -> None:
    """RMSNorm on the input."""
    x = _input(m)
    m.builder.output(m.one(RMSNorm(m.weights(4) + 1.0, 1e-3), x, name="norm"))


def gelu(m: Maker) -> None:
    """A feed-forward pair around GELU."""
    x = _input(m)
    h = m.linear(x, 6, "wide")
    g = m.one(Elementwise("gelu"), h, name="gelu")
    y = m.linear(g, 4, "narrow")
    m.builder.output(m.one(Add(), y, x, name="sum"))


def pooled(m: Maker) -> None:
    """Mean and maximum over tokens."""
    x = _input(m, 7, 3)
    m.builder.output(m.one(Pool("mean"), x, name="mean"))
    m.builder.output(m.one(Pool("max"), x, name="peak"))


def embedded(m: Maker) -> None:
    """An embedding look-up in front of a dense layer."""
    x = m.builder.input("x", (5, 1))
    e = m.one(Embedding(m.weights(12, 3)), x, name="embedding")
    m.builder.output(m.linear(e, 4, "logits"))


def one_feature(m: Maker) -> None:
    """One feature a token."""
    x = _input(m, 9, 1)
    a = m.attention(x, x, "mix", heads=2, size=2)
    m.builder.output(m.one(Add(), a, x, name="sum"))


def one_head(m: Maker) -> None:
    """One head."""
    x = _input(m)
    m.builder.output(m.attention(x, x, "mix", heads=1, size=4, biased=False))


def eight_heads(m: Maker) -> None:
    """Eight heads."""
    x = _input(m, 4, 4)
    m.builder.output(m.attention(x, x, "mix", heads=8, size=2))


def affine(m: Maker) -> None:
    """Batch normalization and a sigmoid."""
    x = _input(m)
    h = m.one(Affine(m.weights(4) + 1.0, m.weights(4)), x, name="scaled")
    m.builder.output(m.one(Elementwise("sigmoid"), h, name="shares"))


def deep(m: Maker) -> None:
    """Two blocks and a head: skips over frames, twice."""
    x = _input(m, 5, 3)
    for block in (1, 2):
        a = m.attention(x, x, f"mix{block}", size=6)
        s = m.one(Add(), a, x, name=f"sum{block}")
        h = m.linear(s, 4, f"wide{block}")
        h = m.one(Elementwise("relu"), h, name=f"relu{block}")
        h = m.linear(h, 3, f"narrow{block}")
        x = m.one(Add(), h, s, name=f"out{block}")
    f = m.one(Reshape((15,)), x, name="flat")
    m.builder.output(m.linear(f, 2, "logits"))


def rearranged(m: Maker) -> None:
    """Features sliced, transposed and joined before a dense layer."""
    x = _input(m, 5, 4)
    pairs = m.one(Reshape((5, 2, 2)), x, name="pairs")
    turned = m.one(Transpose((0, 2, 1)), pairs, name="turned")
    flat = m.one(Reshape((5, 4)), turned, name="flat")
    low = m.one(Slice(0, 3), x, name="low")
    joined = m.one(Concat(), flat, low, name="joined")
    m.builder.output(m.linear(joined, 3, "logits"))


def two_outputs(m: Maker) -> None:
    """A result for each token, and one for the frame that leaves later."""
    x = _input(m, 5, 3)
    h = m.linear(x, 4, "hidden")
    a = m.attention(h, h, "mix", size=2)
    m.builder.output(h)
    m.builder.output(m.linear(m.one(Pool("max"), a, name="peak"), 2, "logits"))


def short_inputs(m: Maker) -> None:
    """Frames of three lengths: the shorter ones wait for the longest one's end."""
    x = _input(m, 6, 2)
    y = m.builder.input("y", (4, 2))
    z = m.builder.input("z", (1, 2))
    m.builder.output(m.attention(y, z, "mix", size=2))
    m.builder.output(m.one(Pool("max"), y, name="peak"))
    m.builder.output(m.linear(m.one(Reshape((8,)), y, name="flat"), 2, "head"))
    m.builder.output(m.linear(x, 2, "plain"))


def masked_twice(m: Maker) -> None:
    """A mask on the second of two blocks: it waits for values that come a frame later."""
    x = _input(m, 5, 2)
    keep = m.builder.input("keep", (5, 1), masks="x")
    a = m.attention(x, x, "first", size=2)
    m.builder.output(m.attention(a, a, "second", size=2, mask=keep))


def joined_peaks(m: Maker) -> None:
    """A maximum over tokens of features with unequal ranges, joined by wires alone."""
    x = _input(m, 5, 3)
    h = m.linear(x, 2, "hidden")
    joined = m.one(Concat(), h, m.one(Elementwise("sigmoid"), x, name="gate"), name="joined")
    m.builder.output(m.one(Pool("max"), joined, name="peak"))


def scaled_dense(m: Maker) -> None:
    """Steps of any size: a scale a feature, an odd zero point, ends of no type, truncation."""
    x = m.steps(_input(m, 3, 4), 0.11, 5, "coded")
    h = m.steps(m.scaled(x, 5, "hidden"), m.rng.uniform(0.03, 0.3, 5), 4, "few", zero=3, low=0)
    h = m.steps(m.scaled(h, 4, "wide"), 0.07, 6, "cut", rounding=Rounding.TRN)
    g = m.steps(m.one(Elementwise("gelu"), h, name="gelu"), 0.021, 4, "curve", zero=1, low=0)
    m.builder.output(m.scaled(m.one(Add(), g, h, name="sum"), 3, "logits"))


def scaled_attention(m: Maker) -> None:
    """An encoder's attention between quantizers with real steps, and a LayerNorm."""
    x = m.steps(_input(m, 4, 4), 0.13, 5, "coded")
    split = [
        m.one(Reshape((4, 2, 2)), m.scaled(x, 4, name, each=name == "value"), name=f"{name}_heads")
        for name in ("query", "key", "value")
    ]
    q, k, v = (
        m.steps(h, scale, 4, f"{name}_steps")
        for h, scale, name in zip(split, (0.17, 0.19, 0.12), "qkv", strict=True)
    )
    p = m.one(Softmax(), m.one(MatMul("features"), q, k, name="score"), name="shares")
    p = m.steps(p, 1 / 14, 4, "weights", low=0)
    c = m.steps(m.one(MatMul("tokens"), p, v, name="contexts"), 0.09, 4, "mixed")
    o = m.scaled(m.one(Reshape((4, 4)), c, name="flat"), 4, "project")
    s = m.steps(m.one(Add(), o, x, name="sum"), 0.1, 6, "whole")
    n = m.one(LayerNorm(m.weights(4) + 1.0, m.weights(4), 1e-3), s, name="norm")
    m.builder.output(m.steps(n, 0.05, 6, "normed"))


def log_sqrt2(m: Maker) -> None:
    """Attention whose shares are powers of sqrt(2): shifts, no division."""
    x = _input(m)
    m.builder.output(m.attention(x, x, "mix", size=3, shares=Shares("log_sqrt2")))


def log_sqrt2_masked(m: Maker) -> None:
    """The same under both masks, with coarser powers and gates."""
    x = _input(m)
    keep = m.builder.input("keep", (6, 1), masks="x")
    shares = Shares("log_sqrt2", bits=3)
    a = m.attention(x, x, "mix", size=3, causal=True, mask=keep, shares=shares, gated=True)
    m.builder.output(a)


def log_sqrt2_folded(m: Maker) -> None:
    """Powers of sqrt(2) over folded heads: the values' bias stays with the values."""
    x = _input(m, 5, 3)
    m.builder.output(m.attention(x, x, "mix", size=8, shares=Shares("log_sqrt2", bits=5)))


def clipped(m: Maker) -> None:
    """Attention whose small shares are zero, and whose contexts are gated."""
    x = _input(m)
    shares = Shares("clipped", gamma=-0.1)
    m.builder.output(m.attention(x, x, "mix", size=3, shares=shares, gated=True))


def clipped_masked(m: Maker) -> None:
    """Shares clipped at both ends, under a mask."""
    x = _input(m)
    keep = m.builder.input("keep", (6, 1), masks="x")
    shares = Shares("clipped", gamma=-0.05, zeta=1.1)
    m.builder.output(m.attention(x, x, "mix", size=3, mask=keep, shares=shares))


def gated(m: Maker) -> None:
    """Gates alone, over folded heads."""
    x = _input(m, 5, 3)
    m.builder.output(m.attention(x, x, "mix", size=8, gated=True))


def log_table(m: Maker) -> None:
    """The quantizer on powers of sqrt(2) by itself."""
    x = _input(m)
    p = m.one(Softmax(), x, name="shares")
    m.builder.output(m.linear(m.one(LogSqrt2(4), p, name="powers"), 3, "logits"))


def each_width(m: Maker) -> None:
    """A width for every element: of every token, of every feature, and of every score."""
    x = m.each(_input(m, 5, 4), (5, 4), Overflow.WRAP, "tokens")
    h = m.one(Exact(), m.linear(x, 4, "hidden"), name="whole")
    h = m.each(h, (1, 4), Overflow.SAT, "features")
    q = m.one(Reshape((5, 2, 2)), h, name="queries")
    p = m.one(Exact(), m.one(MatMul("features"), q, q, name="score"), name="scores")
    p = m.each(p, (5, 2, 5), Overflow.WRAP, "weights")
    table = Table("sigmoid_float32", (), Fixed(False, 4, 4))
    g = m.one(table, m.each(p, (1, 2, 1), Overflow.SAT, "index"), name="gate")
    m.builder.output(m.one(Exact(), m.one(MatMul("tokens"), g, q, name="mixed"), name="exact"))


def truncated(m: Maker) -> None:
    """Two dense layers with a rectifier between, their sums cut: see ``network``."""
    dense(m)


def hundred_tokens(m: Maker) -> None:
    """A hundred tokens of two features."""
    x = _input(m, 100, 2)
    a = m.attention(x, x, "mix", heads=1, size=4)
    s = m.one(Add(), a, x, name="sum")
    m.builder.output(m.one(Pool("mean"), s, name="mean"))


def score_by_score(m: Maker) -> None:
    """Attention as exporters spell it out: positions, causal shares of scores, then values."""
    x = _input(m)
    x = m.one(Add(), x, m.one(Parameter(m.weights(6, 4)), name="positions"), name="placed")
    q, k, v = (
        m.one(Reshape((6, 2, 2)), m.linear(x, 4, name), name=f"{name}_heads")
        for name in ("query", "key", "value")
    )
    score = m.one(MatMul("features"), q, k, name="scores")
    share = m.one(Softmax(0.5, causal=True), score, name="share")
    m.builder.output(m.one(MatMul("tokens"), share, v, name="contexts"))


def reserved(m: Maker) -> None:
    """Inputs, layers and outputs by words that Verilog, VHDL, C++ and the core itself use."""
    x, keep = m.builder.input("input", (6, 4)), m.builder.input("in", (6, 1), masks="input")
    a = m.attention(x, x, "module", size=3, mask=keep)
    s = m.one(Add(), a, x, name="out")
    h = m.one(Elementwise("relu"), m.linear(s, 5, "class"), name="valid")
    g = m.one(Elementwise("gelu"), m.linear(h, 4, "always"), name="signal")
    n = m.one(LayerNorm(m.weights(4) + 1.0, m.weights(4), 1e-3), g, name="context")
    m.builder.output(n)
    m.builder.output(m.one(Pool("mean", True), n, keep, name="output"))


NETWORKS: Mapping[str, Callable[[Maker], None]] = {
    f.__name__: f
    for f in (
        dense, self_attention, folded, causal, masked, masked_causal, cross, cross_longer,
        layer_norm, rms_norm, gelu, pooled, embedded, one_feature, one_head, eight_heads,
        affine, deep, rearranged, two_outputs, short_inputs, masked_twice, joined_peaks,
        log_sqrt2, log_sqrt2_masked, log_sqrt2_folded, clipped, clipped_masked, gated, log_table,
        scaled_dense, scaled_attention, each_width, score_by_score,
        truncated, reserved,
    )
}  # fmt: skip


def network(
    make: Callable[[Maker], None], kind: str = "fixed<12,5>", seed: int = 1,
    softmax: str = "auto", bits: int = 6,
) -> Graph:  # fmt: skip
    """Build, fold and lower a network with one default type."""
    builder = Builder(make.__name__)
    make(Maker(builder, np.random.default_rng(seed), bits))
    graph, _ = fold_heads(fold_scales(builder.build()))
    lowered = lower(graph, Types(default=Fixed.parse(kind)), Options(softmax=softmax))  # type: ignore[arg-type]
    # One guard bit: most additions lose bits, and several outputs share each.
    return truncate(lowered, 1)[0] if make is truncated else lowered


def vectors(graph: Graph, count: int, seed: int = 0) -> dict[str, IntArray]:
    """Seeded frames: extremes, one-hot, all equal, small and uniform ones; some masks all zero."""
    rng = np.random.default_rng(seed)
    frames = {}
    for name in graph.inputs:
        value = graph.values[name]
        low, high = value.fixed.min, value.fixed.max
        x = rng.integers(low, high + 1, (count, *value.shape))
        x[1::6] = rng.choice([low, high], (len(x[1::6]), *value.shape))
        x[2::6] = 0
        for frame in x[2::6]:
            frame[tuple(int(rng.integers(n)) for n in value.shape)] = high
        x[3::6] = rng.integers(low, high + 1, (len(x[3::6]), *(1 for _ in value.shape)))
        x[4::6] = rng.integers(max(low, -3), min(high, 3) + 1, (len(x[4::6]), *value.shape))
        if name in graph.masks:
            x[5::12] = 0
        frames[name] = x
    return frames


@dataclass(frozen=True)
class Checked:
    """A network that went through RTL simulation."""

    plan: Plan
    rtl: Rtl
    result: SimulationResult


def check(
    graph: Graph, work: Path, *, p: int = 1, r: int = 1, count: int = 12,
    simulator: str = "icarus", stalls: StallPattern | None = None, seed: int = 0,
) -> Checked:  # fmt: skip
    """RTL = executor in every integer; RTL = schedule = event simulator in every clock."""
    planned = plan(graph, Settings(token_parallelism=p, reuse_factor=r))
    rtl = emit(planned)
    frames = vectors(graph, count, seed)
    expected = run(graph, frames)
    result = simulate(
        planned.design,
        rtl.files,
        frames,
        expected,
        simulator,
        work=work,
        stalls=stalls,  # type: ignore[arg-type]
    )
    assert result.first is None, result.first
    assert result.mismatches == 0
    assert not result.problems
    assert result.vectors == count
    if stalls is None:
        events = simulate_clocks(planned.design, count)
        design = planned.design
        assert result.latency_cycles == design.latency_cycles == events.latency_cycles
        assert result.interval_cycles == design.interval_cycles == events.interval_cycles
    return Checked(planned, rtl, result)


def bench(
    graph: Graph,
    work: Path,
    settings: Settings,
    *,
    count: int = 12,
    stalls: bool = False,
    seed: int = 0,
) -> Plan:
    """The same as ``check`` by the generated testbench in plain Verilog: ten times quicker."""
    planned = plan(graph, settings)
    frames = vectors(graph, count, seed)
    files = {**emit(planned).files, **testbench(planned.design, frames, run(graph, frames))}
    work.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (work / name).write_text(text, encoding="utf-8")
    top = f"tb_{planned.design.name}"
    sources = [name for name in files if name.endswith(".v")]
    told = icarus(work, top, sources, f"-P{top}.Stalls={int(stalls)}")
    design, events = planned.design, simulate_clocks(planned.design, count)
    assert told[-1].startswith(f"PASS: {count} frames"), "\n".join(told[-8:])
    if not stalls:
        clocks = f"latency {design.latency_cycles}, interval {design.interval_cycles} clocks"
        assert told[-1] == f"PASS: {count} frames, {clocks}"
    assert events.latency_cycles == design.latency_cycles
    assert events.interval_cycles == design.interval_cycles
    assert not events.problems
    return planned


def icarus(work: Path, top: str, sources: Sequence[str], *options: str) -> list[str]:
    """Compile and run a top without ports; returns the lines that it prints."""
    command = ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-s", top, "-o", "bench.vvp"]
    for step in ([*command, *options, *sources], ["vvp", "-n", "bench.vvp"]):
        done = subprocess.run(step, cwd=work, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()
