"""Numbers as the bits of a memory: BF16, and INT8 and INT4 side by side.

Owns ``bits``, ``floats``, ``whole``, ``packed`` and ``columns``. Imports nothing but types. A
column is kept as words of 16 bits; INT8 number i is byte i of it, the low byte first, and INT4
numbers 2 i and 2 i + 1 are the low and the high half of byte i.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.arithmetic import Floats

Words = NDArray[np.uint16]
NAN = np.uint16(0x7FC0)
"""The NaN that results have."""


def bits(values: Floats) -> Words:
    """Return BF16 numbers, kept as FP32, as words; every NaN is the same one."""
    exact = np.ascontiguousarray(values, np.float32)
    found = (exact.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(exact), NAN, found)


def floats(words: Words) -> Floats:
    """Return words as BF16 numbers, kept as FP32."""
    return (words.astype(np.uint32) << np.uint32(16)).view(np.float32)


def whole(words: Words, weights: str) -> NDArray[np.int8]:
    """Return columns' numbers, int8 or int4 ones: (..., words) to (..., numbers)."""
    pairs = np.ascontiguousarray(words).view(np.int8)
    if weights == "int8":
        return pairs
    low = np.left_shift(pairs, 4).astype(np.int8)
    both: NDArray[np.int8] = np.stack([low >> 4, pairs >> 4], axis=-1)
    return both.reshape(*pairs.shape[:-1], -1)


def packed(values: NDArray[Any], weights: str = "bf16") -> Words:
    """Return columns' numbers as words, the reverse of ``floats`` and ``whole``.

    Parameters
    ----------
    values : array, shape (..., numbers of a column)
        BF16 numbers kept as FP32, or whole ones that fit their format.
    weights : {"bf16", "int8", "int4"}
        Their format.
    """
    if weights == "bf16":
        return bits(np.asarray(values, np.float32))
    bytes_ = np.ascontiguousarray(values).astype(np.int8)
    if weights == "int8":
        return bytes_.view(np.uint16)
    low, high = bytes_[..., 0::2], bytes_[..., 1::2]
    return (low & np.int8(15) | high << np.int8(4)).astype(np.int8).view(np.uint16)


def columns(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Return rows of numbers as columns of ``count``, the last one filled up with zeros."""
    missing = -values.shape[-1] % count
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])
    return padded.reshape(*values.shape[:-1], -1, count)
