"""Which processors a baseline runs on, and a worker that ends with its parent.

Owns ``choose``, ``pin``, ``environment``, ``pages`` and ``end_with``. Imports the standard library
alone: a worker calls it before it imports anything that starts threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

PROCESSORS = Path("/sys/devices/system/cpu")
POOLS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
)  # fmt: skip
"""What the libraries' thread pools read as they are loaded."""
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Lets malloc ask for transparent huge pages (glibc 2.35 and later)."""
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
OWN = Path("/proc/self/smaps_rollup")
Pages = Literal["plain", "huge"]
PR_SET_PDEATHSIG = 1
"""Of prctl, in linux/prctl.h."""


def available(processors: Path = PROCESSORS) -> list[int]:
    """Return the processors that this process may use: first one of each core, then the others."""
    seen: set[str] = set()
    firsts: list[int] = []
    others: list[int] = []
    for number in sorted(os.sched_getaffinity(0)):
        core = _core(processors, number)
        (others if core in seen else firsts).append(number)
        seen.add(core)
    return firsts + others


def cores(processors: Path = PROCESSORS) -> int:
    """Return how many cores, not hardware threads, this process may use."""
    return len({_core(processors, number) for number in os.sched_getaffinity(0)})


def choose(threads: int, processors: Path = PROCESSORS) -> tuple[int, ...]:
    """Return the processors for so many threads: cores first, all there are where it asks more."""
    return tuple(available(processors)[:threads])


def no_huge_pages(libc: tuple[str, str], setting: Path = SETTING) -> str | None:
    """Return why malloc cannot ask for huge pages here, or None.

    Parameters
    ----------
    libc : tuple of str
        Name and version, as ``platform.libc_ver`` gives them.
    setting : Path
        The kernel's.
    """
    name, version = libc
    if name != "glibc" or tuple(int(part) for part in version.split(".")) < (2, 35):
        return (
            f"glibc 2.35 and later know it; this is {name or 'another library'} {version}".strip()
        )
    try:
        chosen = setting.read_text(encoding="ascii")
    except OSError:
        return "the kernel has no transparent huge pages"
    return "the kernel's transparent huge pages are set to never" if "[never]" in chosen else None


def pages(asked: bool, setting: Path = SETTING) -> Pages:
    """Return on which pages large arrays of malloc stand, whether or not it asks for huge ones."""
    if asked:
        return "huge"
    with suppress(OSError):
        return "huge" if "[always]" in setting.read_text(encoding="ascii") else "plain"
    return "plain"


def share_in_huge_pages(told: Path = OWN) -> float | None:
    """Return which part of this process' own memory has huge pages; None where nobody tells."""
    sizes = {}
    with suppress(OSError, ValueError):
        for line in told.read_text(encoding="ascii").splitlines()[1:]:
            name, _, size = line.partition(":")
            sizes[name] = int(size.split()[0])
    whole = sizes.get("Anonymous")
    return sizes.get("AnonHugePages", 0) / whole if whole else None


def environment(threads: int, *, huge_pages: bool = False) -> dict[str, str]:
    """Return what a worker's environment needs beside this process' own."""
    wanted = dict.fromkeys(POOLS, str(threads))
    return wanted | HUGE_PAGES if huge_pages else wanted


def pin(numbers: Sequence[int]) -> None:
    """Keep this process and the threads that it will start on some processors."""
    os.sched_setaffinity(0, numbers)


def end_with(parent: int) -> None:
    """End this process when its parent ends, and let it be the first that lacks memory.

    Parameters
    ----------
    parent : int
        The parent's process id, to notice where it ended before this call.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("the process that asked for this has ended")
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _core(processors: Path, number: int) -> str:
    """Return a name that the hardware threads of a core share."""
    path = processors / f"cpu{number}" / "topology" / "thread_siblings_list"
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return str(number)
