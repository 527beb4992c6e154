"""C of one network: where its tensors lie, its loops, its weights, and the function of one frame.

Owns ``Code`` and ``Buffer``. Imports numpy alone. A tensor of T tokens lies with its tokens side
by side, features after one another: the tokens of a feature fill a vector register, and matrices
multiply them without moving a lane. Nothing of the model's file is in the text: tensors have
numbers for names, and weights stay data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.ops.base import Shape

ALIGN = 64
"""Bytes of a cache line, and of the widest vector register."""
Index = tuple[str, ...]


def padded(tokens: int) -> int:
    """Return how many tokens a feature has room for: whole vectors."""
    for whole in (1, 4, 8):
        if tokens <= whole:
            return whole
    return -(-tokens // 8) * 8


def split(shape: Shape) -> tuple[int, Shape]:
    """Return tokens and features; a vector is one token."""
    return (shape[0], shape[1:]) if len(shape) > 1 else (1, shape)


def size(shape: Shape) -> int:
    """Return the elements of a tensor's buffer."""
    tokens, features = split(shape)
    return padded(tokens) * prod(features)


def address(shape: Shape, index: Index) -> str:
    """Return where an element lies, as C; an axis of size 1 is read by every index."""
    tokens, features = split(shape)
    token, rest = (index[0], index[1:]) if len(shape) > 1 else ("0", index)
    place = ""
    for extent, one in zip(features, rest, strict=True):
        if extent == 1:
            one = "0"
        place = one if place in ("", "0") else f"({place} * {extent} + {one})"
    if tokens == 1:
        return place or "0"
    return token if place in ("", "0") else f"{place} * {padded(tokens)} + {token}"


def arranged(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a constant tensor (its shape) as it lies in memory, zeros where there is no token."""
    tokens, features = split(array.shape)
    held = np.zeros((prod(features), padded(tokens)), array.dtype)
    held[:, :tokens] = np.moveaxis(array.reshape(tokens, -1), 0, -1)
    return held.ravel()


@dataclass(frozen=True, slots=True)
class Buffer:
    """A tensor in memory.

    Attributes
    ----------
    name : str
        Of the C array, or a pointer into the weights.
    shape : tuple of int
        Of the tensor.
    kind : str
        C type of its elements.
    """

    name: str
    shape: Shape
    kind: str

    def at(self, index: Index) -> str:
        """Return an element as C."""
        return f"{self.name}[{address(self.shape, index)}]"


class Code:
    """Collects the C of one frame.

    Parameters
    ----------
    scalar : str
        C type of inputs and outputs.
    inputs, outputs : sequence of tuple of int
        Their shapes.
    """

    def __init__(self, scalar: str, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> None:
        self.scalar, self.inputs, self.outputs = scalar, inputs, outputs
        self.lines: list[str] = []
        self.blob = bytearray()
        self._declared: list[str] = []
        self._known: dict[tuple[str, bytes], int] = {}
        self._count = 0
        self._depth = 1

    def say(self, line: str) -> None:
        """Append a line."""
        self.lines.append("    " * self._depth + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Put lines into braces."""
        self.say(f"{head} {{")
        self._depth += 1
        yield
        self._depth -= 1
        self.say("}")

    @contextmanager
    def loop(self, name: str, count: int, step: int = 1, unroll: int = 0) -> Iterator[None]:
        """Loop over 0..count."""
        if unroll:
            self.say(f"#pragma GCC unroll {unroll}")
        with self.block(f"for (int {name} = 0; {name} < {count}; {name} += {step})"):
            yield

    @contextmanager
    def over(self, shape: Shape, lanes: bool = True) -> Iterator[Index]:
        """Loop over a tensor's elements, tokens innermost; ``lanes``: empty ones with them."""
        tokens, features = split(shape)
        names = [f"i{axis}" for axis in range(len(features))]
        heads = [(name, extent) for name, extent in zip(names, features, strict=True)]
        token = "0"
        if tokens > 1:
            heads.append(("t", padded(tokens) if lanes else tokens))
            token = "t"
        for name, extent in heads:
            self.say(f"for (int {name} = 0; {name} < {extent}; {name}++) {{")
            self._depth += 1
        yield ((token, *names) if len(shape) > 1 else tuple(names))
        for _ in heads:
            self._depth -= 1
            self.say("}")

    def buffer(self, shape: Shape, kind: str) -> Buffer:
        """Declare a tensor."""
        self._count += 1
        name = f"v{self._count}"
        self.declare(kind, name, size(shape))
        return Buffer(name, shape, kind)

    def scratch(self, kind: str, count: int) -> str:
        """Declare an array; returns its name."""
        self._count += 1
        self.declare(kind, f"s{self._count}", count)
        return f"s{self._count}"

    def declare(self, kind: str, name: str, count: int) -> None:
        """Declare an array of the frame; each thread has its own."""
        aligned = f"__attribute__((aligned({ALIGN})))"
        self._declared.append(f"    static _Thread_local {kind} {name}[{count}] {aligned};")

    def weight(self, array: NDArray[np.generic], kind: str) -> str:
        """Put numbers into the weights; returns the pointer to them as C."""
        raw = np.ascontiguousarray(array).tobytes()
        place = self._known.get((kind, raw))
        if place is None:
            self.blob.extend(b"\0" * (-len(self.blob) % ALIGN))
            place = len(self.blob)
            self._known[kind, raw] = place
            self.blob.extend(raw)
        return f"((const {kind} *)(w + {place}))"

    def compute(self, made: Buffer, element: Callable[[Index], str]) -> Buffer:
        """Fill a tensor element by element."""
        with self.over(made.shape) as index:
            self.say(f"{made.at(index)} = {element(index)};")
        return made

    def read(self, place: int, made: Buffer) -> Buffer:
        """Lay an input out as a tensor."""
        with self.over(made.shape, lanes=False) as index:
            self.say(f"{made.at(index)} = x{place}[{flat(made.shape, index)}];")
        return made

    def write(self, place: int, shape: Shape, element: Callable[[Index], str]) -> None:
        """Give an output's elements."""
        with self.over(shape, lanes=False) as index:
            self.say(f"y{place}[{flat(shape, index)}] = {element(index)};")

    def text(self, prelude: str) -> str:
        """Return the whole source.

        ``run(weights, inputs, outputs, frames, threads)`` is one step. ``repeat`` runs many, each
        on the next of some batches that lie one after the other, from ``first`` on, and reads the
        clock around each: neither a call from Python nor its way back is in the times.
        """
        names = [f"x{k}" for k in range(len(self.inputs))]
        given = [f"const {self.scalar} *restrict {name}" for name in names]
        made = [f"{self.scalar} *restrict y{k}" for k in range(len(self.outputs))]
        takes = ", ".join(["const char *restrict w", *given, *made])
        passed = ["w"]
        passed += [f"in[{k}] + n * {prod(shape)}L" for k, shape in enumerate(self.inputs)]
        passed += [f"out[{k}] + n * {prod(shape)}L" for k, shape in enumerate(self.outputs)]
        return "\n".join(
            [
                prelude,
                f"static void frame({takes})",
                "{",
                *self._declared,
                *self.lines,
                "}",
                "",
                f"void run(const char *w, const {self.scalar} *const *in,",
                f"         {self.scalar} *const *out, long frames, int threads)",
                "{",
                "    #pragma omp parallel for num_threads(threads) if (frames > 1 && threads > 1)",
                "    for (long n = 0; n < frames; n++)",
                f"        frame({', '.join(passed)});",
                "}",
                "",
                *_repeat(self.scalar, self.inputs),
            ]
        )


def _repeat(scalar: str, inputs: Sequence[Shape]) -> list[str]:
    """Return the function that times steps."""
    placed = [
        f"        now[{k}] = in[{k}] + place * frames * {prod(shape)}L;"
        for k, shape in enumerate(inputs)
    ]
    return [
        "#include <time.h>",
        f"void repeat(const char *w, const {scalar} *const *in, {scalar} *const *out,",
        "            long frames, int threads, long batches, long first, long calls,",
        "            double *seconds)",
        "{",
        "    for (long call = 0; call < calls; call++) {",
        "        long place = (first + call) % batches;",
        f"        const {scalar} *now[{len(inputs)}];",
        *placed,
        "        struct timespec began, ended;",
        "        clock_gettime(CLOCK_MONOTONIC, &began);",
        "        run(w, now, out, frames, threads);",
        "        clock_gettime(CLOCK_MONOTONIC, &ended);",
        "        seconds[call] = (double)(ended.tv_sec - began.tv_sec)",
        "                        + 1e-9 * (double)(ended.tv_nsec - began.tv_nsec);",
        "    }",
        "}",
        "",
    ]


def flat(shape: Shape, index: Index) -> str:
    """Return an element's place in row-major order, as C."""
    place = index[0]
    for extent, one in zip(shape[1:], index[1:], strict=True):
        place = f"({place} * {extent} + {one})"
    return place


def unflat(shape: Shape, place: str) -> Index:
    """Return the index of a row-major place, as C."""
    rest = prod(shape)
    index = []
    for extent in shape:
        rest //= extent
        index.append(f"(({place}) / {rest} % {extent})")
    return tuple(index)


def within(shape: Shape, index: Index) -> Index:
    """Return the index of an operand whose axes of size 1 are repeated."""
    return tuple("0" if extent == 1 else one for extent, one in zip(shape, index, strict=True))


def vec(lanes: int) -> int:
    """Return the widest vector that so many lanes are whole ones of: 16, 8, 4 or 1."""
    return next(wide for wide in (16, 8, 4, 1) if lanes % wide == 0)
