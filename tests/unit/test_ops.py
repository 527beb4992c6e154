import numpy as np
import pytest

import gateformer.quant.expand  # noqa: F401 - fills the registry
from gateformer.quant.errors import ModelError
from gateformer.quant.graph import Builder
from gateformer.quant.ops.base import REGISTRY, Composite, Primitive, Value
from gateformer.quant.ops.cast import Cast, round_shift
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Reshape, Slice, Transpose
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.normalize import Normalize, Shift, leading_zeros
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed, Overflow, Rounding

EIGHT = Fixed(True, 8, 4)


def value(shape: tuple[int, ...], kind: Fixed = EIGHT) -> Value:
    return Value("x", shape, "x", kind)


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        (Dense(np.ones((2, 3), np.int64), 0, np.zeros(2, np.int64), 0, (2,)), [(5, 4)]),
        (Add(), [(5, 4), (5, 3)]),
        (Mul(), [(5, 4), (4,)]),
        (Reshape((7,)), [(2, 3)]),
        (Transpose((0, 0)), [(2, 3)]),
        (Slice(1, 5), [(2, 3)]),
        (Concat(), [(2, 3), (3, 3)]),
        (MatMul("features"), [(2, 1, 3), (2, 1, 4)]),
        (MatMul("tokens"), [(2, 3, 4), (4, 2, 4)]),
        (Reduce("sum", "tokens"), [(4,)]),
        (Shift(EIGHT), [(2, 3), (2, 2)]),
        (Lookup(np.zeros((4, 2), np.int64), 0), [(2, 3)]),
    ],
)
def test_shapes_that_do_not_fit(op: Primitive, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ModelError, match="E110"):
        op.shape(*shapes)


def test_dense_range_is_attained() -> None:
    weight = np.array([[3, -5], [0, 7]])
    dense = Dense(weight, 2, np.array([1, -1]), 0, (2,))
    found = dense.infer(value((2,)))
    corners = np.array([[[a, b]] for a in (-128, 127) for b in (-128, 127)]).reshape(4, 2)
    results = dense.execute((EIGHT,), corners)
    assert found.lo.tolist() == results.min(0).tolist()
    assert found.hi.tolist() == results.max(0).tolist()


def test_square_is_not_negative() -> None:
    x = value((3,))
    assert (Mul().infer(x, x).lo >= 0).all()


def test_table_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ModelError, match="entries"):
        Lookup(np.zeros(16, np.int64), 0).infer(value((3,)))


def test_leading_one_needs_an_unsigned_operand() -> None:
    with pytest.raises(ModelError, match="unsigned"):
        Normalize().infer(value((3,)))


def test_leading_zeros_of_zero_are_those_of_one() -> None:
    assert leading_zeros(np.array([0, 1, 2, 255]), 8).tolist() == [7, 7, 6, 0]


def test_rounding_modes_differ_on_halves() -> None:
    raw = np.array([-6, -5, -3, -2, 2, 3, 5, 6])
    assert round_shift(raw, 2, Rounding.TRN).tolist() == [-2, -2, -1, -1, 0, 0, 1, 1]
    assert round_shift(raw, 2, Rounding.RND).tolist() == [-1, -1, -1, 0, 1, 1, 1, 2]
    assert round_shift(raw, 2, Rounding.RND_CONV).tolist() == [-2, -1, -1, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("drop", [-80, -40, 70])
def test_a_cast_to_a_place_far_away(drop: int, rounding: Rounding) -> None:
    """Shifts of more bits than int64 has: the result saturates, or nothing is left."""
    raw = np.array([-(2**29), 0, 2**29 - 1])
    op = Cast(Fixed(True, 8, 12 - drop), rounding)
    found = op.execute((Fixed(True, 30, 12),), raw)
    lost = -1 if rounding is Rounding.TRN else 0
    assert found.tolist() == ([lost, 0, 0] if drop > 0 else [-128, 0, 127])


def test_wrapping_cast_keeps_a_range_that_fits() -> None:
    small = Value("x", (2,), "x", EIGHT, np.array([-3, 0]), np.array([3, 7]))
    found = Cast(Fixed(True, 4, 4), Rounding.TRN, Overflow.WRAP).infer(small)
    assert (found.lo.tolist(), found.hi.tolist()) == ([-3, 0], [3, 7])


def test_primitives_agree_with_their_reals() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(-128, 128, (4, 2, 3)), rng.integers(-128, 128, (4, 2, 3))
    for op in (Add(), Add(subtract=True), Mul(), Concat()):
        found = op.infer(value((2, 3)), value((2, 3)))
        raw = op.execute((EIGHT, EIGHT), a, b)
        real = op.reference(EIGHT.to_real(a), EIGHT.to_real(b), probe=lambda *_: None)
        assert (found.type.to_real(raw) == real).all()


def test_errors_name_the_layer() -> None:
    builder = Builder("n")
    x = builder.input("x", (2, 3), EIGHT)
    with pytest.raises(ModelError, match="block1"):
        builder.add(Reshape((7,)), x, name="y", layer="block1")


def test_registry_holds_every_operation() -> None:
    kinds = {k for k in REGISTRY.values() if hasattr(k, "__dataclass_fields__")}
    assert {Dense, Cast, Lookup, MatMul} <= kinds
    assert all(issubclass(k, Primitive | Composite) for k in kinds)
