"""Frames of integers as the bytes that a DMA moves, and back.

Owns ``to_memory`` and ``from_memory``. Imports the streams' packing, which the simulations share.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gateformer.hw.dataflow.words import Words
from gateformer.quant.errors import BoardError
from gateformer.quant.types import IntArray
from gateformer.sim.rtl.streams import ByteArray, pack, unpack


def to_memory(layout: Words, frames: Mapping[str, IntArray]) -> ByteArray:
    """Return the bytes of frames.

    Parameters
    ----------
    layout : Words
        The stream's.
    frames : mapping of str to ndarray of int, (n, tokens, features) or (n, features)
        Raw integers by value; the mask too, where the stream has one: (n, tokens[, 1]).

    Returns
    -------
    ndarray of uint8, (n * layout.frame_bytes,)

    Raises
    ------
    DataError
        E602 where a shape or a range does not fit.
    """
    beats = pack(layout.port, frames)
    memory = np.zeros((len(beats), layout.beat_bytes), np.uint8)
    memory[:, : layout.data_bytes] = beats.data
    if beats.user is not None:
        mask = np.packbits(beats.user, axis=1, bitorder="little")
        memory[:, layout.data_bytes : layout.data_bytes + layout.mask_bytes] = mask
    return memory.reshape(-1)


def from_memory(layout: Words, octets: ByteArray) -> IntArray:
    """Return the frames in bytes.

    Parameters
    ----------
    layout : Words
        The stream's.
    octets : ndarray of uint8, (n * layout.frame_bytes,)
        As a DMA wrote them.

    Returns
    -------
    ndarray of int, (n, tokens, features)

    Raises
    ------
    BoardError
        E908 where the padding is not what the hardware writes.
    """
    beats = np.asarray(octets).reshape(-1, layout.beat_bytes)
    frames, problems = unpack(layout.port, beats[:, : layout.data_bytes])
    if beats[:, layout.data_bytes :].any():
        problems.append(f"{layout.port.name}: bytes behind a beat are not zero")
    if problems:
        raise BoardError(
            "E908",
            "bytes that are no frames",
            layer=layout.port.value,
            cause="; ".join(problems),
            fix="Take the .bit, .hwh and .json of one build",
        )
    return frames


def mask_from_memory(layout: Words, octets: ByteArray) -> IntArray:
    """Return the mask bits in an input's bytes: (n, tokens, 1)."""
    beats = np.asarray(octets).reshape(-1, layout.beat_bytes)
    start, lanes = layout.data_bytes, layout.port.lanes
    bits = np.unpackbits(beats[:, start : start + layout.mask_bytes], axis=1, bitorder="little")
    tokens = bits[:, :lanes].reshape(-1, layout.port.beats * lanes)[:, : layout.port.tokens]
    return tokens[..., np.newaxis].astype(np.int64)
