"""Adder graphs: every solver gives the matrix's product, and a cache gives the same graph."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateformer.hw import cmvm
from gateformer.quant.types import IntArray

Solver = Literal["auto", "da4ml", "csd"]
SOLVERS = [
    "csd",
    pytest.param(
        "da4ml",
        marks=pytest.mark.skipif(find_spec("da4ml") is None, reason="da4ml is not installed"),
    ),
]
RNG = np.random.default_rng(5)
MATRICES = {
    "random": RNG.integers(-127, 128, (6, 9)),
    "wide": RNG.integers(-(1 << 20), 1 << 20, (3, 5)),
    "huge": RNG.integers(-(1 << 40), 1 << 40, (3, 4)),
    "sparse": RNG.integers(-7, 8, (8, 8)) * (RNG.random((8, 8)) < 0.2),
    "ternary": RNG.integers(-1, 2, (7, 7)),
    "negative": -RNG.integers(1, 64, (4, 4)),
    "powers": 1 << RNG.integers(0, 12, (5, 5)),
    "even": 8 * RNG.integers(-9, 10, (4, 6)),
    "equal_rows": np.repeat(RNG.integers(-99, 99, (1, 6)), 4, axis=0),
    "opposite_rows": np.array([[3, -5, 7], [-3, 5, -7], [6, -10, 14]]),
    "identity": np.eye(5, dtype=np.int64),
    "zero": np.zeros((3, 4), np.int64),
    "zero_rows": np.array([[0, 0], [5, -3], [0, 0]]),
    "one_by_one": np.array([[-13]]),
    "row": RNG.integers(-99, 99, (1, 30)),
    "column": RNG.integers(-99, 99, (30, 1)),
}


def product(graph: cmvm.AdderGraph, x: list[int]) -> list[int]:
    """A graph's outputs in exact halves, as its record defines them."""
    terms = [(value, 0) for value in x]
    for a, b, shift, subtract in graph.steps:
        (va, ea), (vb, eb) = terms[a], (terms[b][0], terms[b][1] + shift)
        base = min(ea, eb)
        left, right = va << (ea - base), vb << (eb - base)
        terms.append((left - right if subtract else left + right, base))
    found = []
    for term, shift, negate in graph.outputs:
        value, power = (0, 0) if term < 0 else (terms[term][0], terms[term][1] + shift)
        whole = value << power if power >= 0 else value >> -power
        assert power >= 0 or whole << -power == value
        found.append(-whole if negate else whole)
    return found


def check(matrix: IntArray, graph: cmvm.AdderGraph) -> None:
    rng = np.random.default_rng(1)
    size = matrix.shape[1]
    vectors = [[0] * size, [1] * size, [-128] * size, *np.eye(size, dtype=np.int64).tolist()]
    vectors += rng.integers(-128, 128, (5, size)).tolist()
    assert graph.inputs == size
    for x in vectors:
        expected = [sum(int(w) * v for w, v in zip(row, x, strict=True)) for row in matrix.tolist()]
        assert product(graph, x) == expected


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", MATRICES)
def test_solved_graphs_compute_the_matrix(name: str, solver: Solver) -> None:
    check(MATRICES[name], cmvm.solve(MATRICES[name], solver))


@settings(max_examples=60)
@given(st.data())
def test_canonical_digits_on_any_matrix(data: st.DataObject) -> None:
    outputs, inputs = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    weights = st.integers(-(1 << 45), 1 << 45) | st.integers(-3, 3)
    rows = data.draw(st.lists(st.lists(weights, min_size=inputs, max_size=inputs),
                              min_size=outputs, max_size=outputs))  # fmt: skip
    check(np.array(rows), cmvm.csd(np.array(rows)))


@given(st.integers(-(1 << 60), 1 << 60))
def test_canonical_digits_are_sparse(value: int) -> None:
    found = cmvm.digits(value)
    assert sum((-1) ** negate << shift for shift, negate in found) == value
    shifts = [shift for shift, _ in found]
    assert all(b - a >= 2 for a, b in pairwise(shifts))


@pytest.mark.skipif(find_spec("da4ml") is None, reason="da4ml is not installed")
def test_da4ml_saves_adders() -> None:
    for name in ("random", "wide", "ternary", "negative", "equal_rows", "row", "column"):
        matrix = MATRICES[name]
        assert len(cmvm.solve(matrix, "da4ml").steps) < len(cmvm.csd(matrix).steps), name


@pytest.mark.skipif(find_spec("da4ml") is None, reason="da4ml is not installed")
@pytest.mark.parametrize("kind", [object, np.int32, np.int8])
@pytest.mark.parametrize("solver", SOLVERS)
def test_integers_of_any_dtype_have_the_same_graph(solver: Solver, kind: type) -> None:
    matrix = np.array([[-2, -3], [1, -1], [2, 0], [0, 2]])
    assert cmvm.solve(matrix.astype(kind), solver) == cmvm.solve(matrix, solver)
    turned = np.asfortranarray(matrix)
    assert cmvm.solve(turned, solver) == cmvm.solve(matrix, solver)


def test_a_cache_gives_the_same_graph(tmp_path: Path) -> None:
    matrix, cache = MATRICES["random"], tmp_path / "adders"
    first = cmvm.solve(matrix, "auto", cache)
    (file,) = cache.iterdir()
    written = file.read_bytes()
    assert cmvm.solve(matrix, "auto", cache) == first == cmvm.solve(matrix)
    assert file.read_bytes() == written
    cmvm.solve(MATRICES["wide"], "auto", cache)
    assert len(list(cache.iterdir())) == 2


DAMAGE = {
    "empty": "",
    "truncated": '{"inputs": 9, "ste',
    "another": json.dumps({"inputs": 9, "steps": [], "outputs": [[0, 0, False]] * 6}),
    "keys": "{}",
    "list": "[1, 2]",
    "wild": json.dumps({"inputs": 9, "steps": [[400, 2, 0, False]], "outputs": [[9, 0, 0]] * 6}),
}


@pytest.mark.skipif(find_spec("da4ml") is None, reason="da4ml is not installed")
@pytest.mark.parametrize("text", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cache_file_is_solved_again(text: str, tmp_path: Path) -> None:
    matrix = MATRICES["random"]
    graph = cmvm.solve(matrix, "auto", tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_text(text)
    assert cmvm.solve(matrix, "auto", tmp_path) == graph
    assert file.read_bytes() == whole
