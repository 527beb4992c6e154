"""Programs side by side: at most so many at once, none left behind, none that hangs unnoticed.

Owns ``Job`` and ``run_jobs``. Imports the errors and the signals.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gateformer.quant.errors import ToolError
from gateformer.quant.signals import heeding_signals

POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Job:
    """One program to run.

    Attributes
    ----------
    command : tuple of str
        Program and arguments.
    log : Path
        Takes its standard output and its errors.
    """

    command: tuple[str, ...]
    log: Path


class Hung(Exception):  # noqa: N818 - an event that the caller puts into words
    """A program showed no sign of life for too long; all are ended."""


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    environment: Mapping[str, str],
    *,
    patience: float,
    life: Callable[[int], int],
) -> list[int]:
    """Run programs, as many at once as there are cores; end the rest where one fails.

    Parameters
    ----------
    jobs : sequence of Job
        Started in this order.
    folder : Path
        Their working folder.
    environment : mapping of str to str
        Their environment.
    patience : float
        Seconds without a sign of life after which all are ended.
    life : callable
        Given how many have finished, returns a number that grows as long as there is progress.

    Returns
    -------
    list of int
        Exit code of each program that ended by itself, in the order of the jobs; negative: the
        signal that ended it. Programs after the first failure may be missing.

    Raises
    ------
    Hung
        Where nothing moved for ``patience`` seconds.
    ToolError
        E502 where a program cannot be started.
    """
    waiting = list(enumerate(jobs))[::-1]
    running: dict[int, subprocess.Popen[bytes]] = {}
    codes: dict[int, int] = {}
    seen, since = -1, time.monotonic()
    with heeding_signals(), _ending(running):
        while (waiting or running) and not any(codes.values()):
            while waiting and len(running) < cores():
                number, job = waiting.pop()
                running[number] = _start(job, folder, environment)
            for number, process in list(running.items()):
                code = process.poll()
                if code is not None:
                    codes[number] = code
                    del running[number]
            now = life(len(codes))
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > patience:
                raise Hung
            if running:
                time.sleep(POLL_SECONDS)
    return [codes[number] for number in sorted(codes)]


@contextmanager
def _ending(running: Mapping[int, subprocess.Popen[bytes]]) -> Iterator[None]:
    """End what still runs, whatever happens."""
    try:
        yield
    finally:
        for process in running.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(job: Job, folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program as the head of its own group, so that its helpers end with it."""
    with job.log.open("wb") as log:
        try:
            return subprocess.Popen(
                job.command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(
                "E502",
                "program cannot be started",
                layer=job.command[0],
                cause=error.strerror or str(error),
                fix="Check that g++ works and compiles for this machine",
            ) from error
