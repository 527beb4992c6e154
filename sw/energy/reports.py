"""Public Vivado power reports as facts: what each counts, what it says, and where it lies.

Owns ``Report``, ``Used``, ``Milliwatts``, ``Known`` and ``reports``. The facts are in
power_reports.toml. Imports the figures' base record.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Annotated, Literal

from pydantic import Field

from gateformer.energy.figure import Plain

FILE = "power_reports.toml"

Count = Annotated[float, Field(ge=0)]
Power = Annotated[float, Field(ge=0)] | Literal["<1"]
"""mW, or less than one, as the report says."""

BELOW = 0.5
"""mW that a row of less than one counts for: the middle of what it may be."""


class Used(Plain):
    """Primitives in the routed design, by the report's own table."""

    lut: Count
    """LUTs of logic."""
    lutram: Count
    srl: Count
    carry: Count
    """CARRY4 (7 series) or CARRY8."""
    mux: Count
    ff: Count
    nets: Count
    bram: Count
    """36 kbit blocks; an 18 kbit one is a half."""
    dsp: Count


class Milliwatts(Plain):
    """Powers by the report, mW; what has no row takes none."""

    clocks: Power
    signals: Power
    lut: Power
    ff: Power
    carry: Power = 0.0
    lutram: Power = 0.0
    srl: Power = 0.0
    mux: Power = 0.0
    bram: Power = 0.0
    dsp: Power = 0.0
    io: Power = 0.0
    mmcm: Power = 0.0
    ps: Power = 0.0
    """The processor beside the FPGA."""
    other: Power = 0.0
    """Blocks of its own kind, such as data converters."""
    static: Count
    dynamic: Count
    total: Count

    def of(self, row: str) -> float:
        """Return a row's mW, the middle of what it may be where it says less than one."""
        value = getattr(self, row)
        return BELOW if value == "<1" else float(value)

    def exact(self, row: str, least: float = 2.0) -> bool:
        """Return whether a row is large enough that its rounding to 1 mW matters little."""
        return self.of(row) >= least


class Known(Plain):
    """Activity of a report's nets where something else than the report tells it."""

    activity: Count
    """Toggles a net and clock, on average."""
    low: Count
    high: Count
    source: str


class Report(Plain):
    """One power report with its design's use."""

    name: str
    """Ours, for tables."""
    repo: str
    path: str
    commit: str
    device: str
    family: Literal["xc7", "xcup"]
    """As hw.devices names it."""
    device_luts: Count
    """LUTs on the device."""
    vivado: str
    state: Literal["routed", "synthesized"]
    confidence: Literal["low", "medium", "high"]
    activity: str
    """``vectorless``, or what share of the nets a simulation's activity matched."""
    clock_ns: tuple[Annotated[float, Field(gt=0)], ...] = Field(strict=False, min_length=1)
    """Periods, that of the logic first."""
    one_clock: bool
    """Whether the logic has one clock, so that a row over its frequency means something."""
    junction_c: float
    used: Used
    milliwatts: Milliwatts
    known: Known | None = None

    @property
    def fits(self) -> bool:
        """Whether rows of dynamic power can be divided by one clock: routed, one clock."""
        return self.state == "routed" and self.one_clock

    @property
    def hertz(self) -> float:
        """Clock of the logic, Hz."""
        return 1e9 / self.clock_ns[0]

    @property
    def url(self) -> str:
        """Where the report lies."""
        return f"https://github.com/{self.repo}/blob/{self.commit}/{self.path}"

    def each(self, row: str, used: str | None = None) -> float:
        """Return J a clock and primitive of a row, or 0 where there is none of it."""
        count = getattr(self.used, used or row)
        return self.milliwatts.of(row) * 1e-3 / self.hertz / count if count else 0.0


@functools.cache
def reports() -> tuple[Report, ...]:
    """Return all reports, by name."""
    text = resources.files("gateformer.energy").joinpath(FILE).read_text(encoding="utf-8")
    found = [Report.model_validate(entry) for entry in tomllib.loads(text)["report"]]
    return tuple(sorted(found, key=lambda report: report.name))


def training(among: tuple[Report, ...]) -> tuple[Report, ...]:
    """Return the part that the fit sees.

    Every other repository of a family, by the alphabet, and all that tell their activity: they
    are few, and ``held_out.left_out`` checks each of them by a fit of the others.
    """
    kept = {report.repo for report in among if report.known is not None}
    for family in sorted({report.family for report in among}):
        kept |= set(sorted({report.repo for report in among if report.family == family})[::2])
    return tuple(report for report in among if report.repo in kept)
