"""Multiply-accumulates over plain arrays, to be translated by numba; the bits are numpy's.

Owns the loops behind ``Banks`` and ``products``: ``banks_*`` multiply rows of banks with a buffer,
``matrix_bf16`` a matrix with many vectors at once. Imports numpy alone. Plain Python runs them too,
which nobody waits for; what they do is defined by ``hw.pim.arithmetic``.

Additions keep their order, whoever translates: nothing here may be reassociated or contracted to
fused operations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def banks_bf16(
    cells: NDArray[np.uint16],
    buffer: NDArray[np.uint16],
    sums: Floats,
    channels: NDArray[np.int64],
    banks: tuple[int, int],
    row: int,
    column: int,
    slot: int,
    size: int,
) -> None:
    """Add ``size`` columns' products to the banks' accumulators."""
    lanes = cells.shape[4]
    bits = np.empty(lanes, np.uint32)
    weights = bits.view(np.float32)
    sent_bits = np.empty((size, lanes), np.uint32)
    sent = sent_bits.view(np.float32)
    tree = np.empty(lanes, np.float32)
    for channel in channels:
        for i in range(size):
            for lane in range(lanes):
                sent_bits[i, lane] = np.uint32(buffer[channel, slot + i, lane]) << 16
        for bank in range(banks[0], banks[1]):
            total = sums[channel, bank]
            for i in range(size):
                for lane in range(lanes):
                    bits[lane] = np.uint32(cells[channel, bank, row, column + i, lane]) << 16
                for lane in range(lanes):
                    tree[lane] = weights[lane] * sent[i, lane]
                left = lanes
                while left > 1:
                    left //= 2
                    for lane in range(left):
                        tree[lane] = tree[2 * lane] + tree[2 * lane + 1]
                total += tree[0]
            sums[channel, bank] = total


def banks_int8(
    cells: NDArray[np.int8],
    buffer: NDArray[np.int8],
    sums: NDArray[np.int32],
    channels: NDArray[np.int64],
    banks: tuple[int, int],
    row: int,
    column: int,
    slot: int,
    size: int,
) -> None:
    """Do the same with INT8 weights and numbers, exactly."""
    lanes = cells.shape[4]
    for channel in channels:
        for bank in range(banks[0], banks[1]):
            total = np.int32(0)
            for i in range(size):
                for lane in range(lanes):
                    weight = np.int32(cells[channel, bank, row, column + i, lane])
                    total += weight * np.int32(buffer[channel, slot + i, lane])
            sums[channel, bank] += total


def banks_int4(
    cells: NDArray[np.int8],
    buffer: NDArray[np.int8],
    sums: NDArray[np.int32],
    channels: NDArray[np.int64],
    banks: tuple[int, int],
    row: int,
    column: int,
    slot: int,
    size: int,
) -> None:
    """Do the same with INT4 weights, two slots of INT8 numbers a column."""
    lanes = cells.shape[4]
    half = lanes // 2
    for channel in channels:
        for bank in range(banks[0], banks[1]):
            total = np.int32(0)
            for i in range(size):
                for lane in range(lanes):
                    pair = np.int32(cells[channel, bank, row, column + i, lane])
                    high = pair >> 4
                    low = pair - (high << 4)
                    low -= (low >> 3) << 4
                    at = slot + 2 * i + lane // half
                    first = 2 * (lane % half)
                    total += low * np.int32(buffer[channel, at, first])
                    total += high * np.int32(buffer[channel, at, first + 1])
            sums[channel, bank] += total


def matrix_bf16(matrix: Floats, vectors: Floats, sums: Floats) -> None:
    """Multiply a matrix with vectors: one tile, accumulators from +0 on.

    Parameters
    ----------
    matrix : array of float32, shape (outputs, columns x lanes)
        BF16 numbers.
    vectors : array of float32, shape (columns, lanes, vectors)
        BF16 numbers.
    sums : array of float32, shape (outputs, vectors)
        Gets the accumulators.
    """
    columns, lanes, count = vectors.shape
    if lanes == 1:
        one = np.empty(count, np.float32)
    some = np.empty((max(1, lanes // 2), count), np.float32)
    others = np.empty((max(1, lanes // 2), count), np.float32)
    total = np.empty(count, np.float32)
    for output in range(len(matrix)):
        for t in range(count):
            total[t] = 0
        for column in range(columns):
            start = column * lanes
            if lanes == 1:
                weight = matrix[output, start]
                for t in range(count):
                    one[t] = weight * vectors[column, 0, t]
                for t in range(count):
                    total[t] += one[t]
                continue
            for pair in range(lanes // 2):
                a, b = matrix[output, start + 2 * pair], matrix[output, start + 2 * pair + 1]
                for t in range(count):
                    some[pair, t] = (
                        a * vectors[column, 2 * pair, t] + b * vectors[column, 2 * pair + 1, t]
                    )
            left = lanes // 2
            while left > 1:
                left //= 2
                for pair in range(left):
                    for t in range(count):
                        others[pair, t] = some[2 * pair, t] + some[2 * pair + 1, t]
                some, others = others, some
            for t in range(count):
                total[t] += some[0, t]
        for t in range(count):
            sums[output, t] = total[t]
