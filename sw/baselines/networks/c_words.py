"""Whole numbers in C: the type that holds so many bits, constants, and vectors of lanes.

Owns ``word``, ``whole``, ``modulo``, ``vector``, ``load`` and ``store``. Imports types and the C of
frames. Each value has the narrowest of C's 32, 64 and 128 bits that holds its type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.networks.c_code import Buffer, vec
from gateformer.quant.errors import BaselineError
from gateformer.quant.types import Fixed

BITS = {"int32_t": 32, "int64_t": 64, "__int128": 128}
SHORT = {"int32_t": "i", "int64_t": "l", "__int128": "w"}
"""First letter of a type's vectors: ``i16`` is sixteen of them."""
PRELUDE = "#include <stdint.h>\n" + "".join(
    f"typedef {kind} {letter}{lanes} __attribute__((vector_size({lanes * BITS[kind] // 8}), "
    "may_alias));\n"
    for kind, letter in SHORT.items()
    for lanes in (16, 8, 4)
    if kind != "__int128"
)


def signed_bits(kind: Fixed) -> int:
    """Return the bits of a type in two's complement."""
    return kind.width + (not kind.signed)


def word(bits: int) -> str:
    """Return the C type of so many bits, the sign included.

    Raises
    ------
    BaselineError
        E851 beyond 128.
    """
    for name, held in BITS.items():
        if bits <= held:
            return name
    cause = f"A value has {bits} bits, and C's widest integer 128"
    raise BaselineError("E851", "runtime failed", layer="plain-c", cause=cause)


def whole(value: int, kind: str) -> str:
    """Return a whole number as C."""
    if -(1 << 63) < value < 1 << 63:
        return f"({kind}){value}" if abs(value) < 1 << 31 else f"({kind}){value}LL"
    upper, lower = value >> 64, value & ((1 << 64) - 1)
    return f"((({kind}){upper}LL << 32 << 32) + ({kind}){lower}ULL)"


def modulo(array: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return integers as a C type holds them, its highest bits dropped."""
    bits = BITS[kind]
    if kind != "__int128" and array.dtype != object:
        return array.astype(np.dtype(kind.removesuffix("_t")))
    low = [int(one) & ((1 << bits) - 1) for one in array.ravel()]
    raw = b"".join(one.to_bytes(bits // 8, "little") for one in low)
    kept = f"V{bits // 8}" if kind == "__int128" else kind.removesuffix("_t")
    return np.frombuffer(raw, kept).reshape(array.shape)


def vector(tokens: int, *kinds: str) -> tuple[int, str]:
    """Return the lanes of a vector, and its type: the last of those that meet in it."""
    # No processor has vectors of 128-bit integers.
    lanes = 1 if "__int128" in kinds else vec(tokens)
    kind = kinds[-1]
    return lanes, kind if lanes == 1 else f"{SHORT[kind]}{lanes}"


def load(x: Buffer, place: str, kind: str, lanes: int) -> str:
    """Return lanes of a tensor in a type."""
    if lanes == 1:
        return f"({kind}){x.name}[{place}]"
    held = f"*(const {SHORT[x.kind]}{lanes} *)&{x.name}[{place}]"
    return held if x.kind == kind else f"__builtin_convertvector({held}, {SHORT[kind]}{lanes})"


def store(made: Buffer, place: str, name: str, lanes: int) -> str:
    """Return the statement that keeps lanes."""
    if lanes == 1:
        return f"{made.name}[{place}] = {name};"
    return f"*({SHORT[made.kind]}{lanes} *)&{made.name}[{place}] = {name};"
