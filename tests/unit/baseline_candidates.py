"""Candidates for the tests of the measuring loop: one that is right, others that are not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.baselines.runtime import Candidate, Session
from gateformer.quant.errors import ToolError
from gateformer.quant.execute import run_reals

PLACE = "unit.baseline_candidates:CANDIDATES"
DECODERS_PLACE = "unit.baseline_candidates:DECODERS"
HERE = {"PYTHONPATH": str(Path(__file__).parents[1])}


class Reals:
    """The float64 executor itself as a runtime."""

    version = "1.2"
    bytes = 1000

    def __init__(self, work: Any, threads: int) -> None:
        self.graph, self.batch, self.frames = work.network(), work.batch, work.frames()
        self.batches = len(self.frames["x"]) // self.batch
        self.turn(0)
        self.options: Mapping[str, str] = {
            "threads": str(threads),
            "processors": str(len(os.sched_getaffinity(0))),
            "omp": os.environ["OMP_NUM_THREADS"],
            "malloc": os.environ.get("GLIBC_TUNABLES", ""),
        }
        self.made: dict[str, NDArray[np.float64]] = {}

    def turn(self, place: int) -> None:
        begin = place * self.batch
        self.inputs = {name: one[begin : begin + self.batch] for name, one in self.frames.items()}

    def step(self) -> None:
        self.made = run_reals(self.graph, self.inputs)

    def outputs(self) -> NDArray[np.float64]:
        return np.concatenate([one.reshape(len(one), -1) for one in self.made.values()], axis=1)

    def close(self) -> None:
        self.made = {}


class Logits:
    """The reference of a decoder as a runtime."""

    version = "1.2"
    options: Mapping[str, str] = {}

    def __init__(self, work: Any, threads: int) -> None:
        self.made = work.reference()
        self.bytes = 2 * work.decoder.parameters

    def step(self) -> None:
        self.made = self.made + 0.0

    def outputs(self) -> NDArray[np.float64]:
        return self.made

    def close(self) -> None:
        self.made = np.zeros(0)


class Wrong(Reals):
    """Its outputs are off by a half."""

    def outputs(self) -> NDArray[np.float64]:
        return super().outputs() + 0.5


class Undefined(Reals):
    """Its outputs are no numbers."""

    def outputs(self) -> NDArray[np.float64]:
        return super().outputs() * np.nan


class Nameless(Reals):
    """It says no version, and of its weights what cannot be."""

    version = ""
    bytes = -5


class Detached(Reals):
    """It leaves a process in a session of its own."""

    def __init__(self, work: Any, threads: int) -> None:
        super().__init__(work, threads)
        subprocess.Popen(["sleep", "600"], start_new_session=True)


def crash(work: Any, threads: int) -> Reals:
    """End the process as a defect in native code does."""
    print("about to fall over", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def starve(work: Any, threads: int) -> Reals:
    """End the process as the system does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hang(work: Any, threads: int) -> Reals:
    """Never come back, with a process of its own beside it."""
    if os.fork() == 0:
        time.sleep(600)
    time.sleep(600)
    raise AssertionError


def idle(work: Any, threads: int) -> Reals:
    """Never come back, alone."""
    time.sleep(600)
    raise AssertionError


def refuse(work: Any, threads: int) -> Reals:
    """Say no as a framework does."""
    raise RuntimeError("no kernel for this\n  operation")


def lack(work: Any, threads: int) -> Reals:
    """Need a program that is not here."""
    raise ToolError("E501", "tool not found", layer="g++", fix="apt install g++")


def leave(work: Any, threads: int) -> Reals:
    """Exit as programs do that think they are alone."""
    raise SystemExit(3)


def named(name: str, opener: Callable[[Any, int], Session]) -> Candidate:
    """Return a candidate that needs nothing but numpy."""
    return Candidate(name, "fp64", "native", ("numpy",), "baselines", opener, 1e-9, "cpu", HERE)


CANDIDATES = (
    named("reals", Reals),
    named("wrong", Wrong),
    named("undefined", Undefined),
    named("nameless", Nameless),
    named("detached", Detached),
    named("crash", crash),
    named("starve", starve),
    named("hang", hang),
    named("idle", idle),
    named("refuse", refuse),
    named("leave", leave),
    named("lack", lack),
    Candidate("absent", "fp32", "tuned", ("numpy", "no_such_module"), "baselines", Reals, 1e-9),
)
DECODERS = (named("logits", Logits), named("crash", crash))
