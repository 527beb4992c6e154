"""Finds the first layer whose integers differ from the model's.

Owns ``first_difference``: one frame again, with every tapped internal value recorded.
Imports the bench's jobs and the build.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateformer.hw.dataflow.design import Design
from gateformer.quant.types import IntArray
from gateformer.sim.rtl.build import Simulator, build
from gateformer.sim.rtl.jobs import Job, Tap
from gateformer.sim.rtl.simulate import job_of, run_jobs
from gateformer.sim.rtl.streams import ByteArray


@dataclass(frozen=True, slots=True)
class Difference:
    """The first integer, in the order of the layers, that differs from the model.

    Attributes
    ----------
    value : str
        The graph's value.
    index : tuple of int
        Index into the value, the batch axis left out.
    expected : int
        The model's integer.
    actual : int or None
        The hardware's; None where its bits are undefined or no beat came.
    signal : str
        The tapped signal.
    """

    value: str
    index: tuple[int, ...]
    expected: int
    actual: int | None
    signal: str

    def __str__(self) -> str:
        place = ", ".join(map(str, self.index))
        got = "nothing defined" if self.actual is None else self.actual
        return f"'{self.value}' element ({place}): expected {self.expected}, got {got}"


def first_difference(
    design: Design,
    files: Mapping[str, str],
    taps: Mapping[str, Tap],
    frame: Mapping[str, IntArray],
    expected: Mapping[str, IntArray],
    work: Path,
    *,
    simulator: Simulator = "icarus",
    cache: Path | None = None,
) -> Difference | None:
    """Run one frame again and compare every tapped value, first layer first.

    Parameters
    ----------
    design, files
        As for `gateformer.sim.rtl.simulate.simulate`.
    taps : mapping of str to Tap
        Internal values by name, in topological order.
    frame : mapping of str to ndarray of int, (1, *shape)
        The inputs of the frame, masks too.
    expected : mapping of str to ndarray of int, (1, *shape)
        Every value of the model for this frame.
    work : Path
        Folder for the run's files.
    simulator : {"icarus", "verilator"}
        The simulator; Icarus tells undefined bits.
    cache : Path, optional
        Folder of finished builds.

    Returns
    -------
    Difference or None
        None where all tapped values agree.
    """
    wanted = {name: tap for name, tap in taps.items() if name in expected}
    plain = job_of(design, frame)
    job = Job(plain.inputs, plain.outputs, None, plain.drain, plain.patience, None, wanted)
    built = build(simulator, files, f"gf_{design.name}_axis", cache or work / "builds")
    (record,) = run_jobs(built, [job], work)
    for name, tap in wanted.items():
        found = compare_tap(name, tap, record.taps[name], np.asarray(expected[name])[0])
        if found is not None:
            return found
    return None


def compare_tap(name: str, tap: Tap, bits: ByteArray, expected: IntArray) -> Difference | None:
    """Compare the recorded beats of one value with one frame of it."""
    actual: list[int | None] = []
    for beat in bits:
        text = beat.tobytes().decode()
        actual += [
            element(text[len(text) - (i + 1) * tap.width : len(text) - i * tap.width], tap.signed)
            for i in range(tap.lanes * tap.features)
        ]
    shape = expected.shape if expected.ndim else (1,)
    for at in range(math.prod(shape)):
        wanted = int(expected.flat[at])
        got = actual[at] if at < len(actual) else None
        if got != wanted:
            index = tuple(int(i) for i in np.unravel_index(at, shape))
            return Difference(name, index, wanted, got, tap.signal)
    return None


def element(bits: str, signed: bool) -> int | None:
    """Integer of a text of bits; None where one is undefined."""
    if set(bits) - {"0", "1"}:
        return None
    value = int(bits, 2)
    return value - (1 << len(bits)) if signed and bits[0] == "1" else value
