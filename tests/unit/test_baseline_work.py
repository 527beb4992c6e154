"""What the worker opens: networks by their files, decoders by their shape."""

from pathlib import Path

import numpy as np
import pytest

from gateformer.baselines.counting import operations
from gateformer.baselines.work import WORK, DecoderWork, NetworkWork
from gateformer.quant.errors import DataError
from gateformer.quant.expand import Attention, Linear
from gateformer.quant.expand.context import Types
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.models import load
from gateformer.quant.passes.fold_heads import fold_heads
from gateformer.quant.serialize import save
from gateformer.quant.types import Fixed


def small() -> Graph:
    """Give three tokens of two features an attention and a dense layer."""
    random = np.random.default_rng(1)

    def dyadic(*shape: int) -> np.ndarray:
        return random.integers(-7, 8, shape) / 8

    builder = Builder("small")
    x = builder.input("x", (3, 2))
    attention = Attention(
        2, dyadic(2, 2, 4), None, dyadic(2, 2, 4), None, dyadic(2, 2, 5), None,
        dyadic(2, 5, 6), None, 0.5,
    )  # fmt: skip
    y = builder.add(attention, x, x, x, name="mixed", layer="mixed")
    dense = Linear(dyadic(6, 7), dyadic(7), (7,))
    builder.output(builder.add(dense, y, name="dense", layer="dense"))
    return builder.build()


@pytest.fixture
def files(tmp_path: Path) -> NetworkWork:
    graph = small()
    inputs = np.random.default_rng(2).normal(size=(4, 3, 2))
    save(graph, tmp_path / "graph.json")
    np.savez(tmp_path / "inputs.npz", x=inputs)
    return NetworkWork("small", tmp_path / "graph.json", tmp_path / "inputs.npz")


def test_operations_are_twice_the_products_of_matrices_and_of_attention() -> None:
    queries, keys, values = 3 * 2 * 8, 3 * 2 * 8, 3 * 2 * 10
    scores, contexts, joining = 3 * 3 * 2 * 4, 3 * 3 * 2 * 5, 3 * 10 * 6
    dense = 3 * 6 * 7
    total = queries + keys + values + scores + contexts + joining + dense
    assert operations(small()) == 2 * total
    folded, _ = fold_heads(small())
    assert operations(folded) != operations(small())


def test_a_batch_beyond_the_file_begins_it_again(files: NetworkWork) -> None:
    longer = NetworkWork(files.name, files.graph, files.inputs, batch=6)
    reference = longer.reference()
    assert reference.shape == (6, 21)
    assert (reference[4:] == reference[:2]).all()


def test_exact_outputs_are_the_lowered_graph_s(files: NetworkWork, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="E612"):
        files.reference(exact=True)
    types = Types({"x": Fixed(True, 10, 6)}, default=Fixed(True, 14, 8))
    lowered = lower(small(), types)
    save(lowered, tmp_path / "lowered.json")
    both = NetworkWork(files.name, files.graph, files.inputs, 2, tmp_path / "lowered.json")
    exact, reals = both.reference(exact=True), both.reference()
    assert exact.shape == reals.shape
    assert 0 < np.abs(exact - reals).max() < 0.2 * np.abs(reals).max()


def test_work_survives_json(files: NetworkWork) -> None:
    decoder = DecoderWork(load("gpt2-small"), 128, 3, 2)
    for work in (files, decoder):
        assert WORK.validate_json(WORK.dump_json(work)) == work


def test_a_decoder_s_record_says_what_a_step_takes() -> None:
    decoder = load("gpt2-small")
    work = DecoderWork(decoder, 128, 3, 2)
    said = work.workload(5)
    assert (said.name, said.kind, said.batch, said.context) == ("gpt2-small", "decode", 2, 128)
    # The matrices of 12 blocks, the LM head, and attention to 129 tokens.
    assert said.operations == 2 * (12 * 12 * 768**2 + 50257 * 768 + 2 * 12 * 768 * 129)
    assert said.fingerprint != DecoderWork(decoder, 128, 4, 2).workload(5).fingerprint
    assert (work.tokens() == DecoderWork(decoder, 128, 3, 2).tokens()).all()
