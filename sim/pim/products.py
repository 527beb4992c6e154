"""Matrices times many vectors at once, as banks and ASIC compute each; nothing is addressed.

Owns ``product``, ``float_tiles`` and ``whole_tiles``. Imports the arithmetic, the ASIC's functions,
weights and what numba translates.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import accumulate, read, to_bf16
from gateformer.hw.pim.layout import Floats
from gateformer.sim.pim import words
from gateformer.sim.pim.compiled import compiled as translated
from gateformer.sim.pim.weights import Numbers, Whole

TOGETHER = 128
"""Vectors that are worked on together: their tile stays in a core's cache."""
EXACT = 1024
"""INT8 products whose sum FP32 holds exactly, whatever the order: 128 x 127 x 1024 < 2^24."""


def product(
    matrix: Numbers,
    vectors: Floats,
    *,
    widest: int,
    lanes: int,
    bias: Floats | None = None,
    compiled: bool | None = None,
) -> Floats:
    """Return a matrix times vectors.

    Parameters
    ----------
    matrix : array of float32 or Whole, shape (outputs, inputs)
        BF16 or whole numbers.
    vectors : array of float32, shape (vectors, inputs)
        BF16 numbers.
    widest, lanes : int
        Inputs of a tile (``Grid.widest``); BF16 numbers of a column, a power of two.
    bias : array of float32, shape (outputs,), optional
        BF16 numbers.
    compiled : bool or None
        Whether numba translates the loop; None for wherever it is installed. The bits are the same.

    Returns
    -------
    array of float32, shape (vectors, outputs)
        BF16 numbers: tiles' results added in FP32, ascending, then the bias, rounded once.
    """
    if isinstance(matrix, Whole):
        tiles = whole_tiles(matrix, vectors, widest)
    else:
        tiles = float_tiles(matrix, vectors, widest, lanes, compiled)
    return to_bf16(functions.added(tiles, bias))


def float_tiles(
    matrix: Floats, vectors: Floats, widest: int, lanes: int, compiled: bool | None = None
) -> Iterator[Floats]:
    """Yield what RD_MAC gives for each tile: vectors x outputs, BF16 numbers."""
    for first in range(0, matrix.shape[1], widest):
        weights = words.columns(matrix[:, first : first + widest], lanes)
        inputs = words.columns(vectors[:, first : first + widest], lanes)
        yield read(_sums(weights, inputs, compiled))


def _sums(weights: Floats, inputs: Floats, compiled: bool | None) -> Floats:
    """Accumulators of (outputs, columns, lanes) times (vectors, columns, lanes)."""
    fast = None if compiled is False else translated()
    found = np.zeros((len(inputs), len(weights)), np.float32)
    if fast is None:
        for number, one in enumerate(inputs):
            found[number] = accumulate(found[number], weights, one)
        return found
    flat = np.ascontiguousarray(weights.reshape(len(weights), -1))
    for first in range(0, len(inputs), TOGETHER):
        some = np.ascontiguousarray(inputs[first : first + TOGETHER].transpose(1, 2, 0))
        sums = np.empty((len(weights), some.shape[-1]), np.float32)
        fast.matrix_bf16(flat, some, sums)
        found[first : first + TOGETHER] = sums.T
    return found


def whole_tiles(matrix: Whole, vectors: Floats, widest: int) -> Iterator[Floats]:
    """Yield each tile's result in FP32, scaled: vectors x outputs.

    The ASIC quantizes each tile of a vector to INT8; sums are exact in INT32, which holds those of
    130,000 inputs and more.
    """
    for first in range(0, matrix.numbers.shape[1], widest):
        numbers = matrix.numbers[:, first : first + widest]
        sent, step = functions.quantize(vectors[:, first : first + widest])
        sums = read(_exact(numbers, sent).astype(np.float32))
        yield functions.rescaled(sums, matrix.scales, step[:, None])


def _exact(numbers: NDArray[np.int8], sent: Floats) -> NDArray[np.float64]:
    """Return exact sums of products: vectors x outputs."""
    found = np.zeros((len(sent), len(numbers)))
    for first in range(0, numbers.shape[1], EXACT):
        own = numbers[:, first : first + EXACT].astype(np.float32)
        found += sent[:, first : first + EXACT] @ own.T
    return found
