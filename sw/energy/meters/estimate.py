"""An estimate for machines without a meter: constants times time, labelled ``modelled``.

Owns ``EstimateMeter``. Imports the meters' words and the errors; codecarbon, for its table of CPUs
and its rule for memory, where it is used. codecarbon's tracker itself is left alone: it asks the
network where it is, and can send what it finds.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from gateformer.energy.meters.meter import Reading, failed
from gateformer.quant.errors import BaselineError

FALLBACK_W = 4.0
"""Watts a thread that codecarbon assumes of a CPU that it does not know."""

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Constants:
    """What an estimate multiplies time with.

    Attributes
    ----------
    cpu_watts : float
        Thermal design power of the CPU, or what stands for it.
    memory_watts : float
        Of the memory, whether it works or not.
    threads : int
        Threads of the CPU that share its watts.
    source : str
        Where the watts are from.
    """

    cpu_watts: float
    memory_watts: float
    threads: int
    source: str


def constants() -> Constants:
    """Return this machine's constants, as codecarbon has them.

    Raises
    ------
    BaselineError
        E854 where it has none.
    """
    if find_spec("codecarbon") is None:
        raise failed("estimate", "codecarbon is not installed", "pip install -e '.[baselines]'")
    log = logging.getLogger("codecarbon")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it warns of every CPU that it does not know
    try:
        from codecarbon.core.cpu import TDP
        from codecarbon.external.ram import RAM

        cpu = TDP()
        memory = float(RAM().total_power().W)
    finally:
        log.setLevel(level)
    if not cpu.tdp:
        raise failed("estimate", "codecarbon has no constant for this CPU")
    threads, watts = os.cpu_count() or 1, float(cpu.tdp)
    if watts == FALLBACK_W * threads:
        what = f"unknown CPU: {FALLBACK_W:.0f} W a thread"
    else:
        sockets, part = packages(CPUINFO.read_text(errors="replace") if CPUINFO.exists() else "")
        watts *= sockets
        what = "thermal design power" + (f" of {sockets} packages" if sockets > 1 else "")
        if part:
            what += "; this virtual machine has an unknown part of it, and so far fewer joules"
    try:
        number = version("codecarbon")
    except PackageNotFoundError:
        number = ""
    source = f"codecarbon {number}'s constants for {cpu.model} ({what})".replace("  ", " ")
    return Constants(watts, memory, threads, source)


def packages(cpuinfo: str) -> tuple[int, bool]:
    """Return the CPU packages that the kernel lists, and whether it runs in a virtual machine."""
    found = set(re.findall(r"^physical id\s*:\s*(\d+)", cpuinfo, re.M))
    return max(len(found), 1), re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.M) is not None


def busy() -> float:
    """Return this process's CPU seconds, all its threads and finished children together."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


class EstimateMeter:
    """CPU watts times the share of its threads that this process kept busy, plus the memory's.

    Parameters
    ----------
    found : Constants or None
        The machine's; codecarbon's where None.
    clock, cpu : callable
        Seconds that passed, and CPU seconds of this process.
    """

    name = "estimate"
    seconds = 1.0

    def __init__(
        self,
        found: Constants | None = None,
        clock: Callable[[], float] = time.perf_counter,
        cpu: Callable[[], float] = busy,
    ) -> None:
        self.found, self.clock, self.cpu = found, clock, cpu
        self._began = (0.0, 0.0)

    def available(self) -> str | None:
        """Return why nothing can be estimated, or None."""
        try:
            self.found = self.found or constants()
        except BaselineError as error:
            return f"no estimate: {error.cause}"
        return None

    def start(self) -> None:
        """Note the time and the CPU's."""
        self.found = self.found or constants()
        self._began = self.clock(), self.cpu()

    def stop(self) -> Reading:
        """Multiply."""
        if self.found is None:
            raise failed(self.name, "It was never started")
        one = self.found
        seconds, used = self.clock() - self._began[0], self.cpu() - self._began[1]
        parts = {
            "cpu": one.cpu_watts * used / one.threads,
            "memory": one.memory_watts * seconds,
        }
        method = (
            f"estimate, nothing was metered: {one.cpu_watts:g} W x busy threads / {one.threads} + "
            f"{one.memory_watts:g} W of memory; {one.source}"
        )
        return Reading(
            sum(parts.values()), seconds, "package and memory", "modelled", method, parts
        )
