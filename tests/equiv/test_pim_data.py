"""Numbers in the memory: programs on real banks against a transformer in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gateformer.hw.pim import device, functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.device import with_
from gateformer.hw.pim.mapping import names
from gateformer.hw.pim.program import AsicWork
from gateformer.hw.pim.shares import Share, merged
from gateformer.quant.decoder import Decoder
from gateformer.sim.pim import attending
from gateformer.sim.pim.bulk import Bulk
from gateformer.sim.pim.data import Executor
from gateformer.sim.pim.weights import Weights, quantized, random_weights

GPT = Decoder("gpt", 2, 48, 3, 3, 16, 192, 90, 64)
LLAMA = replace(
    GPT,
    heads=6,
    kv_heads=2,
    d_head=24,
    d_ff=1300,
    norm="rms",
    activation="silu",
    gated=True,
    positions="rotary",
    bias_qkv=False,
    bias_projection=False,
    bias_ffn=False,
    tied=False,
    vocab=300,
    context=1200,
)
OPT = replace(GPT, activation="relu", d_model=1100, heads=11, kv_heads=11, d_head=100, layers=1)

WIDE = replace(GPT, layers=1, d_ff=4000)
TWO_TILES = replace(LLAMA, layers=1, d_model=72, d_ff=2100, tied=True)


def truth(decoder: Decoder, weights: Weights, words: list[int]) -> np.ndarray:
    """The same decoder in float64, all tokens at once; logits of each."""
    n, width = len(words), decoder.d_head
    x = weights.embedding[words].astype(float)
    if decoder.positions == "learned":
        x = x + weights.positions[:n]

    def norm(x: np.ndarray, own: np.ndarray) -> np.ndarray:
        if decoder.norm == "layer":
            x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-5) * own[: decoder.d_model]
        return x + own[decoder.d_model :] if decoder.norm == "layer" else x

    for block, parameters in zip(weights.blocks, weights.parameters, strict=True):
        own = np.split(parameters, np.cumsum([decoder.norm_parameters] * 2))
        biases, place = {}, 0
        for matrix in decoder.matrices:
            size = matrix.outputs if matrix.bias else 0
            biases[matrix.name] = own[2][place : place + size] if size else 0.0
            place += size

        def linear(
            name: str,
            x: np.ndarray,
            block: object = block,
            biases: dict[str, object] = biases,
        ) -> np.ndarray:
            return x @ block[name].T.astype(float) + biases[name]  # type: ignore[index]

        qkv = linear("qkv", norm(x, own[0]))
        q, k, v = np.split(qkv, [decoder.queries, decoder.queries + decoder.kv_width], 1)
        q, k, v = (one.reshape(n, -1, width) for one in (q, k, v))
        if decoder.positions == "rotary":
            half = width // 2
            angles = np.arange(n)[:, None, None] * 10000.0 ** (-np.arange(half) / half)

            def turn(one: np.ndarray, angles: np.ndarray = angles, half: int = half) -> np.ndarray:
                a, b = one[..., :half], one[..., half:]
                c, s = np.cos(angles), np.sin(angles)
                return np.concatenate([a * c - b * s, b * c + a * s], -1)

            q, k = turn(q), turn(k)
        shared = decoder.heads // decoder.kv_heads
        k, v = k.repeat(shared, 1), v.repeat(shared, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(width)
        scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + linear("projection", np.einsum("hqk,khd->qhd", p, v).reshape(n, -1))
        hidden = linear("up", norm(x, own[1]))
        gate, other = (hidden[:, 0::2], hidden[:, 1::2]) if decoder.gated else (hidden, 1.0)
        if decoder.activation == "relu":
            gate = np.maximum(gate, 0)
        elif decoder.activation == "silu":
            gate = gate / (1 + np.exp(-gate))
        else:
            gate = gate / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
        x = x + linear("down", gate * other)
    return norm(x, weights.final) @ weights.head.T.astype(float)


def words_of(decoder: Decoder, count: int) -> list[int]:
    return np.random.default_rng(5).integers(0, decoder.vocab, count).tolist()


def run(
    decoder: Decoder,
    mapping: str,
    parts: int,
    channels: int,
    words: list[int],
    v_batch: int = 1,
    sram: int = 131072,
) -> np.ndarray:
    memory = device.with_(device.load("pim-gpt"), channels=channels)
    assert memory.asic is not None
    memory = replace(memory, asic=replace(memory.asic, sram_bytes=sram))
    tokens = min(decoder.context, 200)
    compiler = Compiler(decoder, memory, mapping, tokens=tokens, parts=parts, v_batch=v_batch)
    assert (compiler.layout.staging is not None) == (sram < 10000)
    executor = Executor(compiler, random_weights(decoder))
    return np.array([executor.token(position, word) for position, word in enumerate(words)])


@pytest.mark.parametrize("mapping", names())
@pytest.mark.parametrize(
    ("decoder", "count", "channels"),
    [(GPT, 30, 1), (LLAMA, 10, 2), (OPT, 3, 8)],
    ids=["gpt", "llama", "opt"],
)
def test_logits_are_the_transformer_s(
    decoder: Decoder, count: int, channels: int, mapping: str
) -> None:
    words = words_of(decoder, count)
    expected = truth(decoder, random_weights(decoder), words)
    found = run(decoder, mapping, 1, channels, words)
    assert np.abs(found - expected).max() <= 0.03 * np.abs(expected).max()
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.9


@pytest.mark.parametrize("decoder", [GPT, LLAMA], ids=["gpt", "llama"])
def test_parts_and_single_banks_change_no_bit(decoder: Decoder) -> None:
    words = words_of(decoder, 6)
    whole = run(decoder, "pim-gpt", 1, 2, words)
    assert np.array_equal(run(decoder, "pim-gpt", 2, 2, words), whole)
    assert np.array_equal(run(decoder, "interleaved", 1, 2, words), whole)


def test_keys_split_over_chunks_are_merged() -> None:
    words = words_of(GPT, 40)
    expected = truth(GPT, random_weights(GPT), words)
    found = run(GPT, "stream-k", 2, 1, words)
    assert np.abs(found - expected).max() <= 0.03 * np.abs(expected).max()


@pytest.mark.parametrize("mapping", names())
@pytest.mark.parametrize(
    ("decoder", "v_batch", "sram"),
    [(GPT, 4, 131072), (LLAMA, 4, 131072), (GPT, 16, 5000)],
    ids=["gpt", "llama", "staged"],
)
def test_values_that_wait_are_weighted_all_the_same(
    decoder: Decoder, v_batch: int, sram: int, mapping: str
) -> None:
    words = words_of(decoder, v_batch + 3)
    expected = truth(decoder, random_weights(decoder), words)
    found = run(decoder, mapping, 2, 2, words, v_batch, sram)
    assert np.abs(found - expected).max() <= 0.03 * np.abs(expected).max()


class Masked(Executor):
    """Multiplies all columns, with zeros in those that another program would skip."""

    def __init__(self, compiler: Compiler, weights: Weights, keep: float) -> None:
        super().__init__(compiler, weights)
        self.keep = keep

    def _activated(self, x: np.ndarray) -> np.ndarray:
        found = super()._activated(x)
        widest, lanes = self.layout.grid.widest, self.layout.grid.lanes
        for first in range(0, len(found), widest):
            tile = found[first : first + widest]
            columns = -(-len(tile) // lanes)
            sums = np.array([np.abs(tile[i * lanes :][:lanes]).sum() for i in range(columns)])
            order = np.argsort(-to_bf16(sums.astype(np.float32)), kind="stable")
            for dropped in order[max(1, int(np.ceil(columns * self.keep))) :]:
                tile[dropped * lanes : (dropped + 1) * lanes] = 0
        return found


@pytest.mark.parametrize("mapping", names())
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("keep", [0.6, 0.25, 0.01])
@pytest.mark.parametrize("decoder", [GPT, LLAMA, OPT], ids=["gpt", "llama", "opt"])
def test_skipped_columns_are_as_good_as_zeros(
    decoder: Decoder, keep: float, parts: int, mapping: str
) -> None:
    words = words_of(decoder, 3)
    logits = []
    for skip in (True, False):
        compiler = Compiler(
            decoder,
            device.with_(device.load("pim-gpt"), channels=2 if decoder is not OPT else 8),
            mapping,
            tokens=8,
            parts=parts,
            ffn_keep=keep if skip else 1.0,
        )
        weights = random_weights(decoder)
        executor = Executor(compiler, weights) if skip else Masked(compiler, weights, keep)
        logits.append([executor.token(place, word) for place, word in enumerate(words)])
        if skip and mapping != "stream-k":
            together = Bulk.like(compiler, weights).logits(words)
            assert np.array_equal(together, logits[0])
    assert np.array_equal(*logits)
    whole = run(decoder, mapping, parts, 2 if decoder is not OPT else 8, words)
    assert not np.array_equal(logits[0], whole)


def test_what_holds_no_data_is_refused() -> None:
    memory = device.load("pim-gpt")
    for changes in ({"weights": "int8", "ffn_keep": 0.5}, {"batch": 2}):
        compiler = Compiler(GPT, memory, tokens=20, **changes)
        with pytest.raises(ValueError, match="one sequence"):
            Executor(compiler, random_weights(GPT))


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_a_matrix_of_several_tiles_is_rescaled_as_the_asic_s_unit_does(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``down`` has two tiles, each in a part of its own; sums, scales and steps are the banks'."""
    memory = device.with_(device.load("pim-rtl"), channels=2)
    compiler = Compiler(WIDE, memory, tokens=4, weights=weights, parts=2)
    numbers = quantized(random_weights(WIDE), weights)
    executor = Executor(compiler, numbers)
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    made: list[tuple[int, np.ndarray | None, np.ndarray]] = []
    rescaled, added = functions.rescaled, functions.added

    def scale(sums: np.ndarray, scales: np.ndarray, step: np.ndarray) -> np.ndarray:
        seen.append((sums, scales, step))
        return rescaled(sums, scales, step)

    def add(tiles: list[np.ndarray], bias: np.ndarray | None = None) -> np.ndarray:
        made.append((len(tiles), bias, found := added(tiles, bias)))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(functions, "rescaled", scale)
        patch.setattr(functions, "added", add)
        executor.token(0, 7)
    assert sorted({tiles for tiles, _, _ in made}) == [1, 2]
    left = iter(seen)
    for tiles, bias, found in made:
        own = [next(left) for _ in range(tiles)]
        sums, steps = np.array([one for one, _, _ in own]), np.array([one[2] for one in own])
        unit = functions.rescale(sums, own[0][1], steps, bias)
        assert np.array_equal(unit.view(np.uint32), found.view(np.uint32))
    assert next(left, None) is None


@pytest.mark.parametrize("compiled", [None, False], ids=["compiled", "numpy"])
@pytest.mark.parametrize("mapping", names())
@pytest.mark.parametrize("weights", ["int8", "int4"])
@pytest.mark.parametrize("decoder", [GPT, LLAMA, TWO_TILES], ids=["gpt", "llama", "tiles"])
def test_whole_numbers_are_exact(
    decoder: Decoder, weights: str, mapping: str, compiled: bool | None
) -> None:
    memory = device.with_(device.load("pim-gpt"), channels=2)
    compiler = Compiler(decoder, memory, mapping, tokens=20, weights=weights, parts=2)
    numbers = quantized(random_weights(decoder), weights)
    executor = Executor(compiler, numbers, compiled)
    words = words_of(decoder, 2 if compiled is False else 5)
    found = np.array([executor.token(place, word) for place, word in enumerate(words)])
    if mapping == "stream-k":  # keys are split, so rounding differs
        other = Compiler(decoder, memory, "pim-gpt", tokens=20, weights=weights)
        assert np.abs(found - Bulk.like(other, numbers).logits(words)).max() < 0.2
    else:
        assert np.array_equal(found, Bulk.like(compiler, numbers).logits(words))
    true = truth(decoder, random_weights(decoder), words)
    size = {"int8": 0.08, "int4": 0.5}[weights]
    assert np.abs(found - true).max() <= size * np.abs(true).max()


@pytest.mark.parametrize("v_batch", [1, 4])
def test_shares_are_priced_as_they_are_merged(
    v_batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel without keys has none, in the program as in the numbers."""
    counts: list[int] = []

    def counted(shares: Sequence[Share]) -> np.ndarray:
        counts.append(len(shares))
        return merged(shares)

    monkeypatch.setattr(attending, "merged", counted)
    memory = with_(device.load("pim-gpt"), channels=4)
    compiler = Compiler(GPT, memory, "stream-k", tokens=40, v_batch=v_batch)
    ours = Executor(compiler, random_weights(GPT))
    found = []
    for position, word in enumerate(words_of(GPT, 40)):
        counts.clear()
        ours.token(position, word)
        priced = [
            (step.work.vectors, step.work.elements)
            for step in compiler.token(position).steps
            if isinstance(step.work, AsicWork) and step.work.unit == "merge"
        ]
        assert [(one // GPT.heads, all_of // GPT.queries) for one, all_of in priced] == [
            (one, one) for one in counts
        ]
        found.append(counts[0])
    assert found[0] == 1 and max(found) == 3 + (v_batch > 1)
