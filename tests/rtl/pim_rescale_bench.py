"""Rescaled sums for the ASIC's Verilog, with what the model says comes of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rtl.pim_asic_bench import Bench, bits

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.sim.pim.asic_rtl import Operation


def add_rescale(
    bench: Bench,
    sums: np.ndarray,
    scales: np.ndarray,
    steps: np.ndarray,
    bias: np.ndarray | None = None,
) -> None:
    """Add the scaled sum of tiles; behind each one's sums stands the step that quantize wrote."""
    tiles, rows = sums.shape
    words, own = -(-rows // bench.lanes), bench.used
    for numbers, halves in zip(sums, steps.astype("<f4").view("<u2").reshape(-1, 2), strict=True):
        bench.put(numbers)
        bench.put_bits(halves[None])
    operation = Operation(
        "rescale",
        own,
        bench.put(scales),
        0 if bias is None else bench.put(bias),
        stride=words + 1,
        count=tiles,
        length=rows,
        bias=bias is not None,
    )
    operands = tiles + operation.bias
    found = bits(functions.rescale(sums, scales, steps, bias))
    bench.add(operation, found, (operands * rows, operands, tiles))


def rescaled_of_all_kinds(
    tiles: int, rows: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Sums, scales, steps and a bias as a matrix has them; any bits; those that break a unit."""
    rng = np.random.default_rng(100 * tiles + rows)

    def anything(*shape: int, low: int = 0) -> np.ndarray:
        drawn = rng.integers(0, 1 << 32, shape, np.uint32) >> np.uint32(low) << np.uint32(low)
        return drawn.view(np.float32)

    def some(size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        sums = to_bf16(rng.integers(-200_000, 200_000, (tiles, rows)))
        scales = to_bf16(rng.uniform(0.001, 0.02, rows))
        steps = (rng.uniform(0.001, 0.1, tiles) * size).astype(np.float32)
        return sums, scales, steps, to_bf16(rng.normal(size=rows))

    yield some(1.0)
    yield some(2.0**-120)  # subnormal factors and results
    yield some(2.0**127)  # infinite ones
    yield (
        anything(tiles, rows, low=16),
        anything(rows, low=16),
        anything(tiles),
        to_bf16(anything(rows, low=16)),
    )
    signs = np.where(np.arange(rows) % 2, -1.0, 1.0)
    strange = np.resize([0.0, -0.0, np.inf, -np.inf, np.nan, 2.0**-133, 3e38, 1.0], rows)
    for sums, scales, step, bias in (
        (0.0 * signs, np.ones(rows), 1.0, -0.0 * signs),  # zeros of both signs
        (strange, np.ones(rows), 1.0, np.ones(rows)),
        (np.ones(rows), strange, 1.0, np.ones(rows)),
        (strange, np.roll(strange, 1), 1.0, np.roll(strange, 3)),
        (signs, np.ones(rows), 1 + 2.0**-8, 0 * signs),  # a tie of the result
        (signs, np.ones(rows), 1 + 3 * 2.0**-8, 0 * signs),
        (np.full(rows, 1.0), np.full(rows, 1.0078125), 1 + 2.0**-23, 2.0**-9 * signs),
        (3e38 * signs, np.ones(rows), 1.0, -3e38 * signs),
        (signs, np.full(rows, 2.0**-133), 2.0**-17, 0 * signs),  # half of the smallest number
        (signs, np.ones(rows), np.nan, signs),
        (signs, np.ones(rows), np.inf, signs),
        (0.0 * signs, np.ones(rows), np.inf, signs),
    ):
        all_sums = to_bf16(np.repeat(np.asarray(sums)[None], tiles, 0))
        all_sums[1::2] *= np.float32(0.5)
        steps = np.full(tiles, step, np.float32)
        all_sums = to_bf16(all_sums)
        yield all_sums, to_bf16(scales), steps, to_bf16(bias)
