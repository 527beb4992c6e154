"""Operations for the ASIC's Verilog, with what the model says comes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.asic import clocks
from gateformer.hw.pim.asic_units import units
from gateformer.hw.pim.device import Asic
from gateformer.hw.pim.functions import Alu
from gateformer.hw.pim.program import AsicWork
from gateformer.hw.pim.shares import Share, exponentials, merged
from gateformer.sim.pim.asic_rtl import Operation, run
from gateformer.sim.rtl.tools import Simulator

EPSILON = 1e-5


class Bench:
    """Operations, their operands in a memory, and what the model says comes of them."""

    def __init__(self, lanes: int, words: int) -> None:
        self.lanes = lanes
        self.memory = np.random.default_rng(0).integers(0, 1 << 16, (words, lanes), np.uint16)
        self.used = 0
        self.operations: list[Operation] = []
        self.expected: list[tuple[int, np.ndarray, np.ndarray, int]] = []
        self.asic = Asic(1.0, units(lanes), "", lanes=lanes)

    def put(self, values: np.ndarray) -> int:
        """Place vectors, each from a word's start; what stands behind them stays."""
        rows = np.atleast_2d(values).astype(np.float32)
        return self.put_bits((rows.view(np.uint32) >> 16).astype(np.uint16))

    def put_bits(self, rows: np.ndarray) -> int:
        """Place vectors of numbers of 16 bits."""
        first, words = self.room(len(rows), rows.shape[1])
        place = self.memory[first : first + len(rows) * words].reshape(len(rows), -1)
        place[:, : rows.shape[1]] = rows
        return first

    def room(self, vectors: int, length: int) -> tuple[int, int]:
        words = -(-length // self.lanes)
        first, self.used = self.used, self.used + vectors * words
        assert self.used <= len(self.memory), "the memory is too small for these cases"
        return first, words

    def add(
        self,
        operation: Operation,
        results: np.ndarray,
        work: tuple[int, ...],
        marks: np.ndarray | None = None,
        place: int | None = None,
    ) -> None:
        """Add an operation whose results are bits, as vectors; ``work`` prices it.

        ``marks`` are the numbers of ``results`` that are written; all by default. They go to
        ``place``, or to a place of their own.
        """
        vectors, length = results.shape
        words = -(-length // self.lanes)
        first = self.room(vectors, length)[0] if place is None else place
        whole = np.zeros((vectors, words * self.lanes), np.uint16)
        whole[:, :length] = results
        kept = np.zeros(whole.shape, bool)
        kept[:, :length] = True if marks is None else marks
        shape = (-1, self.lanes)
        price = clocks(AsicWork("", operation.unit, *work), self.asic)
        self.operations.append(replace(operation, destination=first))
        self.expected.append((first, whole.reshape(shape), kept.reshape(shape), price))

    def check(
        self,
        simulator: Simulator,
        work: Path,
        cache: Path,
        files: Mapping[str, str] | None = None,
    ) -> None:
        """Run all operations; every bit of the memory and every clock must be the model's."""
        before = self.memory.copy()
        found, taken = run(
            self.operations, self.memory, work=work, cache=cache, simulator=simulator, files=files
        )
        untouched = np.ones(before.shape, bool)
        for one, (first, bits, kept, price), own in zip(
            self.operations, self.expected, taken, strict=True
        ):
            place = slice(first, first + len(bits))
            untouched[place] &= ~kept
            wrong = (found[place] != bits) & kept
            assert not wrong.any(), (one, np.argwhere(wrong)[:4].tolist())
            assert own == price, (one, own, price)
        assert np.array_equal(found[untouched], before[untouched])


def bits(values: np.ndarray) -> np.ndarray:
    """BF16 bits of a result, a NaN as the ASIC has it."""
    rounded = to_bf16(values)
    found = np.where(np.isnan(rounded), np.uint32(0x7FC00000), rounded.view(np.uint32))
    return np.atleast_2d((found >> 16).astype(np.uint16))


def vectors_of_all_kinds(length: int) -> Iterator[np.ndarray]:
    """Usual vectors, and those that break a careless unit."""
    rng = np.random.default_rng(length)
    yield to_bf16(rng.normal(size=(2, length)) * 3)
    one_hot = np.zeros(length)
    one_hot[length // 2] = 40.0
    anything = (rng.integers(0, 1 << 16, length).astype(np.uint32) << 16).view(np.float32)
    infinite, negative, nan = (to_bf16(rng.normal(size=length)) for _ in range(3))
    infinite[length // 3], negative[length // 3], nan[-1] = np.inf, -np.inf, np.nan
    finite = np.where(np.isfinite(anything), anything, np.float32(-1.5))
    signs = np.where(np.arange(length) % 2, -1.0, 1.0)
    rows = [
        np.full(length, 0.375), one_hot, infinite, negative, nan, np.full(length, -np.inf),
        np.zeros(length), 0.0 * signs, 3e38 * signs, np.full(length, 3e38), 1e-39 * signs,
        2.0**-133 + 0 * signs, -np.arange(length) / 2, 300.0 * signs, 1e19 * signs, finite,
        np.full(length, np.nan),
    ]  # fmt: skip
    yield to_bf16(np.array(rows))
    yield anything[None]


def reduce_and_map(bench: Bench, x: np.ndarray) -> None:
    """Add all operations of one or more vectors."""
    lanes, (vectors, length) = bench.lanes, x.shape
    rng = np.random.default_rng(length)
    source, work = bench.put(x), (vectors * length, vectors)
    plain = Operation("relu", source, length=length, vectors=vectors)
    for unit, found in (
        ("relu", functions.relu(x)),
        ("gelu", functions.gelu(Alu(), x)),
        ("silu", functions.silu(Alu(), x)),
        ("softmax", functions.softmax(x, lanes)),
    ):
        bench.add(replace(plain, unit=unit), bits(found), work)
    gain, bias = to_bf16(rng.normal(size=(2, length)))
    norm = replace(
        plain,
        source_b=bench.put(gain),
        source_c=bench.put(bias),
        inverse_width=1 / length,
        epsilon=EPSILON,
    )
    found = functions.layernorm(x, gain, bias, lanes, EPSILON)
    bench.add(replace(norm, unit="layernorm"), bits(found), work)
    found = functions.rmsnorm(x, gain, lanes, EPSILON)
    bench.add(replace(norm, unit="rmsnorm"), bits(found), work)
    largest = np.zeros((vectors, lanes), np.uint16)
    largest[:, 0] = bits(functions.maximum(x))
    largest[:, 1] = functions.place_of_maximum(x)
    bench.add(replace(plain, unit="maximum"), largest, work)
    for keep in {1, -(-length // lanes) // 2 + 1, -(-length // lanes), 255}:
        add_select(bench, x, source, keep)
    # Behind the numbers of each vector is a word with its step.
    whole, step = functions.quantize(x)
    words = -(-length // lanes)
    found = np.zeros((vectors, (words + 1) * lanes), np.uint16)
    kept = np.zeros(found.shape, bool)
    found[:, :length], kept[:, :length] = whole.astype(np.int16).view(np.uint16), True
    steps = np.where(np.isnan(step), np.float32(np.nan), step).astype(np.float32)
    found[:, words * lanes :][:, :2] = steps[:, None].view(np.uint16)
    kept[:, words * lanes :] = True
    bench.add(replace(plain, unit="quantize"), found, work, kept)
    # Behind a share's exponentials stand m and l.
    exps, m, sums = exponentials(x, lanes)
    found[:, :length], found[:, words * lanes :] = bits(exps), 0
    found[:, words * lanes] = bits(m)
    sums = np.where(np.isnan(sums), np.float32(np.nan), sums).astype(np.float32)
    found[:, words * lanes + 1 :][:, :2] = sums[:, None].view(np.uint16)
    bench.add(replace(plain, unit="share"), found, work, kept)


def add_select(bench: Bench, x: np.ndarray, source: int, keep: int) -> None:
    """Add the choice of ``keep`` words of each vector, which stand at ``source``."""
    lanes, (vectors, length) = bench.lanes, x.shape
    chosen = np.zeros((vectors, 16 * lanes), np.uint8)
    for marks, numbers in zip(chosen, x, strict=True):
        marks[functions.largest_groups(Alu(), numbers, lanes, keep)] = 1
    operation = Operation("select", source, count=keep, length=length, vectors=vectors)
    packed = np.packbits(chosen, axis=1, bitorder="little").view("<u2")
    bench.add(operation, packed, (vectors * length, vectors))


def add_merge(bench: Bench, shares: Sequence[Share]) -> None:
    """Add the merge of shares: of each one the heads' o, behind them their m and l."""
    heads, width = shares[0].o.shape
    words = -(-width // bench.lanes)
    source = bench.used
    for one in shares:
        bench.put(one.o)
        halves = one.l.astype("<f4").view("<u2").reshape(heads, 2)
        m = (one.m.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        bench.put_bits(np.column_stack([m, halves]))
    operation = Operation(
        "merge",
        source,
        source + heads * words,
        stride=heads * (words + 1),
        count=len(shares),
        length=width,
        vectors=heads,
    )
    vectors = heads * len(shares)
    bench.add(operation, bits(merged(shares)), (vectors * width, vectors, heads))


def shares_of_all_kinds(heads: int, width: int, count: int) -> Iterator[list[Share]]:
    """Shares as attention has them; any bits; one head of each kind that breaks a careless unit."""
    rng = np.random.default_rng(100 * width + count)

    def some(scale: float) -> list[Share]:
        found = []
        for _ in range(count):
            l = (1 + rng.exponential(size=heads) * 9).astype(np.float32)  # noqa: E741
            m, o = rng.normal(size=heads) * scale, rng.normal(size=(heads, width))
            found.append(Share(to_bf16(m), l, to_bf16(o)))
        return found

    def anything(*shape: int, low: int = 0) -> np.ndarray:
        drawn = rng.integers(0, 1 << 32, shape, np.uint32) >> np.uint32(low) << np.uint32(low)
        return drawn.view(np.float32)

    yield some(1.0)
    yield some(60.0)
    yield [
        Share(anything(heads, low=16), anything(heads), anything(heads, width, low=16))
        for _ in range(count)
    ]
    kinds: list[tuple[float, float, float]] = [
        (-np.inf, 1.0, 2.0), (np.inf, 1.0, 2.0), (np.nan, 1.0, 2.0), (3.0, np.inf, 2.0),
        (3.0, np.nan, -2.0), (3.0, 0.0, 2.0), (3.0, -0.0, -2.0), (3.0, 1e-42, 2.0**-133),
        (3.0, 3e38, 3e38), (0.0, 1.0, -np.inf), (-0.0, 1.0, -0.0), (-300.0, 5.0, 3e38),
    ]  # fmt: skip
    for own in kinds:
        for everyone in (False, True):
            shares = some(3.0)
            for one in shares if everyone else shares[-1:]:
                m, l, o = one  # noqa: E741
                m[0], l[0] = to_bf16(own[0]), own[1]
                o[0] = to_bf16(own[2])
            yield shares


def several_operands(bench: Bench, heads: int, width: int, count: int) -> None:
    """Add sums, products, weighted sums and turned heads."""
    lanes = bench.lanes
    rng = np.random.default_rng(width)
    words = -(-width // lanes)
    x, y = to_bf16(rng.normal(size=(2, heads, width)))
    a, b = bench.put(x), bench.put(y)
    product = Operation("multiply", a, b, length=width, vectors=heads)
    with np.errstate(all="ignore"):
        bench.add(product, bits(x * y), (heads * width, heads))
        terms = to_bf16(rng.normal(size=(count, width)) * 10.0 ** rng.integers(-3, 4, (count, 1)))
        first, rest = bench.put(terms[0]), bench.put(terms[1:])
        total = terms[0]
        for term in terms[1:]:
            total = total + term
    chain = Operation("add", first, rest, stride=words, count=count, length=width)
    bench.add(chain, bits(total), ((count - 1) * width, count - 1))
    if width % lanes:
        return
    count = min(count, lanes)
    values = to_bf16(rng.normal(size=(count, heads, width)))
    weights = to_bf16(rng.uniform(size=(heads, count)))
    weighted = Operation(
        "accumulate",
        bench.put(values.reshape(-1, width)),
        bench.put(weights),
        stride=heads * words,
        count=count,
        length=width,
        vectors=heads,
    )
    found = functions.accumulate(weights, values.swapaxes(0, 1))
    bench.add(weighted, bits(found), (heads * width * count, heads))
    turned = to_bf16(rng.normal(size=(heads, 2 * width)))
    cosine, sine = to_bf16(np.cos(np.arange(width))), to_bf16(np.sin(np.arange(width)))
    rotary = Operation(
        "rotary",
        bench.put(turned),
        bench.put(cosine),
        bench.put(sine),
        length=width,
        vectors=heads,
    )
    bench.add(rotary, bits(functions.rotary(turned, cosine, sine)), (2 * heads * width, 1))


def in_place(bench: Bench, vectors: int, length: int) -> None:
    """Add operations whose results take an operand's place."""
    lanes = bench.lanes
    rng = np.random.default_rng(length)
    x, y, gain, bias = to_bf16(rng.normal(size=(4, vectors, length)))
    work = (vectors * length, vectors)
    for unit, found in (
        ("gelu", functions.gelu(Alu(), x)),
        ("softmax", functions.softmax(x, lanes)),
        ("layernorm", functions.layernorm(x, gain[0], bias[0], lanes, EPSILON)),
        ("multiply", x * y),
    ):
        first = bench.put(x)
        second, third = bench.put(y if unit == "multiply" else gain[0]), bench.put(bias[0])
        own = Operation(unit, first, second, third, length=length, vectors=vectors)
        norm = replace(own, inverse_width=1 / length, epsilon=EPSILON)
        bench.add(norm, bits(found), work, place=first)
    first, rest = bench.put(x[0]), bench.put(y)
    total = x[0]
    for one in y:
        total = total + one
    words = -(-length // lanes)
    chain = Operation("add", first, rest, stride=words, count=1 + vectors, length=length)
    bench.add(chain, bits(total), work, place=first)
    half = words * lanes
    heads = to_bf16(rng.normal(size=(vectors, 2 * half)))
    cosine, sine = to_bf16(np.cos(np.arange(half))), to_bf16(np.sin(np.arange(half)))
    first = bench.put(heads)
    rotary = Operation(
        "rotary", first, bench.put(cosine), bench.put(sine), length=half, vectors=vectors
    )
    found = functions.rotary(heads, cosine, sine)
    bench.add(rotary, bits(found), (2 * vectors * half, 1), place=first)
