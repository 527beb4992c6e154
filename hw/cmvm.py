"""Constant matrix times vector without multipliers: adder graphs behind one interface.

Owns ``AdderGraph`` and its two solvers: da4ml (LGPL-3, optional; Sun et al., arXiv 2507.04535)
and canonical signed digits. Imports nothing of gateformer but the errors.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from gateformer.quant.types import IntArray

Step = tuple[int, int, int, bool]
"""``(a, b, shift, subtract)``: a new term, ``term[a] +- term[b] 2^shift``."""


@dataclass(frozen=True, slots=True)
class AdderGraph:
    """Terms that start with the inputs and grow by additions; outputs pick from them.

    Attributes
    ----------
    inputs : int
        Vector length; terms ``0..inputs-1``.
    steps : tuple of Step
        Each appends one term.
    outputs : tuple of (term, shift, negate)
        Result o = +-term x 2^shift; term -1 is zero.
    """

    inputs: int
    steps: tuple[Step, ...]
    outputs: tuple[tuple[int, int, bool], ...]


def solve(
    matrix: IntArray,
    solver: Literal["auto", "da4ml", "csd"] = "auto",
    cache: Path | None = None,
    extra_depth: int = 0,
) -> AdderGraph:
    """Find an adder graph of ``matrix @ x``.

    Parameters
    ----------
    matrix : ndarray of int, (outputs, inputs)
        Constant integers.
    solver : {"auto", "da4ml", "csd"}
        ``auto`` takes da4ml where it is installed and the integers fit its float32 kernel.
    cache : Path, optional
        Folder of solved graphs, keyed by content.
    extra_depth : int
        Adder levels that may be spent beyond the least, to save adders.
    """
    fits = int(np.abs(matrix).max(initial=0)) < 1 << 24
    if solver == "csd" or not fits or find_spec("da4ml") is None or not matrix.any():
        return csd(matrix)
    # Its bytes are the solver's key: Python's integers, which wide biases lead to, have none.
    matrix = np.ascontiguousarray(matrix, np.int64)
    key = hashlib.sha256(json.dumps(["da4ml-2", extra_depth, matrix.tolist()]).encode()).hexdigest()
    if cache is None:
        return _solved(matrix.tobytes(), matrix.shape, extra_depth)
    file = cache / f"{key}.json"
    if (kept := _kept(file, matrix)) is not None:
        return kept
    graph = _solved(matrix.tobytes(), matrix.shape, extra_depth)
    cache.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(f".{os.getpid()}")
    scratch.write_text(
        json.dumps({"inputs": graph.inputs, "steps": graph.steps, "outputs": graph.outputs})
    )
    scratch.replace(file)
    return graph


def _kept(file: Path, matrix: IntArray) -> AdderGraph | None:
    """A stored graph; None where there is none, or it is damaged."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        graph = AdderGraph(
            stored["inputs"],
            tuple((a, b, s, n) for a, b, s, n in stored["steps"]),
            tuple((t, s, n) for t, s, n in stored["outputs"]),
        )
        whole = graph.inputs == matrix.shape[1] and len(graph.outputs) == len(matrix)
        return graph if whole and _equal(graph, matrix) else None
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None


@lru_cache(maxsize=1024)
def _solved(raw: bytes, shape: tuple[int, int], extra_depth: int) -> AdderGraph:
    from da4ml.cmvm import solve as da4ml_solve

    matrix = np.frombuffer(raw, np.int64).reshape(shape)
    pipeline = da4ml_solve(np.ascontiguousarray(matrix.T, np.float32), hard_dc=extra_depth)
    # A pipeline is a chain of matrices; each stage's outputs are the next one's inputs.
    steps: list[Step] = []
    wires: list[tuple[int, int, bool]] = [(i, 0, False) for i in range(shape[1])]
    count = shape[1]
    for stage in pipeline.solutions:
        terms: list[tuple[int, int, bool]] = []
        for op in stage.ops:
            if op.opcode == -1:
                term, shift, negate = wires[op.id0]
                terms.append((term, shift + stage.inp_shifts[op.id0], negate))
                continue
            (a, shift_a, negate_a), (b, shift_b, negate_b) = terms[op.id0], terms[op.id1]
            if op.opcode not in (0, 1) or a < 0 or b < 0:
                return csd(matrix)
            # a 2^sa +- b 2^(sb + data), the common sign and scale taken out
            subtract = (op.opcode == 1) ^ negate_a ^ negate_b
            steps.append((a, b, shift_b + op.data - shift_a, subtract))
            terms.append((count, shift_a, negate_a))
            count += 1
        wires = [
            (-1, 0, False)
            if index < 0
            else (terms[index][0], terms[index][1] + shift, terms[index][2] ^ negate)
            for index, shift, negate in zip(
                stage.out_idxs, stage.out_shifts, stage.out_negs, strict=True
            )
        ]
    graph = AdderGraph(shape[1], tuple(steps), tuple(wires))
    return graph if _equal(graph, matrix) else csd(matrix)


def _equal(graph: AdderGraph, matrix: IntArray) -> bool:
    """Whether a graph computes the matrix: on unit vectors, in exact fractions of two."""
    terms = [row.astype(object) for row in np.eye(graph.inputs, dtype=np.int64)]
    scale = [0] * graph.inputs
    for a, b, shift, subtract in graph.steps:
        # term = mantissa 2^scale
        base = min(scale[a], scale[b] + shift)
        left = terms[a] * (1 << (scale[a] - base))
        right = terms[b] * (1 << (scale[b] + shift - base))
        terms.append(left - right if subtract else left + right)
        scale.append(base)
    for row, (term, shift, negate) in zip(matrix, graph.outputs, strict=True):
        if term < 0:
            if row.any():
                return False
            continue
        power = scale[term] + shift
        found = -terms[term] if negate else terms[term]
        if power < 0:
            found, row = found, row.astype(object) * (1 << -power)
        else:
            found = found * (1 << power)
        if any(int(x) != int(y) for x, y in zip(found, row, strict=True)):
            return False
    return True


def digits(value: int) -> list[tuple[int, bool]]:
    """Canonical signed digits: ``(shift, negate)`` of the non-zero ones, lowest first."""
    found: list[tuple[int, bool]] = []
    shift = 0
    while value:
        if value & 1:
            negate = value & 3 == 3
            found.append((shift, negate))
            value += 1 if negate else -1
        value >>= 1
        shift += 1
    return found


def csd(matrix: IntArray) -> AdderGraph:
    """Each output on its own: a balanced tree over canonical signed digits."""
    steps: list[Step] = []
    outputs: list[tuple[int, int, bool]] = []
    count = matrix.shape[1]
    for row in matrix.tolist():
        level = [(i, s, n) for i, weight in enumerate(row) for s, n in digits(weight)]
        while len(level) > 1:
            merged = []
            for (a, sa, na), (b, sb, nb) in zip(level[::2], level[1::2], strict=False):
                steps.append((a, b, sb - sa, na ^ nb))
                merged.append((count, sa, na))
                count += 1
            level = merged + (level[-1:] if len(level) % 2 else [])
        outputs.append(level[0] if level else (-1, 0, False))
    return AdderGraph(matrix.shape[1], tuple(steps), tuple(outputs))


def used_once(graph: AdderGraph) -> set[int]:
    """Steps whose term one other step, or one output, reads once: parts of a longer sum."""
    uses = Counter(term for a, b, _, _ in graph.steps for term in (a, b))
    uses.update(term for term, _, _ in graph.outputs)
    return {i for i in range(len(graph.steps)) if uses[graph.inputs + i] == 1}


def additions(graph: AdderGraph, ternary: bool = False, more: int = 0) -> int:
    """Adders that a graph takes.

    Parameters
    ----------
    graph : AdderGraph
        The terms.
    ternary : bool
        Whether an adder takes three operands: then a sum of n of them is n / 2 adders.
    more : int
        What is added to each output beside: its bias, a residual.
    """
    inner = used_once(graph)
    sizes = [1] * graph.inputs
    whole = []
    for index, (a, b, _, _) in enumerate(graph.steps):
        size = sizes[a] + sizes[b]
        sizes.append(size if index in inner else 1)
        if index not in inner:
            whole.append(size)
    whole += [sizes[term] + more for term, _, _ in graph.outputs if term >= 0]
    most = 2 if ternary else 1
    return sum(-(-(size - 1) // most) for size in whole)


def trailing_zeros(matrix: IntArray) -> int:
    """The power of two that all weights have."""
    whole = 0
    for value in matrix.ravel():
        whole |= abs(int(value))
    return (whole & -whole).bit_length() - 1 if whole else 0
