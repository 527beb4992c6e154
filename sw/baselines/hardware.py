"""What a baseline runs on, so that a peer knows the machine and the same one gets the same name.

Owns ``cpu``. Imports the record's words. Reads the few keys that it states from /proc and /sys:
they are the kernel's own interface, and a package for CPUs would know the caches but not the
microcode, the governor or the huge pages.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from gateformer.baselines.pinning import cores
from gateformer.baselines.record import Hardware

if TYPE_CHECKING:
    from gateformer.baselines.bandwidth import Bandwidth

ROOT = Path("/")
NOISE = re.compile(r"\((?:r|tm|c)\)|\bcpu\b|\bprocessor\b|@.*$|\d+-core", re.I)
"""What a CPU's name says beside the name."""
FLAGS = (
    "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimddp", "bf16",
    "i8mm",
)  # fmt: skip
"""Instructions that decide what inference takes."""


def cpu(bandwidth: Bandwidth | None = None, root: Path = ROOT) -> Hardware:
    """Return this machine's processor and memory.

    Parameters
    ----------
    bandwidth : Bandwidth or None
        Measured beside the run.
    root : Path
        Holds ``proc`` and ``sys``.
    """
    told = _cpuinfo(root)
    memory = _memory_gb(root)
    name = told.get("model name") or told.get("Model") or platform.machine()
    details = {
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "family, model, stepping": ", ".join(_identity(told)),
        "microcode": told.get("microcode", ""),
        "hardware threads": str(os.cpu_count() or 1),
        "caches": ", ".join(f"L{level} {size}" for level, size in caches(root).items()),
        "instructions": ", ".join(one for one in FLAGS if one in _flags(told)),
        "governor": _line(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "transparent huge pages": _line(root / "sys/kernel/mm/transparent_hugepage/enabled"),
        "quota": quota if (quota := _line(root / "sys/fs/cgroup/cpu.max"))[:3] != "max" else "",
        "virtual machine": "yes" if "hypervisor" in _flags(told) else "no",
    }
    if bandwidth is not None:
        details |= bandwidth.details
    usable = cores(root / "sys/devices/system/cpu")
    return Hardware(
        id=identity(name, usable, (*_identity(told), f"{round(memory)}")),
        kind="cpu",
        name=name,
        cores=usable,
        memory_gb=memory,
        bandwidth_gbs=None if bandwidth is None else bandwidth.gbs,
        bandwidth_method="not measured" if bandwidth is None else bandwidth.method,
        details={key: value for key, value in details.items() if value},
    )


def identity(name: str, units: int, rest: tuple[str, ...]) -> str:
    """Return a machine's id: its name, how many cores, and six digits of whatever else it is."""
    plain = re.sub(r"[^a-z0-9]+", "-", NOISE.sub(" ", name).lower()).strip("-")[:60] or "machine"
    digest = sha256("|".join((name, str(units), *rest)).encode()).hexdigest()[:6]
    return f"{plain}-{units}c-{digest}"


def caches(root: Path = ROOT) -> dict[int, str]:
    """Return the sizes of the first processor's data caches as the kernel writes them, by level."""
    found = {}
    for folder in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level = _line(folder / "level")
        if level.isdigit() and _line(folder / "type") != "Instruction":
            found[int(level)] = _line(folder / "size")
    return found


def last_cache_bytes(root: Path = ROOT) -> int:
    """Return the size of the last cache; 32 MiB where the kernel does not tell."""
    sizes = caches(root)
    matched = re.fullmatch(r"(\d+)([KMG])", sizes[max(sizes)]) if sizes else None
    if matched is None:
        return 32 << 20
    return int(matched[1]) << {"K": 10, "M": 20, "G": 30}[matched[2]]


def memory_bytes(root: Path = ROOT) -> int:
    """Return the memory that is free for a new program; 0 where the kernel does not tell."""
    return _meminfo(root).get("MemAvailable", 0) << 10


def _cpuinfo(root: Path) -> dict[str, str]:
    """Return the first processor's lines, and those that stand after all processors."""
    found: dict[str, str] = {}
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found


def _flags(told: Mapping[str, str]) -> set[str]:
    return set((told.get("flags") or told.get("Features") or "").split())


def _identity(told: Mapping[str, str]) -> tuple[str, ...]:
    """Return family, model and stepping, as x86 or ARM names them."""
    keys = ("cpu family", "model", "stepping"), ("CPU implementer", "CPU part", "CPU revision")
    return tuple(told.get(one) or told.get(other, "") for one, other in zip(*keys, strict=True))


def _memory_gb(root: Path) -> float:
    return round((_meminfo(root).get("MemTotal", 0) or 1 << 20) / (1 << 20), 1)


def _meminfo(root: Path) -> dict[str, int]:
    found = {}
    for line in _text(root / "proc/meminfo").splitlines():
        matched = re.match(r"(\w+):\s+(\d+) kB", line)
        if matched:
            found[matched[1]] = int(matched[2])
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _line(path: Path) -> str:
    return _text(path).strip()
