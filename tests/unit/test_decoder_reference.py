"""A decoder's reference: its weights, its logits against one token at a time, its bytes."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from unit.decoder_shapes import GPT, LLAMA, SHAPES

from gateformer.baselines.decoders import reference
from gateformer.baselines.decoders.candidates import HALF, INTEGER
from gateformer.baselines.decoders.sizes import Storage, plain, refuse_parts, step_bytes
from gateformer.baselines.decoders.weights import EPSILON, THETA, Parameters, Weights
from gateformer.baselines.work import DecoderWork
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import BaselineError, DataError
from gateformer.quant.models import load

Array = NDArray[np.floating]


def token_by_token(work: DecoderWork) -> Array:
    """Return the logits in float64, each token decoded after the other, plainly written."""
    shape, weights = work.decoder, Weights(work.decoder, work.seed)
    outside, layers = weights.outside(), list(weights.layers())
    found = []
    for last in work.tokens():
        caches: list[list[tuple[Array, Array]]] = [[] for _ in layers]
        for place, token in enumerate([*weights.prompt(work.context), last]):
            x = outside["tokens"][token].astype(np.float64)
            if shape.positions == "learned":
                x = x + outside["positions"][place]
            for layer, cache in zip(layers, caches, strict=True):
                x = x + attend(shape, layer, cache, norm(shape, layer, "norm1", x), place)
                x = x + feed(shape, layer, norm(shape, layer, "norm2", x))
        found.append(outside["head"] @ norm(shape, outside, "norm", x))
    return np.array(found)


def norm(shape: Decoder, held: Parameters, name: str, x: Array) -> Array:
    if shape.norm == "rms":
        return x / math.sqrt((x * x).mean() + EPSILON) * held[f"{name}.weight"]
    scaled = (x - x.mean()) / math.sqrt(x.var() + EPSILON)
    return scaled * held[f"{name}.weight"] + held[f"{name}.bias"]


def product(layer: Parameters, name: str, x: Array) -> Array:
    return layer[f"{name}.weight"] @ x + layer.get(f"{name}.bias", 0)


def attend(
    shape: Decoder, layer: Parameters, cache: list[tuple[Array, Array]], x: Array, place: int
) -> Array:
    rows = product(layer, "qkv", x)
    query, key, value = np.split(rows, [shape.queries, shape.queries + shape.kv_width])
    query, key, value = (one.reshape(-1, shape.d_head) for one in (query, key, value))
    if shape.positions == "rotary":
        query, key = turn(query, place), turn(key, place)
    cache.append((key, value))
    heads = []
    for head in range(shape.heads):
        shared = head * shape.kv_heads // shape.heads
        scores = [query[head] @ keys[shared] / math.sqrt(shape.d_head) for keys, _ in cache]
        shares = np.exp(np.array(scores) - max(scores))
        shares /= shares.sum()
        parts = [share * one[shared] for share, (_, one) in zip(shares, cache, strict=True)]
        heads.append(sum(parts))
    return product(layer, "projection", np.concatenate(heads))


def turn(rows: Array, place: int) -> Array:
    half = rows.shape[1] // 2
    turned = rows.copy()
    for index in range(half):
        angle = place * THETA ** (-index / half)
        one, other = rows[:, index], rows[:, index + half]
        turned[:, index] = one * math.cos(angle) - other * math.sin(angle)
        turned[:, index + half] = other * math.cos(angle) + one * math.sin(angle)
    return turned


def feed(shape: Decoder, layer: Parameters, x: Array) -> Array:
    up = product(layer, "up", x)
    if shape.gated:
        gate = product(layer, "gate", x)
        return product(layer, "down", gate / (1 + np.exp(-gate)) * up)
    if shape.activation == "relu":
        return product(layer, "down", np.maximum(up, 0))
    inner = math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)
    return product(layer, "down", 0.5 * up * (1 + np.tanh(inner)))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("context", "batch"), [(0, 2), (11, 1), (11, 3)])
def test_logits_are_those_of_one_token_after_the_other(
    name: str, context: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "CHUNK", 4)
    work = DecoderWork(SHAPES[name], context, 5, batch)
    np.testing.assert_allclose(work.reference(), token_by_token(work), rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_tolerances_tell_another_cache_and_other_logits(name: str) -> None:
    right = DecoderWork(SHAPES[name], 20, 1).reference()
    largest = np.abs(right).max()
    late = DecoderWork(SHAPES[name], 19, 1).reference()
    assert np.abs(right - late).max() > max(HALF, INTEGER) * largest
    other = DecoderWork(SHAPES[name], 20, 2).reference()
    assert np.abs(right - other).max() > 0.9 * largest


@pytest.mark.parametrize("name", SHAPES)
def test_weights_are_all_there_and_drawn_alone_as_together(name: str) -> None:
    shape = SHAPES[name]
    weights = Weights(shape, 3)
    layers, outside = list(weights.layers()), weights.outside()
    assert weights.layer(1).keys() == layers[1].keys()
    assert all(np.array_equal(one, layers[1][key]) for key, one in weights.layer(1).items())
    assert not np.array_equal(layers[0]["up.weight"], layers[1]["up.weight"])
    assert not np.array_equal(Weights(shape, 4).layer(1)["up.weight"], layers[1]["up.weight"])
    if shape.tied:
        assert outside.pop("head") is outside["tokens"]
    total = sum(one.size for held in (*layers, outside) for one in held.values())
    assert total == shape.parameters


def test_bytes_of_a_step_are_counted_once_each() -> None:
    shape = load("gpt2-small")
    one = step_bytes(DecoderWork(shape, 128), plain(4))
    # All parameters, but of the position table (1,024 rows) one row; the token's row is read twice:
    # as a row of the table, and in the LM head.
    expected = shape.parameters - 1023 * 768 + 768 + shape.kv_elements * 129
    assert one == 4 * expected
    four = step_bytes(DecoderWork(shape, 128, batch=4), plain(4))
    assert four - one == 3 * 4 * (shape.kv_elements * 129 + 2 * 768)
    blocks = step_bytes(DecoderWork(shape, 0), Storage(32, 18, 4, 4, 2))
    matrices = shape.block_weights + shape.head.weights
    vectors = shape.layers * shape.block_parameters + shape.norm_parameters
    assert blocks == matrices * 18 // 32 + 4 * (vectors + 2 * 768) + 2 * shape.kv_elements


def test_the_context_ends_where_positions_do() -> None:
    assert DecoderWork(GPT, 63).reference().shape == (1, 301)
    with pytest.raises(DataError, match=r"E604 .*63 at most"):
        DecoderWork(GPT, 64).reference()
    assert np.isfinite(DecoderWork(LLAMA, 70).reference()).all()


def test_rows_that_end_inside_a_block_are_refused() -> None:
    refuse_parts(GPT, Storage(32, 18, 4, 4, 2))
    with pytest.raises(BaselineError, match=r"E851 .*blocks of 32"):
        refuse_parts(replace(GPT, d_ff=250), Storage(32, 18, 4, 4, 2))


def test_a_start_is_kept_whole_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = DecoderWork(LLAMA, 7, 1, 2, kept=tmp_path / "start.npz")
    first = reference.start(work)
    assert [path.name for path in tmp_path.iterdir()] == ["start.npz"]
    monkeypatch.setattr(reference, "_computed", lambda work: pytest.fail("computed again"))
    again = reference.start(work)
    for name in ("keys", "values", "logits"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert replace(work, kept=None).fingerprint() == work.fingerprint()
    coarse = work.stored("onnx int4")
    assert (coarse.fingerprint(), coarse.kept) == (
        work.fingerprint(), tmp_path / "start onnx int4.npz",
    )  # fmt: skip
