import numpy as np
import pytest

from gateformer.quant.errors import DataError
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import Linear
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.types import Fixed

KIND = Fixed(True, 30, 0)


def powers(times: int, kind: Fixed | None = KIND) -> Graph:
    builder = Builder("power")
    name = x = builder.input("x", (2,), kind)
    for step in range(times):
        name = builder.add(Mul(), name, x, name=f"p{step + 2}", layer="power")
    builder.output(name)
    return builder.build()


def test_wide_products_are_exact() -> None:
    raw = np.array([[KIND.max, KIND.min], [-3, 2]])
    found = run(powers(4), {"x": raw})["p5"]
    assert [[int(v) for v in row] for row in found] == [[int(v) ** 5 for v in row] for row in raw]


def test_narrow_results_are_int64() -> None:
    assert run(powers(1), {"x": np.array([[1, 2]])})["p2"].dtype == np.int64


def test_keep_returns_every_value() -> None:
    g = powers(2)
    assert set(run(g, {"x": np.ones((1, 2))}, keep=True)) == {"x", "p2", "p3"}
    assert set(run_reals(g, {"x": np.ones((1, 2))}, keep=True)) == {"x", "p2", "p3"}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "E610"),
        ({"x": np.zeros((1, 3))}, "E611"),
        ({"x": np.full((1, 2), KIND.max + 1)}, "E611"),
    ],
)
def test_bad_inputs(data: dict[str, np.ndarray], code: str) -> None:
    with pytest.raises(DataError, match=code):
        run(powers(1), data)


def test_composites_must_be_lowered_first() -> None:
    builder = Builder("n")
    x = builder.input("x", (2,), KIND)
    builder.output(builder.add(Linear(np.eye(2), None, (2,)), x, name="y", layer="y"))
    with pytest.raises(DataError, match="not lowered"):
        run(builder.build(), {"x": np.zeros((1, 2))})


def test_probe_sees_inputs_values_and_points() -> None:
    seen: dict[str, tuple[int, ...]] = {}
    builder = Builder("n")
    x = builder.input("x", (2,))
    builder.output(builder.add(Add(), x, x, name="y", layer="y"))
    run_reals(builder.build(), {"x": np.zeros((5, 2))}, lambda n, v: seen.update({n: v.shape}))
    assert seen == {"x": (5, 2), "y": (5, 2)}


def test_an_empty_batch_runs() -> None:
    assert run(powers(1), {"x": np.zeros((0, 2))})["p2"].shape == (0, 2)
