"""Programs on banks of bits against a plain decoder in BF16: every token's logits, bit by bit.

The plain one knows lanes and tiles, but no address; the programs know nothing else.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from golden.pim_decoder import Plain

from gateformer.hw.pim import device
from gateformer.hw.pim.compile import Compiler
from gateformer.quant.decoder import Decoder
from gateformer.sim.pim.bulk import Bulk
from gateformer.sim.pim.data import Executor
from gateformer.sim.pim.splitting import bulk_of
from gateformer.sim.pim.vectors import AsicVectors
from gateformer.sim.pim.weights import Weights, random_weights

GPT = Decoder("gpt", 2, 48, 3, 3, 16, 192, 90, 64)
LLAMA = replace(
    GPT,
    heads=6,
    kv_heads=2,
    d_head=24,
    d_ff=300,
    norm="rms",
    activation="silu",
    gated=True,
    positions="rotary",
    bias_qkv=False,
    bias_projection=False,
    bias_ffn=False,
    tied=False,
    vocab=130,
    context=1200,
    epsilon=1e-6,
    base=100000.0,
)
SHAPES = {
    "gpt": GPT,
    "llama": LLAMA,
    "relu": replace(GPT, activation="relu", norm="rms", positions="none"),
    "gated gelu": replace(LLAMA, activation="gelu", norm="layer", bias_ffn=True, tied=True),
    "odd": replace(GPT, d_model=50, heads=5, kv_heads=1, d_head=10, d_ff=77, vocab=33),
    "two tiles": replace(LLAMA, layers=1, d_model=1100, heads=4, kv_heads=4, d_ff=1030),
}


def plain(decoder: Decoder, weights: Weights, **settings: int) -> Plain:
    return Plain(
        decoder,
        weights.blocks,
        weights.parameters,
        weights.head,
        weights.embedding,
        weights.positions,
        weights.final,
        **settings,
    )


def compiler(
    decoder: Decoder,
    mapping: str = "pim-gpt",
    *,
    parts: int = 1,
    channels: int = 2,
    v_batch: int = 1,
    sram: int = 131072,
    tokens: int = 64,
) -> Compiler:
    memory = device.with_(device.load("pim-gpt"), channels=channels)
    assert memory.asic is not None
    memory = replace(memory, asic=replace(memory.asic, sram_bytes=sram))
    return Compiler(
        decoder, memory, mapping, tokens=min(tokens, decoder.context), parts=parts, v_batch=v_batch
    )


def words_of(decoder: Decoder, count: int) -> list[int]:
    return np.random.default_rng(5).integers(0, decoder.vocab, count).tolist()


def agree(found: np.ndarray, expected: np.ndarray) -> bool:
    assert np.isfinite(expected).all()
    return np.array_equal(
        np.asarray(found, np.float32).view(np.uint32),
        np.asarray(expected, np.float32).view(np.uint32),
    )


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("mapping", ["pim-gpt", "interleaved"])
def test_every_shape(name: str, mapping: str) -> None:
    decoder = SHAPES[name]
    weights = random_weights(decoder)
    ours = Executor(compiler(decoder, mapping, parts=2, channels=2), weights)
    theirs = plain(decoder, weights)
    words = words_of(decoder, 3 if name == "two tiles" else 19)
    every = [theirs.token(word) for word in words]
    for position, word in enumerate(words):
        assert agree(ours.token(position, word), every[position])
    bulk = Bulk.like(ours.compiler, weights).logits(words)
    assert agree(bulk, np.array(every))
    slow = Executor(ours.compiler, weights, compiled=False)
    for position, word in enumerate(words[:2]):
        assert agree(slow.token(position, word), every[position])


@pytest.mark.parametrize("mapping", ["pim-gpt", "stream-k"])
@pytest.mark.parametrize("name", ["gpt", "llama"])
@pytest.mark.parametrize(("v_batch", "sram"), [(4, 131072), (16, 131072), (4, 5400)])
def test_values_that_wait(name: str, v_batch: int, sram: int, mapping: str) -> None:
    decoder = SHAPES[name]
    weights = random_weights(decoder)
    ours = Executor(compiler(decoder, mapping, v_batch=v_batch, sram=sram), weights)
    split = 2 if mapping == "stream-k" else 0
    theirs = plain(decoder, weights, v_batch=v_batch, channels=split)
    for position, word in enumerate(words_of(decoder, v_batch + 3)):
        assert agree(ours.token(position, word), theirs.token(word))


@pytest.mark.parametrize(
    ("name", "parts", "channels", "count"),
    [
        ("gpt", 1, 2, 40), ("gpt", 2, 1, 40), ("gpt", 3, 1, 40), ("llama", 2, 2, 50),
        ("odd", 1, 3, 40), ("relu", 1, 1, 20),
    ],
)  # fmt: skip
def test_keys_split_over_channels_and_chunks(
    name: str, parts: int, channels: int, count: int
) -> None:
    decoder = SHAPES[name]
    weights, words = random_weights(decoder), words_of(decoder, count)
    ours = Executor(compiler(decoder, "stream-k", parts=parts, channels=channels), weights)
    theirs = plain(decoder, weights, channels=channels, parts=parts)
    every = [theirs.token(word) for word in words]
    for position, word in enumerate(words):
        assert agree(ours.token(position, word), every[position])
    assert agree(bulk_of(ours.compiler, weights).logits(words), np.array(every))


def test_chunks_that_the_asic_s_memory_asks_for() -> None:
    """They come with the tokens: 300 of them, on one channel, as many as its scores fit."""
    decoder = replace(LLAMA, layers=1, d_model=16, heads=2, kv_heads=1, d_head=8, d_ff=16, vocab=20)
    weights, words = random_weights(decoder), words_of(decoder, 300)
    made = compiler(decoder, "stream-k", channels=1, tokens=300, sram=1172)
    attention, cache = made.lowering.attention, made.layout.caches[0]
    chunks = [len(attention.parts(cache, position)) for position in range(300)]
    assert chunks[0] == 1 and chunks[-1] > 3 and chunks == sorted(chunks)
    ours = Executor(made, weights)
    found = np.array([ours.token(position, word) for position, word in enumerate(words)])
    assert agree(bulk_of(made, weights).logits(words), found)


def test_more_tokens_than_the_buffer_holds() -> None:
    decoder = replace(LLAMA, layers=1, d_model=16, heads=1, kv_heads=1, d_head=8, d_ff=16, vocab=20)
    weights = random_weights(decoder)
    words = words_of(decoder, 1060)
    bulk = Bulk(decoder, weights, AsicVectors(16)).logits(words)
    ours = Executor(compiler(decoder, channels=1, tokens=1100), weights)
    theirs = plain(decoder, weights)
    for position, word in enumerate(words):
        expected = theirs.token(word)
        assert agree(ours.token(position, word), expected)
        assert agree(bulk[position], expected)


@pytest.mark.parametrize("settings", [{"lanes": 8}, {"tile": 32}])
def test_the_order_of_additions_is_part_of_it(settings: dict[str, int]) -> None:
    decoder = SHAPES["two tiles"]
    weights, words = random_weights(decoder), words_of(decoder, 3)
    usual, other = plain(decoder, weights), plain(decoder, weights, **settings)
    assert not all(agree(other.token(word), usual.token(word)) for word in words)
