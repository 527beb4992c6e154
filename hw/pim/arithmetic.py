"""What the banks' multipliers and the ASIC's sums compute, bit by bit.

Owns ``to_bf16``, ``canonical``, ``accumulate``, ``read`` and ``product``. Imports nothing of the
package. docs/pim_decisions.md gives the reasons.

- BF16 x BF16 is exact in FP32 (8 x 8 significant bits).
- A column's products are added in a tree of neighbours: lanes 0 + 1, 2 + 3, ..., then those sums'
  neighbours; each addition is FP32, rounded to nearest even.
- The tree's sum is added to the bank's FP32 accumulator, columns ascending.
- WR_BIAS sets the accumulator; nothing else clears it. RD_MAC rounds it to BF16 and leaves it.
- The ASIC adds what the tiles of a wide matrix give in FP32, tiles ascending, then the bias, and
  rounds once to BF16.
- Whole-number weights are multiplied with INT8 numbers and added exactly in INT32; RD_MAC rounds
  that to FP32, then to BF16, and the ASIC scales each tile's result in FP32.
- All of it is IEEE 754 with subnormal numbers and infinities. Which NaN it is that numpy gives
  depends on the machine; hardware gives ``QUIET_NAN``, and ``canonical`` makes them the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

QUIET_NAN = np.uint32(0x7FC00000)
"""The bits of every NaN that the hardware gives; of BF16 the upper 16."""


def to_bf16(values: ArrayLike) -> Floats:
    """Round to BF16, to nearest even; kept as FP32 whose low 16 bits are zero.

    Infinities stay, a NaN stays one, subnormal numbers are rounded like all others.
    """
    exact = np.asarray(values, np.float32)
    bits = exact.view(np.uint32)
    odd = bits >> np.uint32(16) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)  # only NaNs wrap round
    return np.where(np.isnan(exact), np.float32(np.nan), rounded.view(np.float32))


def canonical(values: ArrayLike) -> Floats:
    """Return FP32 numbers with ``QUIET_NAN`` for every NaN, as the hardware has them.

    The sign of a zero stays, so that bits can be compared.
    """
    exact = np.asarray(values, np.float32)
    return np.where(np.isnan(exact), QUIET_NAN.view(np.float32), exact)


def accumulate(accumulator: ArrayLike, weights: Floats, inputs: Floats) -> Floats:
    """Add columns' products to accumulators, as MAC_ABK and MAC_SBK do.

    Parameters
    ----------
    accumulator : array_like of float32, shape (...)
        What WR_BIAS or earlier columns left.
    weights : array of float32, shape (..., columns, lanes)
        BF16 numbers; a power of two of lanes.
    inputs : array of float32, shape (columns, lanes) or as weights
        BF16 numbers of the buffer.

    Returns
    -------
    array of float32, shape (...)
    """
    found = np.asarray(accumulator, np.float32)
    with np.errstate(all="ignore"):
        products = np.multiply(weights, inputs, dtype=np.float32)
        while products.shape[-1] > 1:
            products = products[..., 0::2] + products[..., 1::2]
        for column in range(products.shape[-2]):
            found = found + products[..., column, 0]
    return found


def read(accumulator: ArrayLike) -> Floats:
    """Return what RD_MAC gives: lane b is bank b's accumulator, rounded to BF16."""
    return to_bf16(accumulator)


def product(
    matrix: Floats, vector: Floats, *, widest: int, lanes: int, bias: Floats | None = None
) -> Floats:
    """Return a matrix times a vector as banks and ASIC compute it.

    Parameters
    ----------
    matrix : array of float32, shape (outputs, inputs)
        BF16 numbers.
    vector : array of float32, shape (inputs,)
        BF16 numbers.
    widest, lanes : int
        Inputs of a tile (``Grid.widest``), numbers of a column.
    bias : array of float32, shape (outputs,), optional
        BF16 numbers.

    Returns
    -------
    array of float32, shape (outputs,)
        BF16 numbers.
    """
    total: Floats | None = None
    for first in range(0, matrix.shape[1], widest):
        weights = _columns(matrix[:, first : first + widest], lanes)
        inputs = _columns(vector[first : first + widest], lanes)
        tile = read(accumulate(np.zeros(len(matrix), np.float32), weights, inputs))
        total = tile if total is None else total + tile
    if total is None:
        raise ValueError("a product needs inputs")
    return to_bf16(total if bias is None else total + bias)


def _columns(values: Floats, lanes: int) -> Floats:
    """Return numbers as columns of lanes, the last one filled up with zeros."""
    width = values.shape[-1]
    missing = -width % lanes
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])
    return padded.reshape(*values.shape[:-1], -1, lanes)
