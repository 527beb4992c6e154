"""Layouts: every number stands in one place, and nothing else does; capacity."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateformer.hw.pim import device
from gateformer.hw.pim.layout import Address, Layout
from gateformer.hw.pim.mapping import names, policy
from gateformer.hw.pim.placing import lay
from gateformer.quant import models
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, PimError, Problems

PIM_GPT = device.load("pim-gpt")
TINY = Decoder("tiny", 2, 48, 3, 3, 16, 80, 37, 200)


@st.composite
def decoders(draw: st.DrawFn) -> Decoder:
    kv_heads = draw(st.integers(1, 5))
    queries = draw(st.integers(1, 3))
    return Decoder(
        name="drawn",
        layers=draw(st.integers(1, 3)),
        d_model=draw(st.integers(1, 150)),
        heads=kv_heads * queries,
        kv_heads=kv_heads,
        d_head=draw(st.integers(1, 40)),
        d_ff=draw(st.integers(1, 1300)),
        vocab=draw(st.integers(1, 300)),
        context=draw(st.integers(1, 1100)),
        norm=draw(st.sampled_from(["layer", "rms"])),
        gated=draw(st.booleans()),
        positions=draw(st.sampled_from(["learned", "rotary"])),
        bias_ffn=draw(st.booleans()),
        tied=draw(st.booleans()),
    )


def grid_of(*shape: int) -> tuple[np.ndarray, ...]:
    return tuple(one.ravel() for one in np.indices(shape))


def columns_of(layout: Layout, where: Address, lanes: int) -> set[int]:
    """Check that numbers are apart and inside; return their columns, numbered through."""
    grid = layout.grid
    for values, most in (
        (where.channel, grid.channels),
        (where.bank, grid.banks),
        (where.row, grid.rows),
        (where.column, grid.columns),
        (where.lane, lanes),
    ):
        assert values.min() >= 0
        assert values.max() < most
    place = where.channel
    for values, size in (
        (where.bank, grid.banks),
        (where.row, grid.rows),
        (where.column, grid.columns),
    ):
        place = place * size + values
    numbers = place * lanes + where.lane
    assert len(np.unique(numbers)) == len(numbers)
    return set(np.unique(place).tolist())


def block_regions(layout: Layout) -> dict[str, tuple[Address, int]]:
    grid, decoder = layout.grid, layout.decoder
    found = {}
    for name, placed in layout.matrices.items():
        outputs, inputs = grid_of(placed.matrix.outputs, placed.matrix.inputs)
        found[name] = (placed.where(outputs, inputs), grid.weights)
    striped = {"parameters": layout.parameters, "staging": layout.staging}
    for name, table in striped.items():
        if table is not None:
            found[name] = (table.where(*grid_of(table.vectors, table.width)), grid.lanes)
    for number, cache in enumerate(layout.caches):
        elements = grid_of(layout.tokens, decoder.kv_heads, decoder.d_head)
        found[f"keys{number}"] = (cache.where_key(*elements), grid.lanes)
        found[f"values{number}"] = (cache.where_value(*elements), grid.lanes)
    return found


def outer_regions(layout: Layout) -> dict[str, tuple[Address, int]]:
    grid = layout.grid
    head = layout.head.matrix
    found = {"head": (layout.head.where(*grid_of(head.outputs, head.inputs)), grid.weights)}
    tables = {
        "embedding": layout.embedding,
        "positions": layout.positions,
        "final": layout.final,
    }
    for name, table in tables.items():
        if table is not None:
            found[name] = (table.where(*grid_of(table.vectors, table.width)), grid.lanes)
    return found


@settings(max_examples=40, deadline=None)
@given(
    decoders(),
    st.sampled_from(names()),
    st.sampled_from([1, 2, 3, 8, 64]),
    st.sampled_from(["bf16", "int8", "int4"]),
    st.integers(1, 2),
    st.sampled_from([1, 4]),
    st.sampled_from(device.names()),
)
def test_every_number_stands_in_one_place(
    decoder: Decoder, mapping: str, channels: int, weights: str, batch: int, v_batch: int, name: str
) -> None:
    memory = device.with_(device.load(name), channels=channels)
    layout = lay(decoder, memory, mapping, None, batch, weights, v_batch)
    taken: set[int] = set()
    for region, (where, lanes) in block_regions(layout).items():
        columns = columns_of(layout, where, lanes)
        assert where.row.max() < layout.stride, region
        assert taken.isdisjoint(columns), region
        taken |= columns
    first = decoder.layers * layout.stride
    taken = set()
    for region, (where, lanes) in outer_regions(layout).items():
        columns = columns_of(layout, where, lanes)
        assert where.row.min() >= first, region
        assert where.row.max() < layout.rows, region
        assert taken.isdisjoint(columns), region
        taken |= columns


@pytest.mark.parametrize("mapping", names())
@pytest.mark.parametrize("name", models.names())
def test_the_known_models_fit_with_1024_tokens(name: str, mapping: str) -> None:
    layout = lay(models.load(name), PIM_GPT, mapping, 1024)
    decoder = models.load(name)
    assert layout.rows <= layout.grid.rows
    assert layout.weight_bytes + layout.cache_bytes == layout.rows * layout.row_bytes
    numbers = decoder.parameters * 2 / layout.grid.channels
    assert numbers <= layout.weight_bytes <= 1.12 * numbers
    cache = decoder.kv_elements * 1024 * 2 / layout.grid.channels
    assert cache <= layout.cache_bytes <= 1.5 * cache


def test_the_rows_that_the_docs_state() -> None:
    docs = Path(__file__).parents[2] / "docs" / "pim_decisions.md"
    rows = lay(models.load("gpt2-xl"), PIM_GPT, tokens=1024).rows
    assert f"gpt2-xl needs {rows:,} of" in docs.read_text(encoding="utf-8")


def test_vectors_are_packed_without_gaps() -> None:
    up = lay(models.load("gpt2-small"), PIM_GPT, tokens=64).matrices["up"]
    assert up.end - up.tiles[0].start == 3072 // 128 * 48
    down = lay(models.load("gpt2-large"), PIM_GPT, tokens=64).matrices["qkv"]
    assert [(tile.first, tile.inputs, tile.columns) for tile in down.tiles] == [
        (0, 1024, 64),
        (1024, 256, 16),
    ]


def test_whole_numbers_take_less_room() -> None:
    decoder = models.load("gpt3-xl")
    rows = [lay(decoder, PIM_GPT, weights=one).matrices["down"] for one in ("bf16", "int8", "int4")]
    sizes = [placed.end - placed.tiles[0].start for placed in rows]
    assert sizes[0] == 2 * sizes[1] == 4 * sizes[2]


def test_keys_are_row_major_and_values_column_major() -> None:
    layout = lay(models.load("gpt2-medium"), PIM_GPT, tokens=1024)
    cache = layout.caches[0]
    heads, dims = grid_of(16, 64)
    key = cache.where_key(np.full(1024, 5), heads, dims)
    assert len(set(zip(key.channel, key.bank, strict=True))) == 1
    assert len(set(key.row)) == 2  # two sets of eight heads, each half a row
    value = cache.where_value(np.arange(1024), np.zeros(1024, int), np.zeros(1024, int))
    assert len(set(zip(value.channel, value.bank, value.row, strict=True))) == 1


def test_neighbouring_tokens_go_to_the_channels_in_turn() -> None:
    layout = lay(models.load("gpt2-small"), PIM_GPT, "stream-k", 1024)
    zero = np.zeros(1024, int)
    value = layout.caches[0].where_value(np.arange(1024), zero, zero)
    assert [int(value.channel[first]) for first in range(0, 144, 16)] == [*range(8), 0]
    counts = np.bincount(value.channel)
    assert counts.min() == counts.max() == 128


def test_rows_set_aside_grow_with_tokens_and_batch() -> None:
    decoder = models.load("gpt2-small")
    sizes = [lay(decoder, PIM_GPT, tokens=tokens).cache_rows for tokens in (128, 256, 512, 1024)]
    assert all(a < b for a, b in pairwise(sizes))
    one, three = (lay(decoder, PIM_GPT, tokens=256, batch=batch) for batch in (1, 3))
    assert three.cache_rows == 3 * one.cache_rows


def test_out_of_capacity_says_what_fits() -> None:
    with pytest.raises(PimError) as caught:
        lay(models.load("gpt2-xl"), device.with_(PIM_GPT, rows=13000))
    message = str(caught.value)
    assert message.startswith("E806 model larger than the memory: 'gpt2-xl'")
    assert "Each of 8 channels holds 406 MiB" in message
    for fits in ("tokens fit", "9 channels hold it", "int8 weights fit"):
        assert fits in message


def test_out_of_capacity_of_a_small_memory_says_more_than_0_mib() -> None:
    with pytest.raises(PimError) as caught:
        lay(models.load("gpt2-small"), device.with_(PIM_GPT, rows=2, channels=1), tokens=1)
    assert "Each of 1 channels holds 64 KiB; weights take 238 MiB and the cache" in str(
        caught.value
    )
    with pytest.raises(PimError, match=r"channels holds 8,192 bytes; weights"):
        lay(models.load("gpt2-small"), device.with_(PIM_GPT, rows=1, row_bytes=512), tokens=1)


def test_what_an_error_says_fits_does_fit() -> None:
    small = device.with_(PIM_GPT, rows=13000)
    decoder = models.load("gpt2-xl")
    with pytest.raises(PimError) as caught:
        lay(decoder, small)
    tokens = int(caught.value.fix.split(" tokens fit")[0])
    lay(decoder, small, tokens=tokens)
    with pytest.raises(PimError):
        lay(decoder, small, tokens=tokens + 1)
    channels = int(re.findall(r"(\d+) channels hold it", caught.value.fix)[0])
    lay(decoder, device.with_(small, channels=channels))
    with pytest.raises(PimError):
        lay(decoder, device.with_(small, channels=channels - 1))
    lay(decoder, small, weights="int8")


def test_nothing_fits() -> None:
    huge = replace(models.load("gpt3-xl"), layers=4000)
    with pytest.raises(PimError, match=r"E806.*Choose a smaller model or a larger device"):
        lay(huge, PIM_GPT)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"tokens": 0}, "tokens"),
        ({"tokens": 201}, "tokens"),
        ({"batch": 0}, "batch"),
        ({"batch": 2000}, "batch"),
        ({"v_batch": 3}, "v_batch"),
        ({"v_batch": 0}, "v_batch"),
        ({"v_batch": 32}, "v_batch"),
    ],
)
def test_settings_out_of_range(changes: dict[str, int], key: str) -> None:
    with pytest.raises(ConfigError, match=f"E022 setting out of range: '{key}'"):
        lay(TINY, PIM_GPT, **changes)


def test_all_settings_out_of_range_are_told_at_once() -> None:
    with pytest.raises(Problems) as caught:
        lay(TINY, PIM_GPT, tokens=0, batch=0, v_batch=3)
    assert [one.layer for one in caught.value.errors] == ["tokens", "batch", "v_batch"]


def test_an_unknown_mapping() -> None:
    with pytest.raises(
        PimError, match=r"E807 unknown mapping: 'stream_k'.*Did you mean 'stream-k'"
    ):
        policy("stream_k")


def test_a_head_that_does_not_fit_the_buffer() -> None:
    with pytest.raises(PimError, match="E806 head larger than the buffer"):
        lay(replace(TINY, d_head=1025), PIM_GPT)


def test_a_device_without_multipliers() -> None:
    with pytest.raises(PimError, match="E804 no multipliers for these weights"):
        lay(TINY, replace(PIM_GPT, mac=None))
    with pytest.raises(PimError, match="It has no fp8; it has bf16, int8, int4"):
        lay(TINY, PIM_GPT, weights="fp8")


@pytest.mark.parametrize(
    "changes",
    [{"lanes": 8}, {"weights": {"bf16": 8}}, {"buffer_bytes": 31}],
)
def test_multipliers_that_do_not_fit_an_access(changes: dict[str, object]) -> None:
    assert PIM_GPT.mac is not None
    with pytest.raises(PimError, match="E804 no multipliers for these weights"):
        lay(TINY, replace(PIM_GPT, mac=replace(PIM_GPT.mac, **changes)))
