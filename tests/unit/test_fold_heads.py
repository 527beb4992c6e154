import numpy as np
import pytest

from gateformer.quant.execute import run_reals
from gateformer.quant.expand import Attention, FoldedAttention
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.passes.fold_heads import fold, fold_heads, tensor_multiplies


def network(size: int, masked: bool = False, causal: bool = False, bias: bool = True) -> Graph:
    rng = np.random.default_rng(0)

    def w(*shape: int) -> np.ndarray:
        return rng.integers(-30, 31, shape) / 64.0

    def b(*shape: int) -> np.ndarray | None:
        return w(*shape) if bias else None

    attention = Attention(
        2, w(4, 2, size), b(2, size), w(4, 2, size), b(2, size), w(4, 2, size), b(2, size),
        w(2, size, 4), b(4), size**-0.5, causal, masked,
    )  # fmt: skip
    builder = Builder("net")
    x = builder.input("x", (6, 4))
    mask = [builder.input("m", (6, 1), masks="x")] if masked else []
    builder.output(builder.add(attention, x, x, x, *mask, name="a", layer="a"))
    return builder.build()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_folding_changes_nothing_on_reals(masked: bool, causal: bool, bias: bool) -> None:
    graph = network(16, masked, causal, bias)
    folded, notes = fold_heads(graph)
    assert isinstance(folded.nodes[0].op, FoldedAttention)
    assert notes[0].detail.startswith("folded: 2304")
    rng = np.random.default_rng(1)
    data = {"x": rng.normal(size=(30, 6, 4))}
    if masked:
        data["m"] = (rng.random((30, 6, 1)) < 0.5).astype(np.float64)
        data["m"][0] = 0.0
    before, after = (run_reals(g, data)["a"] for g in (graph, folded))
    assert np.abs(before - after).max() < 1e-12
    assert folded.masks == graph.masks


def test_folding_is_gated_by_its_cost() -> None:
    graph = network(4)
    kept, notes = fold_heads(graph)
    assert isinstance(kept.nodes[0].op, Attention)
    assert notes[0].detail.startswith("kept: ")


def test_folding_can_be_turned_off() -> None:
    graph = network(16)
    assert fold_heads(graph, enabled=False) == (graph, ())


def test_multiplies_of_the_seeds_attention() -> None:
    zeros = np.zeros
    op = Attention(
        2, zeros((6, 2, 32)), None, zeros((6, 2, 32)), None, zeros((6, 2, 32)), None,
        zeros((2, 32, 6)), None, 1.0,
    )  # fmt: skip
    shapes = [(15, 6)] * 3
    assert tensor_multiplies(op, *shapes) * 3 == 86_400
    assert tensor_multiplies(fold(op), *shapes) * 3 == 16_200
