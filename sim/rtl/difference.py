"""Finds the first layer whose integers differ from the model's.

Owns ``first_difference``: one frame again, with every tapped internal value recorded.
Imports the bench's jobs and the build.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.dataflow.design import Design
from gateformer.hw.rtl.emit import Tap
from gateformer.quant.types import IntArray
from gateformer.sim.rtl.build import build
from gateformer.sim.rtl.jobs import Watch
from gateformer.sim.rtl.simulate import job_of, run_jobs
from gateformer.sim.rtl.streams import ByteArray
from gateformer.sim.rtl.tools import Simulator


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
        Internal values by name, in topological order (`gateformer.hw.rtl.emit.Rtl.taps`).
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
    watches = {
        name: Watch(tap.signal, tap.valid, tap.lanes * tap.elements * tap.width)
        for name, tap in wanted.items()
    }
    job = replace(job_of(design, frame), watches=watches)
    built = build(simulator, files, f"gf_{design.name}_axis", cache or work / "builds")
    (record,) = run_jobs(built, [job], work)
    for name, tap in wanted.items():
        found = compare_tap(name, tap, record.watched[name], np.asarray(expected[name])[0])
        if found is not None:
            return found
    return None


def compare_tap(name: str, tap: Tap, bits: ByteArray, expected: IntArray) -> Difference | None:
    """Compare the recorded beats of one value with one frame of it.

    Parameters
    ----------
    name : str
        The value.
    tap : Tap
        Where and how it shows.
    bits : ndarray of uint8, (clocks, bits)
        As `gateformer.sim.rtl.jobs.Record` holds them.
    expected : ndarray of int, value's shape
        The model's integers.
    """
    actual = frame_of(tap, bits, expected.shape)
    for index in np.ndindex(expected.shape):
        if actual[index] != expected[index]:
            got = None if actual[index] is None else int(actual[index])
            return Difference(name, index, int(expected[index]), got, tap.signal)
    return None


def frame_of(tap: Tap, bits: ByteArray, shape: tuple[int, ...]) -> NDArray[Any]:
    """Put a frame together from its beats; elements that are undefined or never came are None.

    Parameters
    ----------
    tap : Tap
        How the value shows: ``lanes`` tokens a beat, a token's last axis over ``folds`` clocks.
    bits : ndarray of uint8, (clocks, bits)
        The beats.
    shape : tuple of int
        Shape of the frame; axis 0 counts tokens where there are two axes or more.
    """
    tokens = shape[0] if len(shape) > 1 else 1
    inner = shape[1:] if len(shape) > 1 else shape
    beats = -(-tokens // tap.lanes)
    held = np.full((beats * tap.folds, tap.lanes * tap.elements), None, dtype=object)
    for clock, record in enumerate(bits[: len(held)]):
        text = record.tobytes().decode()
        for at in range(held.shape[1]):
            end = len(text) - at * tap.width
            held[clock, at] = element(text[end - tap.width : end], tap.signed)
    group = -(-inner[-1] // tap.folds)
    split = held.reshape(beats, tap.folds, tap.lanes, *inner[:-1], group)
    joined = np.moveaxis(split, 1, -2).reshape(beats * tap.lanes, *inner[:-1], group * tap.folds)
    return joined[:tokens, ..., : inner[-1]].reshape(shape)


def element(bits: str, signed: bool) -> int | None:
    """Integer of a text of bits; None where one is undefined."""
    if set(bits) - {"0", "1"}:
        return None
    value = int(bits, 2)
    return value - (1 << len(bits)) if signed and bits[0] == "1" else value
