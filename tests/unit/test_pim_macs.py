"""What numba translates gives numpy's bits, for whatever bits go in."""

from __future__ import annotations

import numpy as np
import pytest

from gateformer.hw.pim import device, functions
from gateformer.hw.pim.arithmetic import product, to_bf16
from gateformer.hw.pim.grid import Grid
from gateformer.hw.pim.isa import Instruction
from gateformer.sim.pim import macs, products, words
from gateformer.sim.pim.banks import Banks
from gateformer.sim.pim.compiled import compiled
from gateformer.sim.pim.weights import Whole

pytest.importorskip("numba")
HARD = np.array(
    [0x0000, 0x8000, 0x0001, 0x8001, 0x007F, 0x0080, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0xFFC0,
     0x7F81, 0xFFFF, 0x3F80, 0xBF80, 0x3F81, 0x4B80, 0x3380, 0x1F80],
    np.uint16,
)  # fmt: skip
"""Zeros, subnormal numbers, the smallest and the largest, infinities, NaNs, and ones to cancel."""


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def drawn(kind: str, *shape: int) -> np.ndarray:
    """Words: any bits, hard ones, hard but finite ones, or numbers as usual."""
    if kind == "any":
        return rng().integers(0, 1 << 16, shape).astype(np.uint16)
    if kind == "usual":
        return words.bits(to_bf16(rng().normal(size=shape)))
    some = HARD if kind == "hard" else HARD[np.isfinite(words.floats(HARD))]
    return rng().choice(some, shape)


def grid(weights: str = "bf16") -> Grid:
    return Grid.of(device.with_(device.load("pim-gpt"), channels=2), weights)


def program(kind: str) -> list[Instruction]:
    step = 2 if kind == "int4" else 1
    return [
        Instruction("WR_BIAS", channels=3),
        Instruction("MAC_ABK", 9, 3, row=1, column=5, slot=2),
        Instruction("RD_MAC", channels=3),
        Instruction("MAC_SBK", 30 // step, 2, bank=7, row=0, column=20, slot=4),
        Instruction("MAC_SBK", 1, 1, bank=15, row=0, column=63, slot=62),
        Instruction("RD_MAC", channels=3),
    ]


@pytest.mark.parametrize("content", ["any", "hard", "finite", "usual"])
@pytest.mark.parametrize("kind", ["bf16", "int8", "int4"])
def test_banks(kind: str, content: str) -> None:
    found = []
    for fast in (True, False):
        banks = Banks(grid(), 2, compiled=fast)
        banks.cells[:] = drawn(content, *banks.cells.shape)
        banks.buffer[:] = drawn(content, *banks.buffer.shape)[::-1]
        reads = banks.run(program(kind), iter(()), kind)
        found.append(np.array(reads).view(np.uint32))
    assert np.array_equal(*found)
    if content == "hard" and kind == "bf16":
        nans = found[0][np.isnan(found[0].view(np.float32))]
        assert len(nans) and set(nans.tolist()) == {0x7FC00000}


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_whole_sums_by_hand(kind: str) -> None:
    """The largest magnitudes there are: -128 x -128 and -8 x -128 in every place."""
    banks = Banks(grid(), 1)
    banks.cells[:] = 0x8080 if kind == "int8" else 0x8888
    banks.buffer[:] = 0x8080
    columns = 64 if kind == "int8" else 32
    read = [
        Instruction("WR_BIAS", channels=3),
        Instruction("MAC_ABK", columns, 3, row=0),
        Instruction("RD_MAC", channels=3),
    ]
    (found,) = banks.run(read, iter(()), kind)
    each = {"int8": 32 * 128 * 128, "int4": 64 * 8 * 128}[kind]
    assert (found == to_bf16(np.float32(columns * each))).all()


@pytest.mark.parametrize("content", ["any", "hard", "finite", "usual"])
@pytest.mark.parametrize("lanes", [1, 2, 8, 16, 32])
def test_products(lanes: int, content: str) -> None:
    matrix = words.floats(drawn(content, 21, 150))
    vectors = words.floats(drawn(content, 150, 131)).T
    fast, slow = (
        products.product(matrix, vectors, widest=64, lanes=lanes, compiled=one)
        for one in (True, False)
    )
    assert np.array_equal(fast.view(np.uint32), slow.view(np.uint32))
    one = product(matrix, vectors[5], widest=64, lanes=lanes)
    assert np.array_equal(fast[5].view(np.uint32), one.view(np.uint32))


def test_plain_python_gives_the_same() -> None:
    matrix = words.floats(drawn("usual", 3, 32))
    vectors = words.floats(drawn("usual", 2, 16, 4))
    found = [np.empty((3, 4), np.float32) for _ in range(2)]
    compiled().matrix_bf16(matrix, vectors, found[0])
    macs.matrix_bf16(matrix, vectors, found[1])
    assert np.array_equal(*found)


@pytest.mark.parametrize("most", [127, 7])
def test_whole_products_by_hand(most: int) -> None:
    numbers = rng().integers(-most - 1, most + 1, (30, 2500)).astype(np.int8)
    numbers[:3] = -most - 1
    scales = to_bf16(np.abs(rng().normal(size=30)))
    vectors = to_bf16(rng().normal(size=(4, 2500)))
    vectors[0], vectors[1] = 3, 0
    matrix = Whole(numbers, scales)
    found = products.product(matrix, vectors, widest=2048, lanes=16)
    for one, vector in zip(found, vectors, strict=True):
        total = np.float32(0)
        for part in (slice(0, 2048), slice(2048, 2500)):
            sent, step = functions.quantize(vector[part])
            sums = numbers[:, part].astype(np.int64) @ sent.astype(np.int64)
            total = total + to_bf16(sums.astype(np.float32)) * (scales * step)
        assert np.array_equal(one, to_bf16(total))
    true = vectors.astype(np.float64) @ (numbers * scales[:, None].astype(np.float64)).T
    assert np.abs(found - true).max() <= 0.02 * np.abs(true).max()
    assert (found[1] == 0).all()


@pytest.mark.parametrize("kind", ["bf16", "int8", "int4"])
def test_words_there_and_back(kind: str) -> None:
    if kind == "bf16":
        every = np.arange(1 << 16).astype(np.uint16).reshape(-1, 16)
        back = words.packed(words.floats(every))
        nan = np.isnan(words.floats(every))
        assert np.array_equal(back, np.where(nan, words.NAN, every))
        return
    least = {"int8": -128, "int4": -8}[kind]
    values = np.arange(least, -least).reshape(-1, 16)[:, :16]
    values = np.tile(values, (1, 4))
    assert np.array_equal(words.whole(words.packed(values, kind), kind), values)
