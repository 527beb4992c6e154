"""A small transformer on reals, as a frontend would import it, and inputs for it."""

from __future__ import annotations

from math import sqrt

import numpy as np

from gateformer.quant.expand import Attention, Elementwise, LayerNorm, Linear
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.layout import Reshape

T, F, D, H = 4, 3, 6, 2


def network(seed: int = 0, spread: float = 0.0, value: int = 4) -> Graph:
    """Embedding, one block, one dense head; ``spread`` pulls the ranges of features apart."""
    rng = np.random.default_rng(seed)

    def w(*shape: int) -> np.ndarray:
        return rng.normal(0.0, 1.0 / sqrt(shape[0]), shape)

    def norm() -> LayerNorm:
        gamma = np.exp2(rng.normal(0.0, 0.2 + spread, D))
        return LayerNorm(gamma, rng.normal(0.0, 0.1 + spread, D), 1e-3)

    def heads(size: int) -> tuple[np.ndarray, np.ndarray]:
        return w(D, H, size), rng.normal(0.0, 0.1, (H, size))

    attention = Attention(
        H, *heads(4), *heads(4), *heads(value), w(H, value, D) / H, w(D), 1 / sqrt(4)
    )
    builder = Builder("net")
    x = builder.input("x", (T, F))
    e = builder.add(Linear(w(F, D), w(D), (D,)), x, name="embed", layer="embed")
    n = builder.add(norm(), e, name="norm1", layer="norm1")
    a = builder.add(attention, n, n, n, name="attention", layer="attention")
    s = builder.add(Add(), e, a, name="add1", layer="add1")
    m = builder.add(norm(), s, name="norm2", layer="norm2")
    u = builder.add(Linear(w(D, 8), w(8), (8,)), m, name="up/linear", layer="up")
    g = builder.add(Elementwise("gelu"), u, name="up", layer="up")
    d = builder.add(Linear(w(8, D), w(D), (D,)), g, name="down", layer="down")
    s = builder.add(Add(), s, d, name="add2", layer="add2")
    f = builder.add(Reshape((T * D,)), s, name="flat", layer="flat")
    builder.output(builder.add(Linear(w(T * D, 3), w(3), (3,)), f, name="head", layer="head"))
    return builder.build()


def data(count: int = 200, seed: int = 1) -> dict[str, np.ndarray]:
    """Inputs; the same every time."""
    return {"x": np.random.default_rng(seed).normal(0.0, 1.0, (count, T, F))}
