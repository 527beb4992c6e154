"""RAPL: the energy counters of a CPU's packages, read through the kernel's powercap folder.

Owns ``RaplMeter``. Imports the meters' words.

The kernel shows each counter as a zone: ``intel-rapl:<n>`` is a package (or ``psys``, the whole
platform), ``intel-rapl:<n>:<m>`` lies inside one (``core``, ``uncore``, ``dram``). AMD's counters
stand there under the same names. ``intel-rapl-mmio`` shows the packages once more and is left out.
Sources: Linux, Documentation/power/powercap/powercap.rst and ABI/testing/sysfs-class-powercap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateformer.energy.figure import Boundary
from gateformer.energy.meters.meter import Reading, failed

ROOT = Path("/sys/class/powercap")
CPUINFO = Path("/proc/cpuinfo")
MOST_WATTS = 1000.0
"""More than any package draws (assumed: the largest are sold at 500 W): a counter that this power
could take round more than once in a window is not trusted."""
COUNTED = ("package", "dram")
"""Counters that make up a reading; ``psys`` may see many packages, and is not added."""
PROBE_S = 0.1
"""A counter that has not moved in this time stands still; it is renewed about every millisecond
(Intel's manual, volume 3B, "Power and thermal management")."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A counter.

    Attributes
    ----------
    name : str
        Such as ``package-0``, or ``dram of package-0``.
    energy : Path
        Its microjoules.
    range_j : float
        Joules at which it begins anew.
    """

    name: str
    energy: Path
    range_j: float

    @property
    def role(self) -> str:
        """Return ``package``, ``dram`` or what else it is."""
        return self.name.partition(" of ")[0].partition("-")[0]

    def joules(self) -> float:
        """Read it."""
        return _joules(self.energy)


def _joules(file: Path) -> float:
    """Return a file's microjoules as joules; ValueError where it holds no number of 64 bits."""
    count = int(file.read_text())
    if not 0 <= count < 1 << 64:
        raise ValueError(
            f"{file} holds {count:.3g}" if abs(count) < 1 << 1000 else f"{file} is odd"
        )
    return count / 1e6


class RaplMeter:
    """Packages of all sockets, and their memory where each package has a counter of it.

    Parameters
    ----------
    root : Path
        The powercap folder.
    cpuinfo : Path
        Names the vendor.
    pause, clock : callable
        As in ``time``: ``sleep`` and ``perf_counter``.
    """

    name = "RAPL"
    seconds = 1.0

    def __init__(
        self,
        root: Path = ROOT,
        cpuinfo: Path = CPUINFO,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.root, self.cpuinfo, self.pause, self.clock = root, cpuinfo, pause, clock
        self._zones: tuple[Zone, ...] = ()
        self._before: Mapping[str, float] = {}
        self._began = 0.0

    def available(self) -> str | None:
        """Return why there is nothing to read, or None; takes a tenth of a second."""
        try:
            zones = self._found()
            if not any(zone.role == "package" for zone in zones):
                return f"no RAPL: {self.root} has no package"
            before = {zone.name: zone.joules() for zone in zones}
            self.pause(PROBE_S)
            still = [
                zone.name
                for zone in zones
                if zone.role == "package" and zone.joules() == before[zone.name]
            ]
        except PermissionError as error:
            return (
                f"RAPL is there but may not be read: {error.filename} is the superuser's "
                f"(sudo chmod a+r {self.root}/intel-rapl:*/energy_uj, or run as root)"
            )
        except FileNotFoundError as error:
            return f"RAPL is there but hidden, as containers do: {error.filename} is missing"
        except (OSError, ValueError) as error:
            return f"RAPL is there but cannot be read: {error}"
        return f"RAPL is there but stands still: {', '.join(still)}" if still else None

    def start(self) -> None:
        """Read all counters."""
        self._before, self._began = self._read(renew=True), self.clock()

    def stop(self) -> Reading:
        """Read all counters again."""
        seconds = self.clock() - self._began
        after = self._read()
        parts = {
            zone.name: self._spent(zone, after[zone.name], seconds)
            for zone in self._zones
            if zone.name in self._before
        }
        packages = [zone.name for zone in self._zones if zone.role == "package"]
        if still := [name for name in packages if not parts[name]]:
            raise failed(self.name, f"{', '.join(still)} stood still for {seconds:.1f} s")
        counted: list[str] = packages
        boundary: Boundary = "package"
        memories = [zone.name for zone in self._zones if zone.role == "dram"]
        # Desktop chips show a memory counter that never moves.
        if len(memories) == len(packages) and all(parts[name] for name in memories):
            counted, boundary = packages + memories, "package and memory"
        method = f"RAPL counters through powercap: {', '.join(counted)}{self._vendor()}"
        joules = sum(parts[name] for name in counted)
        return Reading(joules, seconds, boundary, "measured", method, parts)

    def _found(self) -> tuple[Zone, ...]:
        """Return the counters; their order is the folder's."""
        names: dict[str, str] = {}
        zones: list[Zone] = []
        seen: set[Path] = set()
        for folder in sorted(self.root.glob("intel-rapl:*")):
            # The kernel's own entries are links; two to one folder are one counter.
            if (place := folder.resolve()) in seen:
                continue
            seen.add(place)
            name = (folder / "name").read_text().strip()
            names[folder.name] = name
            above = names.get(folder.name.rpartition(":")[0])
            reach = _joules(folder / "max_energy_range_uj")
            title = f"{name} of {above}" if above else name
            if any(zone.name == title for zone in zones):
                title += f" ({folder.name})"
            zones.append(Zone(title, folder / "energy_uj", reach))
        return tuple(zones)

    def _read(self, renew: bool = False) -> dict[str, float]:
        try:
            if renew:
                self._zones = self._found()
            return {zone.name: zone.joules() for zone in self._zones}
        except (OSError, ValueError) as error:
            raise failed(self.name, f"It cannot be read: {error}") from None

    def _spent(self, zone: Zone, after: float, seconds: float) -> float:
        """Return a counter's joules, past its end once."""
        if seconds * MOST_WATTS > zone.range_j:
            raise failed(
                self.name,
                f"{zone.name} may have begun anew more than once in {seconds:.1f} s: it counts to "
                f"{zone.range_j:.0f} J",
                "Measure in shorter windows",
            )
        if after > zone.range_j:
            raise failed(self.name, f"{zone.name} is beyond its own end, {zone.range_j:.0f} J")
        spent = after - self._before[zone.name]
        spent = spent if spent >= 0 else spent + zone.range_j
        if zone.role in COUNTED and spent > seconds * MOST_WATTS:
            raise failed(
                self.name,
                f"{zone.name} leapt or began anew: {spent:.3g} J in {seconds:.1f} s",
                "Measure again; a suspended machine and a loaded driver reset it",
            )
        return spent

    def _vendor(self) -> str:
        """Tell what is known of the counters' truth.

        AMD: computed by the chip, and of the power of memory little is in it (Schöne et al.,
        "Energy Efficiency Aspects of the AMD Zen 2 Architecture", arXiv 2108.00808). Intel:
        measured since Haswell (Hackenberg et al., IPDPSW 2015).
        """
        try:
            amd = "AuthenticAMD" in self.cpuinfo.read_text(errors="replace")
        except OSError:
            return ""
        return "; on AMD the chip computes them from its activity" if amd else ""
