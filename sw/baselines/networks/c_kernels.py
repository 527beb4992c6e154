"""Matrix products and attention as loops over vectors of tokens, in float32 C.

Owns ``product`` and ``attend``. Imports the C of frames. The vectors are GCC's own type,
so that sums stay in registers.
"""

from __future__ import annotations

import numpy as np

from gateformer.baselines.networks.c_code import Code, padded, vec
from gateformer.baselines.networks.meaning import Heads
from gateformer.quant.types import FloatArray

SUMS = 4
"""Partial sums of a long product, so that one addition need not wait for the one before."""


def product(
    code: Code, x: str, kernel: FloatArray, bias: FloatArray | None, made: str, tokens: int
) -> None:
    """Say the product of the features at ``x`` and a matrix (inputs, outputs), and a bias.

    Parameters
    ----------
    code : Code
        Takes it.
    x, made : str
        C arrays: the tensor's features and the result's.
    kernel : ndarray of float64, (inputs, outputs)
        The matrix.
    bias : ndarray of float64, (outputs,), or None
        Added to every token.
    tokens : int
        Of the tensor.
    """
    inputs, outputs = kernel.shape
    offset = np.zeros(outputs) if bias is None else bias
    if tokens == 1:
        _vector(code, x, kernel, offset, made)
        return
    wide = padded(tokens)
    lanes = vec(wide)
    vector = f"vec{lanes}"
    w = code.weight(np.ascontiguousarray(kernel.T, np.float32), "float")
    b = code.weight(offset.astype(np.float32), "float")
    with code.loop("o", outputs), code.loop("j", wide, lanes):
        code.say(f"{vector} a = {b}[o] - ({vector}){{0}};")
        with code.loop("i", inputs, unroll=8):
            code.say(f"a += {w}[o * {inputs} + i] * *(const {vector} *)&{x}[i * {wide} + j];")
        code.say(f"*({vector} *)&{made}[o * {wide} + j] = a;")


def _vector(code: Code, x: str, kernel: FloatArray, offset: FloatArray, made: str) -> None:
    """Multiply a vector: its outputs side by side, in partial sums."""
    inputs, outputs = kernel.shape
    room = padded(outputs)
    held = np.zeros((inputs, room), np.float32)
    held[:, :outputs] = kernel
    bias = np.zeros(room, np.float32)
    bias[:outputs] = offset
    w, b = code.weight(held, "float"), code.weight(bias, "float")
    lanes = vec(room)
    vector = f"vec{lanes}"
    sums = SUMS if inputs >= 2 * SUMS else 1
    whole = inputs - inputs % sums
    out = code.scratch("float", room)
    with code.loop("j", room, lanes):
        code.say(f"{vector} a0 = *(const {vector} *)&{b}[j];")
        for part in range(1, sums):
            code.say(f"{vector} a{part} = {{0}};")
        with code.loop("i", whole, sums):
            for part in range(sums):
                place = f"(i + {part}) * {room} + j"
                code.say(f"a{part} += {x}[i + {part}] * *(const {vector} *)&{w}[{place}];")
        for part, row in enumerate(range(whole, inputs)):
            place = f"{row} * {room} + j"
            code.say(f"a{part} += {x}[{row}] * *(const {vector} *)&{w}[{place}];")
        total = " + ".join(f"a{part}" for part in range(sums))
        code.say(f"*({vector} *)&{out}[j] = {total};")
    with code.loop("o", outputs):
        code.say(f"{made}[o] = {out}[o];")


def attend(
    code: Code, heads: Heads, q: str, key: tuple[str, str], v: str, mixed: str, seen: str
) -> None:
    """Say the heads' contexts.

    Parameters
    ----------
    code : Code
        Takes it.
    heads : Heads
        Their sizes.
    q, v, mixed : str
        C arrays of queries, values and the result: heads x size x tokens.
    key : (str, str)
        C array of keys, and where head ``h`` begins in it.
    seen : str
        C condition for token ``t`` to see key ``s``; empty where it always does.
    """
    count, size, held = heads.wq.shape[1], heads.wq.shape[2], heads.wv.shape[2]
    tokens, keys, (k, own) = padded(heads.tokens), padded(heads.keys), key
    score = code.scratch("float", heads.keys * tokens)
    top, total = (code.scratch("float", tokens) for _ in range(2))
    lanes = vec(tokens)
    vector = f"vec{lanes}"
    with code.loop("h", count):
        with code.loop("s", heads.keys), code.loop("j", tokens, lanes):
            code.say(f"{vector} a = {{0}};")
            with code.loop("i", size, unroll=8):
                left = f"*(const {vector} *)&{q}[(h * {size} + i) * {tokens} + j]"
                code.say(f"a += {left} * {k}[{own}i * {keys} + s];")
            code.say(f"*({vector} *)&{score}[s * {tokens} + j] = a;")
        with code.loop("t", tokens):
            code.say(f"{top}[t] = -1e30f; {total}[t] = 0.0f;")
        each = f"{score}[s * {tokens} + t]"
        with code.loop("s", heads.keys), code.loop("t", tokens):
            one = each if not seen else f"({seen} ? {each} : -1e30f)"
            code.say(f"{top}[t] = most({top}[t], {one});")
        with code.loop("s", heads.keys), code.loop("t", tokens):
            share = f"exponential({each} - {top}[t])"
            code.say(f"const float e = {share if not seen else f'{seen} ? {share} : 0.0f'};")
            code.say(f"{each} = e; {total}[t] += e;")
        with code.loop("t", tokens):
            # A row without keys has the sum zero, and its context stays zero.
            code.say(f"{total}[t] = 1.0f / most({total}[t], 1e-30f);")
        with code.loop("i", held), code.loop("j", tokens, lanes):
            code.say(f"{vector} a = {{0}};")
            with code.loop("s", heads.keys, unroll=8):
                left = f"*(const {vector} *)&{score}[s * {tokens} + j]"
                code.say(f"a += {left} * {v}[(h * {held} + i) * {keys} + s];")
            out = f"*({vector} *)&{mixed}[(h * {held} + i) * {tokens} + j]"
            code.say(f"{out} = a * *({vector} *)&{total}[j];")
