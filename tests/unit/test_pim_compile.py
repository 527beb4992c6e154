"""Compiled programs: what they multiply is what the model multiplies, checked by doing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateformer.hw.pim import asic, device
from gateformer.hw.pim.arithmetic import accumulate, product, read, to_bf16
from gateformer.hw.pim.asic import COSTS, clocks
from gateformer.hw.pim.asic_units import units
from gateformer.hw.pim.compile import Compiler, compile_token
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.layout import Address, Layout
from gateformer.hw.pim.mapping import names
from gateformer.hw.pim.program import AsicWork, Program, Segment, Step
from gateformer.quant import models
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, PimError
from gateformer.sim.pim import simulate

PIM_GPT = device.load("pim-gpt")
TINY = Decoder("tiny", 2, 40, 6, 3, 24, 1300, 300, 1500, "rms", "silu", True, "rotary")
Buffers = Iterator[np.ndarray]
"""What each WR_GB writes: channel x numbers."""


class Memory:
    """Numbers where a layout puts them, and the instructions' meaning in real numbers."""

    def __init__(self, layout: Layout, per_column: int, rows: int) -> None:
        self.grid = layout.grid
        shape = (self.grid.channels, self.grid.banks, rows, self.grid.columns, per_column)
        self.cells = np.zeros(shape)
        self.step = 1 if per_column == self.grid.lanes else self.grid.slots_per_column
        self.slot = per_column // self.step
        self.buffer = np.zeros((self.grid.channels, self.grid.slots * self.slot))
        self.sums = np.zeros((self.grid.channels, self.grid.banks))

    def put(self, where: Address, values: np.ndarray) -> None:
        self.cells[where] = values

    def multiply(self, sums: np.ndarray, cells: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return sums and products of columns."""
        return sums + (cells * numbers).sum((-1, -2))

    def run(self, program: Iterator[Instruction], buffers: Buffers) -> list[np.ndarray]:
        """Return what each RD_MAC reads: channel x bank."""
        found = []
        for one in program:
            match one.op:
                case "WR_GB":
                    values = next(buffers)
                    assert one.column == 0
                    assert values.shape[1] <= one.size * self.slot
                    self.buffer[:] = np.nan  # nothing old may be used
                    self.buffer[:, : one.size * self.slot] = 0
                    self.buffer[:, : values.shape[1]] = values
                case "WR_BIAS":
                    self.sums[:] = 0
                case "RD_MAC":
                    found.append(self.sums.copy())
                case "MAC_ABK" | "MAC_SBK":
                    banks = slice(None) if one.op == "MAC_ABK" else slice(one.bank, one.bank + 1)
                    width = self.cells.shape[-1]
                    cells = self.cells[:, banks, one.row, one.column : one.column + one.size]
                    assert cells.shape[2] == one.size
                    start = one.slot * self.slot
                    numbers = self.buffer[:, start : start + one.size * width]
                    numbers = numbers.reshape(len(numbers), 1, one.size, width)
                    self.sums[:, banks] = self.multiply(self.sums[:, banks], cells, numbers)
                case _:
                    raise AssertionError(one)
        assert next(buffers, None) is None
        return found


class ExactMemory(Memory):
    """The same with the banks' own arithmetic."""

    def multiply(self, sums: np.ndarray, cells: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return accumulate(sums, cells.astype(np.float32), numbers.astype(np.float32))


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def segments(program: Program, name: str, block: int = 0) -> list[Step]:
    return [one for one in program.steps if one.work.name == name and one.block == block]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 400),
    st.integers(1, 2600),
    st.sampled_from(names()),
    st.sampled_from(["bf16", "int8", "int4"]),
    st.sampled_from([1, 3, 8]),
)
def test_matrix_products(
    outputs: int, inputs: int, mapping: str, weights: str, channels: int
) -> None:
    memory = device.with_(PIM_GPT, channels=channels)
    decoder = Decoder("drawn", 1, inputs, 1, 1, 16, outputs, 8, 64)
    compiler = Compiler(decoder, memory, mapping, tokens=16, weights=weights)
    layout = compiler.layout
    (step,) = segments(compiler.token(0), "ffn/up")
    matrix, vector = rng().normal(size=(outputs, inputs)), rng().normal(size=inputs)
    state = Memory(layout, layout.grid.weights, layout.stride)
    placed = layout.matrices["up"]
    where = placed.where(*(one.ravel() for one in np.indices(matrix.shape)))
    state.put(where, matrix.ravel())
    cut = [vector[None, tile.first : tile.first + tile.inputs] for tile in placed.tiles]
    results = state.run(step.expand(), iter(cut))
    partial = np.array(results).reshape(len(placed.tiles), -1)[:, :outputs]
    assert np.allclose(partial.sum(0), matrix @ vector)
    assert step.macs == outputs * inputs
    assert isinstance(step.work, Segment)
    assert step.work.received == len(results) * channels * 32


@pytest.mark.parametrize("mapping", names())
@pytest.mark.parametrize("shape", [(130, 1024), (20, 2500), (300, 700)])
def test_matrix_products_bit_by_bit(mapping: str, shape: tuple[int, int]) -> None:
    outputs, inputs = shape
    decoder = Decoder("drawn", 1, inputs, 1, 1, 16, outputs, 8, 64)
    compiler = Compiler(decoder, PIM_GPT, mapping, tokens=16)
    placed = compiler.layout.matrices["up"]
    matrix = to_bf16(rng().normal(size=shape))
    vector = to_bf16(rng().normal(size=inputs))
    state = ExactMemory(compiler.layout, 16, compiler.layout.stride)
    state.put(placed.where(*(one.ravel() for one in np.indices(shape))), matrix.ravel())
    cut = [vector[None, tile.first : tile.first + tile.inputs] for tile in placed.tiles]
    (step,) = segments(compiler.token(0), "ffn/up")
    found = read(np.array(state.run(step.expand(), iter(cut))))
    total = np.zeros(outputs, np.float32)
    for tile in found.reshape(len(placed.tiles), -1)[:, :outputs]:
        total = total + tile
    expected = product(matrix, vector, widest=placed.grid.widest, lanes=placed.grid.lanes)
    assert np.array_equal(to_bf16(total), expected)


def attention_case(
    mapping: str, tokens: int, position: int, channels: int, parts: int, memory: str = "pim-gpt"
) -> tuple[Compiler, Program, np.ndarray, np.ndarray, np.ndarray]:
    own = device.with_(device.load(memory), channels=channels)
    compiler = Compiler(TINY, own, mapping, tokens=tokens, parts=parts)
    keys, values = rng().normal(size=(2, tokens, TINY.kv_heads, TINY.d_head))
    queries = rng().normal(size=(TINY.heads, TINY.d_head))
    return compiler, compiler.token(position), keys, values, queries


def everywhere(layout: Layout) -> tuple[np.ndarray, ...]:
    shape = (layout.tokens, TINY.kv_heads, TINY.d_head)
    return tuple(one.ravel() for one in np.indices(shape))


CASES = [
    (mapping, tokens, position, channels, parts, memory)
    for mapping in names()
    for tokens, position, channels, parts, memory in (
        (40, 33, 2, 1, "pim-gpt"),
        (1100, 1050, 2, 2, "pim-gpt"),
        (130, 0, 8, 2, "pim-gpt"),
        (300, 299, 1, 1, "pim-gpt"),
        (700, 666, 3, 2, "hbm-pim"),
        (900, 899, 64, 2, "lpddr5-pim"),
    )
]


@pytest.mark.parametrize(("mapping", "tokens", "position", "channels", "parts", "memory"), CASES)
def test_scores(
    mapping: str, tokens: int, position: int, channels: int, parts: int, memory: str
) -> None:
    compiler, program, keys, _, queries = attention_case(
        mapping, tokens, position, channels, parts, memory
    )
    layout = compiler.layout
    cache = layout.caches[0]
    grid = layout.grid
    state = Memory(layout, grid.lanes, layout.stride)
    state.put(cache.where_key(*everywhere(layout)), keys.ravel())
    shared = TINY.heads // TINY.kv_heads
    wide = -(-TINY.d_head // grid.lanes) * grid.lanes
    padded = np.zeros((TINY.heads, wide))
    padded[:, : TINY.d_head] = queries
    scores = np.full((TINY.heads, tokens), np.nan)
    channel, bank = (np.asarray(one) for one in cache.keys.unit(np.arange(tokens)))  # type: ignore[attr-defined] # all caches of this test have keys
    found = cache.parts(position, parts)
    steps = segments(program, "attention/score")
    assert len(steps) == len(found)
    for part, step in zip(found, steps, strict=True):
        heads = range(part.first_head, part.first_head + part.heads)
        groups = [one for one in cache.keys.groups if one.first in heads]  # type: ignore[attr-defined]
        loads = [
            padded[[head * shared + query for head in range(g.first, g.first + g.heads)]].ravel()
            for g in groups
            for query in range(shared)
        ]
        left = iter(state.run(step.expand(), iter([one[None] for one in loads])))
        first = part.first_token // grid.units
        last = (part.first_token + part.tokens - 1) // grid.units
        for group in groups:
            for query in range(shared):
                for stripe in range(first, last + 1):
                    for head in range(group.first, group.first + group.heads):
                        sums = next(left)
                        some = np.arange(stripe * grid.units, (stripe + 1) * grid.units)
                        some = some[some < tokens]
                        scores[head * shared + query, some] = sums[channel[some], bank[some]]
        assert next(left, None) is None
    expected = np.einsum("thd,hqd->hqt", keys, queries.reshape(-1, shared, TINY.d_head))
    used = slice(0, position + 1)
    assert np.allclose(scores[:, used], expected.reshape(TINY.heads, tokens)[:, used])


def weights_by_head(layout: Layout, position: int) -> tuple[np.ndarray, np.ndarray]:
    weights = rng().normal(size=(TINY.heads, layout.tokens))
    weights[:, position + 1 :] = 0
    return weights, weights.reshape(TINY.kv_heads, -1, layout.tokens)


def run_values(
    layout: Layout, steps: list[Step], values: np.ndarray, loads: list[list[np.ndarray]]
) -> list[list[np.ndarray]]:
    state = Memory(layout, layout.grid.lanes, layout.stride)
    state.put(layout.caches[0].where_value(*everywhere(layout)), values.ravel())
    return [state.run(step.expand(), iter(some)) for step, some in zip(steps, loads, strict=True)]


def padded_row(weights: np.ndarray, first: int, last: int) -> np.ndarray:
    return weights[first : min(last, len(weights))]


@pytest.mark.parametrize(
    ("mapping", "tokens", "position", "channels", "parts", "memory"),
    [case for case in CASES if case[0] != "stream-k"],
)
def test_values_by_heads(
    mapping: str, tokens: int, position: int, channels: int, parts: int, memory: str
) -> None:
    compiler, program, _, values, _ = attention_case(
        mapping, tokens, position, channels, parts, memory
    )
    layout, grid = compiler.layout, compiler.layout.grid
    cache = layout.caches[0]
    split, at_once, local = cache.split, cache.at_once, cache.local  # type: ignore[attr-defined]
    weights, by_head = weights_by_head(layout, position)
    shared = TINY.heads // TINY.kv_heads
    longest = grid.slots * grid.lanes
    loads, places = [], []
    for part in cache.parts(position, parts):
        loads.append([])
        places.append([])
        for first in range(0, position + 1, longest):
            used = (min(position, first + longest - 1) - first) // grid.lanes + 1
            for begin in range(part.first_head, part.first_head + part.heads, at_once):
                for query in range(shared):
                    buffer = np.zeros((grid.channels, used * grid.lanes))
                    for channel in range(grid.channels):
                        head = begin + channel // split
                        if head < part.first_head + part.heads and channel // split < at_once:
                            some = padded_row(
                                by_head[head, query], first, first + used * grid.lanes
                            )
                            buffer[channel, : len(some)] = some
                    loads[-1].append(buffer)
                    places[-1] += [(begin, query, each) for each in range(local)]
    results = run_values(layout, segments(program, "attention/values"), values, loads)
    found = np.zeros((TINY.kv_heads, shared, TINY.d_head))
    for some, where in zip(results, places, strict=True):
        for sums, (begin, query, each) in zip(some, where, strict=True):
            for channel in range(at_once * split):
                head = begin + channel // split
                group = each * split + channel % split
                for bank in range(grid.banks):
                    dim = group * grid.banks + bank
                    if head < TINY.kv_heads and dim < TINY.d_head:
                        found[head, query, dim] += sums[channel, bank]
    expected = np.einsum("hqt,thd->hqd", by_head, values)
    assert np.allclose(found, expected)
    assert weights.shape == (TINY.heads, tokens)


@pytest.mark.parametrize(
    ("mapping", "tokens", "position", "channels", "parts", "memory"),
    [case for case in CASES if case[0] == "stream-k"],
)
def test_values_by_shares_of_the_keys(
    mapping: str, tokens: int, position: int, channels: int, parts: int, memory: str
) -> None:
    compiler, program, _, values, _ = attention_case(
        mapping, tokens, position, channels, parts, memory
    )
    layout, grid = compiler.layout, compiler.layout.grid
    cache = layout.caches[0]
    _, by_head = weights_by_head(layout, position)
    shared = TINY.heads // TINY.kv_heads
    across = grid.lanes * grid.channels
    pairs = [(head, query) for head in range(TINY.kv_heads) for query in range(shared)]
    loads, orders = [], []
    for part in cache.parts(position, parts):
        first = part.first_token // across
        used = (part.first_token + part.tokens - 1) // across + 1 - first
        some: list[np.ndarray] = []
        for begin in range(0, len(pairs), grid.slots // used):
            batch = pairs[begin : begin + grid.slots // used]
            buffer = np.zeros((grid.channels, len(batch), used, grid.lanes))
            for place, (head, query) in enumerate(batch):
                row = np.zeros((first + used) * across)
                kept = by_head[head, query, part.first_token : part.first_token + part.tokens]
                row[part.first_token : part.first_token + part.tokens] = kept
                cut = row[first * across :].reshape(used, grid.channels, grid.lanes)
                buffer[:, place] = cut.transpose(1, 0, 2)
            some.append(buffer.reshape(grid.channels, -1))
        loads.append(some)
        orders.append(pairs)
    results = run_values(layout, segments(program, "attention/values"), values, loads)
    groups = -(-TINY.d_head // grid.banks)
    found = np.zeros((TINY.kv_heads, shared, groups * grid.banks))
    for each in results:
        order = [(*pair, group) for pair in pairs for group in range(groups)]
        for sums, (head, query, group) in zip(each, order, strict=True):
            at = slice(group * grid.banks, (group + 1) * grid.banks)
            found[head, query, at] += sums.sum(0)
    expected = np.einsum("hqt,thd->hqd", by_head, values)
    assert np.allclose(found[:, :, : TINY.d_head], expected)


def writes(step: Step, layout: Layout) -> list[tuple[int, int, int, int]]:
    """Return channel, bank, row and column of every write of a step."""
    found = []
    for one in step.expand():
        if one.op == "WR_SBK":
            for channel in range(layout.grid.channels):
                if one.channels >> channel & 1:
                    columns = range(one.column, one.column + one.size)
                    found += [(channel, one.bank, one.row, column) for column in columns]
    return found


def places(where: Address) -> set[tuple[int, ...]]:
    return set(zip(*(one.tolist() for one in where[:4]), strict=True))


@pytest.mark.parametrize("mapping", names())
@pytest.mark.parametrize("position", [0, 17, 1049])
def test_a_token_s_keys_and_values_are_written_where_they_stand(
    mapping: str, position: int
) -> None:
    compiler, program, *_ = attention_case(mapping, 1100, position, 2, 1)
    layout = compiler.layout
    heads, dims = (one.ravel() for one in np.indices((TINY.kv_heads, TINY.d_head)))
    token = np.full(heads.shape, position)
    for name, where in (
        ("attention/append_keys", layout.caches[0].where_key(token, heads, dims)),
        ("attention/append_values", layout.caches[0].where_value(token, heads, dims)),
    ):
        (step,) = segments(program, name)
        written = writes(step, layout)
        assert len(set(written)) == len(written)
        assert set(written) >= places(where)
        if name.endswith("keys"):
            assert set(written) == places(where)


@pytest.mark.parametrize("name", models.names())
def test_values_cost_a_write_each(name: str) -> None:
    decoder = models.load(name)
    program = compile_token(decoder, PIM_GPT, "pim-gpt", 100, tokens=1024)
    (step,) = segments(program, "attention/append_values")
    written = sum(one.op == "WR_SBK" for one in step.expand())
    heads = 28 if name == "gpt2-xl" else decoder.heads  # 25, and three channels' padding
    assert written == heads * decoder.d_head // 8
    (step,) = segments(program, "attention/append_keys")
    assert sum(one.size for one in step.expand()) == decoder.d_model // 16


@pytest.mark.parametrize("mapping", names())
@pytest.mark.parametrize("weights", ["bf16", "int8", "int4"])
@pytest.mark.parametrize("parts", [1, 2])
def test_instructions_stay_within_what_is_laid_out(mapping: str, weights: str, parts: int) -> None:
    compiler = Compiler(
        TINY, PIM_GPT, mapping, tokens=1100, batch=2, weights=weights, v_batch=4, parts=parts
    )
    grid, layout = compiler.layout.grid, compiler.layout
    for position in (0, 3, 15, 16, 1023, 1024, 1099):
        for step in compiler.token(position).steps:
            low = max(step.block, 0) * layout.stride if step.block >= 0 else 2 * layout.stride
            high = low + layout.stride if step.block >= 0 else layout.rows
            for one in step.expand():
                assert 1 <= one.size <= grid.columns
                assert 0 < one.channels <= grid.everyone
                if one.op in ("MAC_ABK", "MAC_SBK", "WR_SBK", "RD_SBK"):
                    assert low <= one.row < high, step.name
                    assert 0 <= one.column <= grid.columns - one.size
                    assert one.slot + one.size <= grid.slots
                if one.op.endswith("SBK"):
                    assert 0 <= one.bank < grid.banks


@pytest.mark.parametrize("mapping", names())
@pytest.mark.parametrize("name", ["gpt2-small", "gpt2-large", "gpt3-xl"])
def test_macs_are_the_decoder_s(name: str, mapping: str) -> None:
    decoder = models.load(name)
    for parts in (1, 2):
        compiler = Compiler(decoder, PIM_GPT, mapping, tokens=1024, batch=2, parts=parts)
        for position, logits in ((0, True), (128, False), (1023, True)):
            program = compiler.token(position, logits=logits)
            macs = sum(step.macs for step in program.steps)
            assert macs == 2 * decoder.macs(position, logits=logits)


@pytest.mark.parametrize("mapping", names())
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("v_batch", [1, 16])
def test_a_step_needs_only_former_ones(mapping: str, parts: int, v_batch: int) -> None:
    compiler = Compiler(TINY, PIM_GPT, mapping, tokens=1500, batch=3, parts=parts, v_batch=v_batch)
    for position in (0, 15, 1400):
        steps = compiler.token(position).steps
        used = set()
        for place, step in enumerate(steps):
            assert all(0 <= one < place for one in step.after), step.name
            assert len(set(step.after)) == len(step.after)
            used.update(step.after)
        unused = {steps[one].name for one in set(range(len(steps))) - used}
        waits = {"attention/append_values", "attention/write_waiting_values"}
        assert {name.split("/", 1)[-1] for name in unused} <= {"token"} | waits


@pytest.mark.parametrize("parts", [1, 2])
def test_a_compiler_s_memory_changes_nothing(parts: int) -> None:
    compiler = Compiler(TINY, PIM_GPT, "pim-gpt", tokens=1500, parts=parts, v_batch=2)
    for position in (0, 1, 2, 15, 16, 700, 1030, 3):
        alone = Compiler(TINY, PIM_GPT, "pim-gpt", tokens=1500, parts=parts, v_batch=2)
        assert compiler.token(position) == alone.token(position)


def test_blocks_and_tokens_share_segments() -> None:
    compiler = Compiler(models.load("gpt2-medium"), PIM_GPT, tokens=1024)
    one, other = (compiler.token(position) for position in (0, 1))
    first = segments(one, "qkv")[0].work
    assert segments(one, "qkv", 23)[0].work is first
    assert segments(other, "qkv")[0].work is first
    assert segments(one, "attention/score")[0].work is segments(other, "attention/score")[0].work
    offset = segments(one, "qkv", 23)[0].offset
    rows = [next(i.row for i in s.expand() if i.row >= 0) for s in segments(one, "qkv", 23)]
    assert rows == [offset]


def test_parts_let_the_asic_work_beside_the_memory() -> None:
    compiler = Compiler(models.load("gpt3-xl"), PIM_GPT, tokens=1024, parts=2)
    steps = compiler.token(500).steps
    order = [step.work.name for step in steps if step.block == 0]
    assert [name for name in order if name.startswith("attention/")] == [
        "attention/append_keys",
        "attention/score",
        "attention/softmax",
        "attention/score",
        "attention/softmax",
        "attention/append_values",
        "attention/values",
        "attention/values",
    ]
    places = [place for place, name in enumerate(order) if name == "attention/score"]
    assert places[0] not in steps[places[1]].after


@pytest.mark.parametrize("name", models.names())
def test_values_that_wait_are_written_together(name: str) -> None:
    compiler = Compiler(models.load(name), PIM_GPT, tokens=1024, v_batch=16)
    written = [
        position
        for position in range(64)
        if segments(compiler.token(position), "attention/append_values")
    ]
    assert written == [15, 31, 47, 63]
    step = segments(compiler.token(40), "attention/waiting")[0]
    decoder = compiler.decoder
    assert isinstance(step.work, AsicWork)
    assert step.work.elements == decoder.queries * (41 - 32)
    if compiler.layout.staging is not None:
        back = segments(compiler.token(40), "attention/read_waiting_values")[0].work
        assert isinstance(back, Segment)
        assert back.received >= (40 - 32) * decoder.kv_width * 2


def test_waiting_values_stand_in_the_asic_where_they_fit() -> None:
    small, large = models.load("gpt2-small"), models.load("gpt3-xl")
    assert Compiler(small, PIM_GPT, tokens=512, v_batch=2).layout.staging is None
    assert Compiler(large, PIM_GPT, tokens=512, v_batch=2).layout.staging is not None


def test_work_of_all_units_is_known() -> None:
    for decoder in (TINY, models.load("gpt2-small"), replace(TINY, activation="relu")):
        for mapping in names():
            for weights in ("bf16", "int8"):
                program = compile_token(
                    decoder, PIM_GPT, mapping, 20, weights=weights, parts=2, v_batch=8
                )
                for step in program.steps:
                    if isinstance(step.work, AsicWork):
                        assert step.work.unit in COSTS
                        assert step.work.elements > 0


@pytest.mark.parametrize("parts", [1, 2])
def test_whole_numbers_are_rescaled_once_where_the_asic_has_a_unit_for_it(parts: int) -> None:
    """All tiles in one step, behind the last product; clocks: its reads, and 9."""
    wide = replace(models.load("gpt2-small"), layers=1, d_ff=5000)
    memory = device.load("pim-rtl")
    steps = compile_token(wide, memory, "pim-gpt", 20, weights="int8", parts=parts).steps
    found = [step.work.name for step in steps]
    assert not {"ffn/down/sum", "qkv/sum", "head/sum"} & {*found}
    own = steps[found.index("ffn/down/rescale")]
    assert found.count("ffn/down/rescale") == 1
    assert own.work == AsicWork("ffn/down/rescale", "rescale", 768 * (3 + 1), 3 + 1, 3)
    products = [place for place, name in enumerate(found) if name == "ffn/down"]
    assert len(products) == parts and {*products} < {*own.after}
    assert memory.asic is not None
    assert clocks(own.work, memory.asic) == 3 + (768 // 16) * (1 + 3 + 1) + 9
    sent = [step.work for step in steps if step.work.name == "ffn/down/quantize"]
    assert sum(one.vectors for one in sent if isinstance(one, AsicWork)) == 3  # a tile is a vector
    head = steps[found.index("head/rescale")]
    assert head.work == AsicWork("head/rescale", "rescale", wide.vocab, 1, 1)


@pytest.mark.parametrize("parts", [1, 2])
def test_what_tiles_give_is_added_once(parts: int) -> None:
    """A sum of some tiles would be rounded to BF16, which the model's numbers are not."""
    decoder = replace(models.load("gpt2-small"), layers=1)
    steps = compile_token(decoder, device.load("pim-rtl"), "pim-gpt", 20, parts=parts).steps
    found = [step.work.name for step in steps]
    own = steps[found.index("ffn/down/sum")]
    assert found.count("ffn/down/sum") == 1
    assert own.work == AsicWork("ffn/down/sum", "add", 768 * 3, 3)  # 3 tiles of 1,024, the bias
    products = [place for place, name in enumerate(found) if name == "ffn/down"]
    assert len(products) == parts and {*products} < {*own.after}


@pytest.mark.parametrize(("name", "d_ff"), [("pim-gpt", 5000), ("pim-rtl", 16 * 2048 + 1)])
def test_rescaling_without_the_unit_is_two_multiplications_and_sums(name: str, d_ff: int) -> None:
    """So it is where a matrix has more tiles than the unit takes."""
    decoder = replace(models.load("gpt2-small"), layers=1, d_ff=d_ff)
    memory = device.with_(device.load(name), rows=32768)
    assert memory.asic is not None
    memory = replace(memory, asic=replace(memory.asic, sram_bytes=1 << 20))
    steps = compile_token(decoder, memory, "pim-gpt", 20, weights="int8").steps
    tiles = -(-d_ff // 2048)
    works = [one.work for one in steps if one.work.name in ("ffn/down/rescale", "ffn/down/sum")]
    assert works == [
        AsicWork("ffn/down/rescale", "multiply", 2 * 768 * tiles),
        AsicWork("ffn/down/sum", "add", 768 * tiles, tiles),
    ]


def test_scores_that_do_not_fit_are_worked_through_in_parts() -> None:
    decoder = replace(models.load("gpt2-small"), heads=96, kv_heads=96, d_head=8, context=3000)
    lengths = {}
    for position in (10, 1000, 2999):
        program = compile_token(decoder, PIM_GPT, "pim-gpt", position)
        lengths[position] = len(segments(program, "attention/score"))
    assert lengths[10] == 1
    assert 1 < lengths[1000] < lengths[2999]


def with_free(decoder: Decoder, free: int, **changes: int) -> device.Device:
    """Return PIM-GPT with so many bytes for scores and shares beside the vectors."""
    assert PIM_GPT.asic is not None
    room = asic.vector_bytes(decoder) + free
    memory = replace(PIM_GPT, asic=replace(PIM_GPT.asic, sram_bytes=room))
    return device.with_(memory, **changes)


def test_scores_that_do_not_fit_at_all() -> None:
    decoder = replace(models.load("gpt2-small"), heads=2, kv_heads=2, d_head=8, context=9000)
    small = with_free(decoder, 20000)
    compiler = Compiler(decoder, small)
    compiler.token(10)
    with pytest.raises(PimError, match=r"E806 scores larger than the ASIC's memory.*stream-k"):
        compiler.token(8000)
    Compiler(decoder, small, "stream-k").token(8000)


@pytest.mark.parametrize("parts", [1, 2])
def test_shares_stand_beside_the_scores(parts: int) -> None:
    """gpt3-xl on the device as it is: 49,152 bytes are free.

    In one part its 16 heads' scores take 32 bytes a token, and m and l of eight shares 4,096: 1,408
    tokens fill it. Of two and more parts all shares of 4,608 bytes a channel would stand there.
    """
    decoder = models.load("gpt3-xl")
    assert asic.free_bytes(decoder, PIM_GPT) == 49152 == 32 * 1408 + 16 * 8 * 32
    compiler = Compiler(decoder, PIM_GPT, "stream-k", parts=parts)
    for position in (0, 1407):
        compiler.token(position)
    for position in (1408, 2047):
        with pytest.raises(PimError, match=r"E806 scores and the shares of the keys larger"):
            compiler.token(position)


def test_what_a_later_token_lacks_is_said_before_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compiler, "token", lambda *_, **__: pytest.fail("a token was compiled"))
    with pytest.raises(PimError, match=r"E806 .*At 1409 tokens"):
        simulate("gpt3-xl", 1410, mapping="stream-k")
    compiler = Compiler(models.load("gpt3-xl"), PIM_GPT, "stream-k", batch=2)
    compiler.foresee(range(1408))
    compiler.foresee(range(0))
    with pytest.raises(PimError, match=r"E806 .*At 1501 tokens"):
        compiler.foresee(range(1500, 1600))


def test_shares_that_are_larger_than_their_scores() -> None:
    """Of 128 tokens on eight channels: o and a word with m and l, 160 bytes a head and share."""
    decoder = replace(models.load("gpt2-small"), heads=12, kv_heads=12, d_head=64)
    need = 12 * 8 * (2 * 64 + 32)
    assert need > 2 * 12 * 128
    Compiler(decoder, with_free(decoder, need), "stream-k", tokens=128).token(127)
    with pytest.raises(PimError, match=f"take {need} bytes of {need - 1}"):
        Compiler(decoder, with_free(decoder, need - 1), "stream-k", tokens=128).token(127)


@pytest.mark.parametrize(
    ("position", "v_batch", "shares", "late"),
    [
        (0, 1, 1, 0), (15, 1, 1, 0), (16, 1, 2, 0), (111, 1, 7, 0), (112, 1, 8, 0),
        (1023, 1, 8, 0), (0, 4, 0, 1), (3, 4, 1, 0), (16, 4, 1, 1), (128, 4, 8, 1),
    ],
)  # fmt: skip
def test_channels_without_keys_have_no_share(
    position: int, v_batch: int, shares: int, late: int
) -> None:
    """16 tokens a channel, eight channels; those whose values wait make a share of their own."""
    decoder = models.load("gpt2-small")
    program = compile_token(decoder, PIM_GPT, "stream-k", position, v_batch=v_batch)
    own = {step.work.name: step.work for step in program.steps if step.block == 0}
    each, heads = shares + late, decoder.heads
    assert own["attention/softmax"] == AsicWork(
        "attention/softmax", "share", heads * (position + 1), heads * each
    )
    assert own["attention/merge"] == AsicWork(
        "attention/merge", "merge", heads * 64 * each, heads * each, heads
    )


def test_no_more_shares_than_are_merged() -> None:
    """The device's unit takes 64; with 64 channels those that wait are one too many."""
    decoder = replace(models.load("gpt2-small"), layers=1)
    memory = device.with_(device.load("pim-rtl"), channels=64)
    assert memory.asic is not None
    memory = replace(memory, asic=replace(memory.asic, sram_bytes=1 << 20))
    most = units(16)["merge"].most
    assert most == 64
    for parts in (1, 2):  # of two parts each would have 64
        program = compile_token(decoder, memory, "stream-k", 1023, parts=parts)
        merges = [one.work for one in program.steps if one.work.name == "attention/merge"]
        assert [one.vectors for one in merges if isinstance(one, AsicWork)] == [12 * most]
    compiler = Compiler(decoder, memory, "stream-k", v_batch=2)
    compiler.token(1006)  # 63 channels' tokens, one of which waits
    with pytest.raises(PimError, match=r"E806 more shares than the ASIC merges.*65.*64 at most"):
        compiler.token(1010)
    compiler.token(1011)
    free = replace(memory, asic=replace(memory.asic, units={}))
    Compiler(decoder, free, "stream-k", v_batch=2).token(1010)


def test_no_more_words_than_are_selected_from() -> None:
    """64 words of 16 numbers are a tile of the hidden vector with a buffer of 2 KB."""
    decoder = replace(models.load("gpt2-small"), layers=1)
    memory = device.load("pim-rtl")
    assert memory.mac is not None
    assert units(16)["select"].most == memory.mac.buffer_bytes // 32
    Compiler(decoder, memory, ffn_keep=0.5).token(3)
    wide = replace(memory, mac=replace(memory.mac, buffer_bytes=2048 + 32))
    Compiler(decoder, wide).token(3)
    with pytest.raises(PimError, match=r"E806 more words than the ASIC selects.*65 words.*64 at m"):
        Compiler(decoder, wide, ffn_keep=0.5)


def test_vectors_that_do_not_fit() -> None:
    small = replace(PIM_GPT, asic=replace(PIM_GPT.asic, sram_bytes=1000))  # type: ignore[arg-type] # it has one
    with pytest.raises(PimError, match="E806 vectors larger than the ASIC's memory"):
        Compiler(TINY, small)


def test_positions_out_of_range() -> None:
    compiler = Compiler(TINY, PIM_GPT, tokens=10)
    for position in (-1, 10):
        with pytest.raises(ConfigError, match="E022 setting out of range: 'position'"):
            compiler.token(position)


def test_a_prompt_s_tokens_need_no_logits() -> None:
    compiler = Compiler(TINY, PIM_GPT, tokens=10)

    def called(logits: bool) -> set[str]:
        return {step.name for step in compiler.token(3, logits=logits).steps}

    assert called(True) - called(False) == {"norm/parameters", "norm", "head", "token"}
