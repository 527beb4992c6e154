"""Decoders by their shape: sizes of the known ones, their graph, and what is unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateformer.quant import models
from gateformer.quant.decoder import Linear, Norm, Rotate
from gateformer.quant.errors import PimError

MILLIONS = {
    "gpt2-small": (85, 124.4),
    "gpt2-medium": (302, 354.8),
    "gpt2-large": (708, 774.0),
    "gpt2-xl": (1475, 1557.6),
    "gpt3-small": (85, 125.2),
    "gpt3-medium": (302, 355.9),
    "gpt3-large": (679, 760.3),
    "gpt3-xl": (1208, 1315.7),
}
"""Block weights and all parameters; GPT-2's are those that its authors publish."""


@pytest.mark.parametrize("name", MILLIONS)
def test_sizes(name: str) -> None:
    decoder = models.load(name)
    weights, parameters = MILLIONS[name]
    assert round(decoder.block_weights / 1e6) == weights
    assert round(decoder.parameters / 1e6, 1) == parameters
    assert decoder.heads * decoder.d_head == decoder.d_model
    assert decoder.source


def test_all_are_known() -> None:
    assert models.names() == tuple(MILLIONS)


def test_the_contradiction_in_the_table_of_gpt3_xl_is_told() -> None:
    assert models.load("gpt3-xl").heads == 16
    assert "24 heads of 128" in models.notes("gpt3-xl")
    assert models.notes("gpt2-small") == ""


def test_an_unknown_model() -> None:
    with pytest.raises(PimError, match=r"E807 unknown model: 'gpt3-xxl'.*Did you mean 'gpt3-xl'"):
        models.load("gpt3-xxl")


def test_a_model_cut_to_its_first_layers() -> None:
    cut, whole = models.load("gpt2-small@4"), models.load("gpt2-small")
    assert (cut.name, cut.layers) == ("gpt2-small@4", 4)
    assert cut.block_weights * 3 == whole.block_weights
    assert cut.head == whole.head


@pytest.mark.parametrize("layers", ["", "0", "13", "-1", "04", "four", "4@2"])
def test_a_cut_that_a_model_does_not_have(layers: str) -> None:
    with pytest.raises(PimError, match=r"E807 unknown model: 'gpt2-small@.*1 to 12 layers"):
        models.load(f"gpt2-small@{layers}")


@pytest.mark.parametrize("name", MILLIONS)
def test_the_graph_is_in_an_order_in_which_it_can_be_done(name: str) -> None:
    done: set[str] = set()
    for one in models.load(name).operations():
        assert set(one.inputs) <= done, one
        assert one.name not in done
        done.add(one.name)


def test_the_graph_multiplies_every_weight() -> None:
    decoder = models.load("gpt2-medium")
    matrices = [one.matrix for one in decoder.operations() if isinstance(one, Linear)]
    assert sum(matrix.weights for matrix in matrices) == decoder.macs(0) - 2 * 24 * 1024


def test_llama_s_graph() -> None:
    decoder = replace(
        models.load("gpt2-small"),
        kv_heads=4,
        norm="rms",
        activation="silu",
        gated=True,
        positions="rotary",
        bias_qkv=False,
        bias_projection=False,
        bias_ffn=False,
        tied=False,
    )
    block = decoder.block()
    assert [one.width for one in block if isinstance(one, Rotate)] == [768 + 4 * 64]
    assert {one.kind for one in block if isinstance(one, Norm)} == {"rms"}
    assert decoder.block_parameters == 2 * 768
    assert decoder.matrices[0].outputs == 768 + 2 * 256
    assert decoder.matrices[2].outputs == 2 * 3072
    assert decoder.kv_elements == 12 * 2 * 256


def test_macs_grow_with_the_context() -> None:
    decoder = models.load("gpt3-xl")
    assert decoder.macs(1) - decoder.macs(0) == 2 * 24 * 2048
    assert decoder.macs(7) - decoder.macs(7, logits=False) == 50257 * 2048
