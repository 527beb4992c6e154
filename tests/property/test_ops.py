"""Every primitive against an independent model in Python integers and fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateformer.quant.execute import run
from gateformer.quant.graph import Builder
from gateformer.quant.ops.base import Primitive
from gateformer.quant.ops.cast import Cast, Constant, Rescale
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Reshape, Slice, Transpose
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed, Overflow, Rounding

BATCH = 6
EXAMPLES = settings(max_examples=60, deadline=None)

KINDS = st.builds(
    Fixed,
    st.booleans(),
    st.one_of(st.integers(1, 24), st.sampled_from([31, 32, 47, 62, 63, 64, 80])),
    st.integers(-6, 24),
)
NARROW = st.builds(Fixed, st.booleans(), st.integers(1, 18), st.integers(-4, 16))


def samples(kind: Fixed, shape: tuple[int, ...], seed: int) -> Any:
    """Extremes, all-equal, one-hot and uniform raw integers, (BATCH, *shape)."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    span = kind.max - kind.min + 1

    def any_raw() -> int:
        return kind.min + int.from_bytes(rng.bytes(40), "big") % span

    hot = [0] * size
    hot[int(rng.integers(size))] = kind.max
    rows = [
        [kind.min] * size,
        [kind.max] * size,
        [any_raw()] * size,
        hot,
        [[kind.min, kind.max][int(rng.integers(2))] for _ in range(size)],
        [any_raw() for _ in range(size)],
    ]
    dtype = np.int64 if kind.width < 63 else object
    return np.array(rows, dtype=dtype).reshape(BATCH, *shape)


def reals(raw: Any, kind: Fixed) -> Any:
    scale = Fraction(2) ** -kind.frac
    flat = [int(x) * scale for x in raw.ravel()]
    return np.array(flat, dtype=object).reshape(raw.shape)


def execute(op: Primitive, kinds: list[Fixed], raws: list[Any]) -> tuple[Any, Fixed]:
    """Run a graph of one node; checks the result against its proven range and type."""
    builder = Builder("one")
    names = [
        builder.input(f"x{i}", raw.shape[1:], kind)
        for i, (kind, raw) in enumerate(zip(kinds, raws, strict=True))
    ]
    builder.output(builder.add(op, *names, name="y", layer="y"))
    graph = builder.build()
    y = run(graph, dict(zip(names, raws, strict=True)))["y"]
    value = graph.values["y"]
    lo, hi = value.bounds
    assert y.shape[1:] == value.shape
    assert (y >= lo).all() and (y <= hi).all()
    assert int(lo.min()) >= value.fixed.min and int(hi.max()) <= value.fixed.max
    return y, value.fixed


def rounded(x: Fraction, how: Rounding) -> int:
    if how is Rounding.TRN:
        return x.numerator // x.denominator
    if how is Rounding.RND:
        half = x + Fraction(1, 2)
        return half.numerator // half.denominator
    return round(x)


def fitted(raw: int, kind: Fixed, how: Overflow) -> int:
    low, high = kind.min, kind.max
    if how is Overflow.WRAP:
        return (raw - low) % (high - low + 1) + low
    if how is Overflow.SAT_SYM and kind.signed:
        low = -high
    return min(max(raw, low), high)


def cast(x: Fraction, kind: Fixed, how: Rounding, over: Overflow) -> int:
    return fitted(rounded(x * Fraction(2) ** kind.frac, how), kind, over)


def same(y: Any, kind: Fixed, expected: Any) -> None:
    assert (reals(y, kind) == expected).all()


@EXAMPLES
@given(KINDS, KINDS, st.sampled_from(Rounding), st.sampled_from(Overflow), st.integers(0, 99))
def test_cast(source: Fixed, to: Fixed, how: Rounding, over: Overflow, seed: int) -> None:
    x = samples(source, (5,), seed)
    y, kind = execute(Cast(to, how, over), [source], [x])
    assert kind == to
    expected = [cast(v, to, how, over) for v in reals(x, source).ravel()]
    assert [int(v) for v in y.ravel()] == expected


@EXAMPLES
@given(NARROW, NARROW, st.sampled_from(Rounding), st.sampled_from(Overflow), st.integers(0, 99))
def test_cast_of_reals_is_the_host_quantizer(
    source: Fixed, to: Fixed, how: Rounding, over: Overflow, seed: int
) -> None:
    x = samples(source, (5,), seed)
    y, _ = execute(Cast(to, how, over), [source], [x])
    assert (to.from_real(source.to_real(x), how, over) == y).all()


@EXAMPLES
@given(KINDS, KINDS, st.booleans(), st.integers(0, 99))
def test_add(a: Fixed, b: Fixed, subtract: bool, seed: int) -> None:
    x, z = samples(a, (3, 4), seed), samples(b, (3, 1), seed + 1)
    y, kind = execute(Add(subtract), [a, b], [x, z])
    same(y, kind, reals(x, a) - reals(z, b) if subtract else reals(x, a) + reals(z, b))


@EXAMPLES
@given(KINDS, KINDS, st.integers(0, 99))
def test_mul(a: Fixed, b: Fixed, seed: int) -> None:
    x, z = samples(a, (3, 4), seed), samples(b, (1, 4), seed + 1)
    y, kind = execute(Mul(), [a, b], [x, z])
    same(y, kind, reals(x, a) * reals(z, b))


@EXAMPLES
@given(NARROW, st.integers(-3, 20), st.integers(-3, 20), st.integers(2, 24), st.integers(0, 99))
def test_dense(kind: Fixed, frac: int, bias_frac: int, bits: int, seed: int) -> None:
    weight_kind, bias_kind = Fixed(True, bits, frac), Fixed(True, bits, bias_frac)
    weight = samples(weight_kind, (6, 4), seed)[5]
    bias = samples(bias_kind, (6,), seed)[4]
    x = samples(kind, (2, 4), seed)
    y, result = execute(Dense(weight, frac, bias, bias_frac, (3, 2)), [kind], [x])
    xs, ws, bs = reals(x, kind), reals(weight, weight_kind), reals(bias, bias_kind)
    for n, t, o in product(range(BATCH), range(2), range(6)):
        expected = sum((ws[o, i] * xs[n, t, i] for i in range(4)), bs[o])
        assert int(y[n, t, o // 2, o % 2]) * Fraction(2) ** -result.frac == expected


@EXAMPLES
@given(
    NARROW,
    NARROW,
    st.sampled_from(["features", "tokens"]),
    st.sampled_from([1, 2]),
    st.integers(0, 99),
)
def test_matmul(a: Fixed, b: Fixed, contract: Any, shared: int, seed: int) -> None:
    tokens, keys, size = 2, 3, 4
    inner = size if contract == "features" else keys
    x, z = samples(a, (tokens, 2, inner), seed), samples(b, (keys, shared, size), seed + 1)
    y, kind = execute(MatMul(contract), [a, b], [x, z])
    xs, zs, ys = reals(x, a), reals(z, b), reals(y, kind)
    for n, t, h in product(range(BATCH), range(tokens), range(2)):
        g = h % shared
        if contract == "features":
            expected = [
                sum(xs[n, t, h, d] * zs[n, s, g, d] for d in range(size)) for s in range(keys)
            ]
        else:
            expected = [
                sum(xs[n, t, h, s] * zs[n, s, g, d] for s in range(keys)) for d in range(size)
            ]
        assert list(ys[n, t, h]) == expected


@EXAMPLES
@given(
    KINDS,
    st.sampled_from(["sum", "max"]),
    st.sampled_from(["features", "tokens"]),
    st.integers(0, 99),
)
def test_reduce(kind: Fixed, how: Any, axis: Any, seed: int) -> None:
    x = samples(kind, (3, 5), seed)
    y, result = execute(Reduce(how, axis), [kind], [x])
    xs = reals(x, kind)
    pick = sum if how == "sum" else max
    for n in range(BATCH):
        if axis == "features":
            expected = [pick(list(row)) for row in xs[n]]
        else:
            expected = [pick([xs[n, t, f] for t in range(3)]) for f in range(5)]
        assert list(reals(y[n], result).ravel()) == expected


@EXAMPLES
@given(st.booleans(), st.integers(1, 9), st.integers(-4, 9), st.integers(0, 99))
def test_lookup(signed: bool, width: int, frac: int, seed: int) -> None:
    kind = Fixed(signed, width, 3)
    table = np.random.default_rng(seed).integers(-(1 << 20), 1 << 20, 1 << width)
    x = samples(kind, (2, 3), seed)
    y, result = execute(Lookup(table, frac), [kind], [x])
    assert result.frac == frac
    expected = [int(table[int(v) % (1 << width)]) for v in x.ravel()]
    assert [int(v) for v in y.ravel()] == expected


@EXAMPLES
@given(st.integers(1, 6), st.integers(0, 99))
def test_embedding_lookup(width: int, seed: int) -> None:
    table = np.random.default_rng(seed).integers(-99, 99, (1 << width, 3))
    x = samples(Fixed(False, width, 0), (4, 1), seed)
    y, _ = execute(Lookup(table, 0), [Fixed(False, width, 0)], [x])
    assert [[list(table[i]) for i in row] for row in x[..., 0]] == y.tolist()


@EXAMPLES
@given(st.integers(1, 80), st.booleans(), st.integers(0, 99))
def test_normalize(width: int, even: bool, seed: int) -> None:
    kind = Fixed(False, width, 5)
    x = samples(kind, (4,), seed)
    y, result = execute(Normalize(even), [kind], [x])
    assert result.frac == 0
    for raw, amount in zip(x.ravel(), y.ravel(), strict=True):
        zeros = width - max(int(raw), 1).bit_length()
        assert int(amount) == (zeros - zeros % 2 if even else zeros)


@EXAMPLES
@given(
    NARROW,
    NARROW,
    st.integers(1, 5),
    st.sampled_from(Rounding),
    st.sampled_from(Overflow),
    st.integers(0, 99),
)
def test_shift(
    source: Fixed, to: Fixed, amount_bits: int, how: Rounding, over: Overflow, seed: int
) -> None:
    amount_kind = Fixed(False, amount_bits, 0)
    x, amount = samples(source, (3, 2), seed), samples(amount_kind, (3, 1), seed + 1)
    y, kind = execute(Shift(to, how, over), [source, amount_kind], [x, amount])
    assert kind == to
    moved = reals(x, source) * np.array(
        [2 ** int(n) for n in amount.ravel()], dtype=object
    ).reshape(amount.shape)
    assert [int(v) for v in y.ravel()] == [cast(v, to, how, over) for v in moved.ravel()]


@EXAMPLES
@given(KINDS, st.integers(-40, 40), st.integers(0, 99))
def test_rescale(kind: Fixed, power: int, seed: int) -> None:
    x = samples(kind, (4,), seed)
    y, result = execute(Rescale(power), [kind], [x])
    same(y, result, reals(x, kind) * Fraction(2) ** power)


@EXAMPLES
@given(NARROW, NARROW, st.integers(0, 99))
def test_layout(a: Fixed, b: Fixed, seed: int) -> None:
    x, z = samples(a, (2, 3, 4), seed), samples(b, (2, 3, 1), seed + 1)
    xs, zs = reals(x, a), reals(z, b)
    y, kind = execute(Reshape((6, 4)), [a], [x])
    assert list(reals(y, kind).ravel()) == list(xs.ravel())
    y, kind = execute(Transpose((0, 2, 1)), [a], [x])
    assert all(
        reals(y, kind)[n, t, f, h] == xs[n, t, h, f]
        for n, t, h, f in product(range(BATCH), range(2), range(3), range(4))
    )
    y, kind = execute(Slice(1, 3), [a], [x])
    same(y, kind, xs[..., 1:3])
    y, kind = execute(Concat(), [a, b], [x, z])
    same(y[..., :4], kind, xs)
    same(y[..., 4:], kind, zs)


@EXAMPLES
@given(NARROW, st.integers(-4, 9), st.integers(0, 99))
def test_constant(kind: Fixed, frac: int, seed: int) -> None:
    raw = samples(Fixed(True, 12, frac), (1, 4), seed)[5]
    builder = Builder("constant")
    x = builder.input("x", (3, 4), kind)
    c = builder.add(Constant(raw, frac), name="c", layer="c")
    builder.output(builder.add(Mul(), x, c, name="y", layer="y"))
    graph = builder.build()
    given_raw = samples(kind, (3, 4), seed)
    y = run(graph, {"x": given_raw})["y"]
    same(y, graph.values["y"].fixed, reals(given_raw, kind) * reals(raw, Fixed(True, 12, frac)))
