"""The divider, the square root and the softmax weights keep the errors that they state."""

import numpy as np
import pytest

from gateformer.quant.execute import run
from gateformer.quant.expand.context import Lowering, Options, Types
from gateformer.quant.expand.division import divide, reciprocal_table, rsqrt_table
from gateformer.quant.expand.exponential import exponential
from gateformer.quant.expand.norm import scaled_unit
from gateformer.quant.graph import Builder
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.types import Fixed


def lowering(options: Options | None = None, **given: Fixed) -> Lowering:
    types = Types(given={f"d/{name}": kind for name, kind in given.items()})
    to = Lowering(Builder("d"), types, options or Options(), frozenset(), {})
    to.layer = "d"
    return to


@pytest.mark.parametrize("bits", [1, 4, 9, 10])
def test_reciprocal_table(bits: int) -> None:
    table = reciprocal_table(bits, 16, exact=False) / 2.0**16
    fine = 1.0 + (np.arange(64 << bits)) / (64 << bits)
    error = np.abs(np.repeat(table, 64) * fine - 1.0).max()
    assert error <= 2.0 ** -(bits + 1) + 2.0**-16


@pytest.mark.parametrize("bits", [3, 8, 11])
def test_rsqrt_table(bits: int) -> None:
    table = rsqrt_table(bits, 16, exact=False, gain=1.4) / 2.0**15 / 1.4
    fine = np.arange(64 << bits) * 2.0 ** (2 - bits) / 64
    reached = fine >= 1.0
    error = np.abs(np.repeat(table, 64) * np.sqrt(fine) - 1.0)[reached].max()
    assert error <= 2.0**-bits + 2.0**-15


@pytest.mark.parametrize("table_bits", [6, 9, 10])
@pytest.mark.parametrize("total_bits", [1, 2, 7, 21])
@pytest.mark.parametrize("value", [Fixed(True, 9, 3), Fixed(False, 8, 8), Fixed(True, 18, 20)])
def test_division(table_bits: int, total_bits: int, value: Fixed) -> None:
    options = Options(table_bits=table_bits)
    to = lowering(options)
    total_kind = Fixed(False, total_bits, 5)
    sum_kind = Fixed(value.signed, total_bits + value.width, 5 + value.frac)
    to.builder.input("n", (40, 3), sum_kind)
    to.builder.input("t", (40, 1), total_kind)
    to.builder.output(divide(to, "n", "t", value.min, value.max, "q"))
    graph = to.builder.build()

    rng = np.random.default_rng(3)
    total = rng.integers(0, total_kind.max + 1, (20, 40, 1))
    total[0], total[1], total[2, :, 0] = 0, total_kind.max, 1 << (np.arange(40) % total_bits)
    mean = rng.integers(value.min, value.max + 1, (20, 40, 3))
    mean[3], mean[4] = value.min, value.max
    part = rng.integers(-3, 4, mean.shape) * (rng.random(mean.shape) < 0.5)
    raw = np.clip(mean * total + part, value.min * total, value.max * total)
    q = graph.values["d/q"].fixed.to_real(run(graph, {"n": raw, "t": total})["d/q"])
    exact = np.where(total == 0, 0.0, raw / np.maximum(total, 1)) * value.scale

    largest = 2.0 ** np.ceil(np.log2(max(-value.min, value.max) * value.scale))
    relative = 2.0 ** -(table_bits + 1) + 2.0**-options.reciprocal_bits
    bound = np.abs(exact) * relative + 2.0 ** (2 - options.numerator_bits) * largest
    assert (np.abs(q - exact) <= bound).all()
    assert (q[0] == 0).all()
    assert graph.values["d/numerator"].fixed.width <= 18
    assert graph.values["d/product"].fixed.width <= 34


@pytest.mark.parametrize("features", [1, 2, 5, 6, 64])
@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 3.0])
@pytest.mark.parametrize("bits", [6, 12, 18])
def test_square_root(features: int, epsilon: float, bits: int) -> None:
    to = lowering()
    kind = Fixed(True, bits, bits // 2)
    to.builder.input("c", (30, features), kind)
    to.builder.output(scaled_unit(to, "c", features, epsilon))
    graph = to.builder.build()
    rng = np.random.default_rng(5)
    raw = rng.integers(kind.min, kind.max + 1, (20, 30, features))
    raw[0], raw[1], raw[2] = 0, kind.min, kind.max
    raw[3] = rng.integers(-2, 3, raw[3].shape)
    raw[4] = np.eye(features, dtype=np.int64)[np.arange(30) % features] * kind.max
    unit = graph.values["d/unit"].fixed.to_real(run(graph, {"c": raw})["d/unit"])

    c = kind.to_real(raw)
    step = 2.0 ** (2 * kind.frac)
    power = (c**2).sum(-1, keepdims=True) + round(epsilon * step) / step
    exact = np.where(power > 0, c * np.sqrt(features / np.where(power > 0, power, 1.0)), 0.0)
    bound = np.abs(exact) * (2.0 ** -(to.options.table_bits + 1) + 2.0**-15) + 2.0 ** (
        3 - 18
    ) * np.sqrt(features)
    assert (np.abs(unit - exact) <= bound).all()
    assert (unit[0] == 0).all()


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_exponential(direct: bool, scale: float) -> None:
    distance = Fixed(False, 10, 6)
    to = lowering(distance=distance)
    kind = Fixed(True, 10, 7)
    to.builder.input("s", (8, 5), kind)
    to.builder.output(exponential(to, "s", scale, direct))
    graph = to.builder.build()
    raw = np.random.default_rng(2).integers(kind.min, kind.max + 1, (50, 8, 5))
    raw[0], raw[1] = kind.min, kind.max
    e = run(graph, {"s": raw})["d/exp"] / (2.0**17 - 1)
    s = kind.to_real(raw)
    top = kind.max * kind.scale if direct else s.max(-1, keepdims=True)
    exact = np.exp((s - top) * scale)
    rounding = 0.0 if direct else np.expm1(scale * distance.scale / 2)
    assert (np.abs(e - exact) <= exact * rounding + 2.0**-17).all()
    assert e.min() > 0
    if not direct:
        assert (e.max(-1) == 1.0).all()


@pytest.mark.parametrize("kind", ["ufixed<11,4>", "ufixed<13,4>", "ufixed<14,3>"])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_exponential_of_a_split_distance(kind: str, scale: float) -> None:
    distance = Fixed.parse(kind)
    to = lowering(distance=distance)
    to.builder.input("s", (2,), Fixed(False, distance.width, distance.frac))
    to.builder.output(exponential(to, "s", scale, direct=False))
    graph = to.builder.build()
    raw = np.stack([np.full(distance.max + 1, distance.max), np.arange(distance.max + 1)], -1)
    found = run(graph, {"s": raw})["d/exp"]
    exact = np.exp(-distance.to_real(raw[:, :1] - raw) * scale)
    top = found.max()
    assert (np.abs(found / top - exact) <= 1.1 * 2.0**-17).all()
    assert (np.diff(found[:, 1]) >= 0).all()
    assert max(node.op.table.size for node in graph.nodes if isinstance(node.op, Lookup)) <= 128


def test_distances_saturate() -> None:
    to = lowering(distance=Fixed(False, 6, 4))
    to.builder.input("s", (2,), Fixed(True, 10, 4))
    to.builder.output(exponential(to, "s", 1.0, direct=False))
    graph = to.builder.build()
    e = run(graph, {"s": np.array([[0, -63], [0, -500]])})["d/exp"]
    assert e[0, 1] == e[1, 1]
