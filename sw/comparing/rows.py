"""A row of the comparison: one model on one system, and what stands behind each of its numbers.

Owns ``Row``, ``Absent``, ``Subject``, ``Comparison``, ``Ratio`` and which rows may be divided by
each other. Imports the figures and the records' words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from gateformer.baselines.record import Name, Positive, Tier
from gateformer.energy.figure import Energy, Kind, Plain

Platform = Literal["FPGA", "PIM", "CPU", "GPU"]
PLATFORMS: tuple[Platform, ...] = ("FPGA", "PIM", "CPU", "GPU")
DESIGNS: tuple[Platform, ...] = ("FPGA", "PIM")
"""What gateformer designs: the rows that others are divided by."""
Transfer = Literal["device", "with host"]
"""Where a time begins and ends. ``device``: where the system computes, with inputs at an FPGA's
ports (their stream is in the time), beside a memory's ASIC, or in the memory of a CPU or GPU;
``with host``: in the host's memory, so that the way to the device and back is in the time."""
ENOUGH = 100
"""Samples below which a 99th percentile is no more than a guess from the largest."""

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "fp32": "float of 32 bits",
        "f32": "float of 32 bits",
        "fp16": "float of 16 bits",
        "f16": "float of 16 bits",
        "bf16": "float of 16 bits",
        "int8": "weights of 8 bits",
        "q8_0": "weights of 8 bits",
        "int4": "weights of 4 bits",
        "q4_0": "weights of 4 bits",
        "integers": "the design's own integers",
    }
)
"""Precisions that move the same bytes and compute with numbers of the same kind count as one."""


class Row(Plain):
    """One model on one system."""

    model: Name
    platform: Platform
    machine: Name
    """The device, memory, processor or GPU."""
    system: str
    """With what it runs: a runtime, a clock, a model's tier."""
    version: str = ""
    """Of the runtime."""
    tier: Tier | Literal["hardware"]
    """How much work went into it."""
    precision: Name
    """Of the weights."""
    threads: int | None = None
    batch: Annotated[int, Field(ge=1)] = 1
    kind: Kind
    """Of the times."""
    median: Positive
    """Seconds of one inference, or of one decoding step of the whole batch."""
    low: Positive | None = None
    """Lower end of a modelled time's error bar."""
    high: Positive | None = None
    """Upper end."""
    p90: Positive | None = None
    p99: Positive | None = None
    samples: Annotated[int, Field(ge=1)] | None = None
    """Inferences or steps behind the times; None for a formula's."""
    per_second: Positive
    """Inferences, or tokens of all sequences, a second."""
    gbs: Positive | None = None
    """GB/s that the step reads from memory."""
    share: Positive | None = None
    """Of the memory's bandwidth: measured for a measured row, peak otherwise."""
    energy: Energy | None = None
    """Of one inference or token, at the rate of ``per_second``."""
    energy_alone: Energy | None = None
    """Of the same where nothing follows it, as its time is; None where that is no other."""
    energy_bound: bool = False
    """Whether its joules are an upper bound, and no estimate."""
    energy_note: str = ""
    """How it was had, or why there is none."""
    energy_parts: Mapping[str, float] = Field(default_factory=dict)
    """Joules of one inference or token by what takes them, where that is known."""
    area: Mapping[str, float] = Field(default_factory=dict)
    """Resources by name, such as ``LUT``."""
    area_note: str = ""
    """How they were counted."""
    transfer: Transfer
    """Where its times begin and end."""
    transfer_note: str = ""
    """The same in words."""
    exactness: str = ""
    """What its outputs were held to, and how far they were off."""
    load: Annotated[float, Field(ge=0)] | None = None
    """Processes a core that wanted to run as it was measured; None where it was not."""
    source: str
    """The command, simulation or formula that it comes from."""
    recorded: str = ""
    """Where and when, for what was not measured by this command."""
    here: bool = False
    """Whether it was measured on this machine, by this command or before."""

    @property
    def edp(self) -> float | None:
        """Energy times delay, J s: joules of an inference alone times the time to its result.

        None where no joules are known, or only their upper bound.
        """
        lone = self.lone
        return None if lone is None or self.energy_bound else lone.value * self.median

    @property
    def lone(self) -> Energy | None:
        """The joules that belong to its time: of an inference, or a batch's, that comes alone."""
        return self.energy_alone or self.energy

    @property
    def ends(self) -> tuple[float, float]:
        """The error bar of its time, s; its median at both ends where there is none."""
        return self.low or self.median, self.high or self.median

    @property
    def name(self) -> str:
        """Machine and system, as drawings show them."""
        system = f"{self.system}, " if self.system else ""
        where = "" if self.kind == "measured" and self.here else f"{self.machine}, "
        return f"{where}{system}{self.precision}"

    @property
    def format(self) -> str:
        """What its numbers are; rows of another one are not divided by it."""
        return FORMATS.get(self.precision, self.precision)


class Absent(Plain):
    """A platform that a model has no row on."""

    model: Name
    platform: Platform
    reason: str


class Subject(Plain):
    """What is compared."""

    name: Name
    kind: Literal["network", "decode"]
    """A whole network, or one token of a decoder."""
    words: str
    """Its size, as a sentence."""
    parameters: Annotated[int, Field(ge=0)] = 0
    context: Annotated[int, Field(ge=0)] = 0
    """Tokens in the KV cache; 0 for a network."""
    batch: Annotated[int, Field(ge=1)] = 1
    accuracy: str = ""
    """What its integers reach on labelled data."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that one command found.

    Attributes
    ----------
    subjects : tuple of Subject
        The models, in the order of the command line.
    rows : tuple of Row
        By model, platform and time.
    absent : tuple of Absent
        What has no row, and why.
    notes : tuple of str
        What a reader must know besides.
    """

    subjects: tuple[Subject, ...]
    rows: tuple[Row, ...]
    absent: tuple[Absent, ...]
    notes: tuple[str, ...] = ()

    def best(self, model: str, platform: Platform) -> Row | None:
        """Return a platform's fastest row, one that ran before one of a formula."""
        rows = self.of(model, platform)
        ran = [row for row in rows if row.kind in ("measured", "simulated")]
        return next(iter([*ran, *rows]), None)

    def of(self, model: str, platform: Platform | None = None) -> list[Row]:
        """Return a model's rows, the fastest of each platform first."""
        rows = [one for one in self.rows if one.model == model]
        rows.sort(key=lambda row: (PLATFORMS.index(row.platform), row.median))
        return rows if platform is None else [one for one in rows if one.platform == platform]


def energy_ends(energy: Energy) -> tuple[float, float]:
    """Return an energy's error bar, J; its value at both ends where there is none."""
    low, high, value = energy.low, energy.high, energy.value
    return value if low is None else low, value if high is None else high


def tail(seconds: float, samples: int) -> float | None:
    """Return a 99th percentile, or None where too few samples stand behind it."""
    return seconds if samples >= ENOUGH else None


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times another row's figure is ours.

    Attributes
    ----------
    value : float
        Of the two figures.
    low, high : float
        Of the ends of their error bars that lie next to and furthest from each other.
    exact : bool
        Whether a clock, a meter or a simulation stands behind both.
    """

    value: float
    low: float
    high: float
    exact: bool


def times_as_fast(row: Row, other: Row) -> Ratio | str:
    """Return how many times as fast a row is as another, or what keeps them apart."""
    if (apart := _apart(row, other)) is not None:
        return apart
    (low, high), (least, most) = row.ends, other.ends
    exact = "modelled" not in (row.kind, other.kind)
    return Ratio(other.median / row.median, least / high, most / low, exact)


def times_less_energy(row: Row, other: Row) -> Ratio | str:
    """Return how many times less energy a row takes than another, or what keeps them apart.

    Both of an inference alone, as their times are.
    """
    ours, theirs = row.lone, other.lone
    if ours is None or theirs is None:
        return "no joules"
    if (apart := _apart(row, other)) is not None:
        return apart
    if ours.boundary != theirs.boundary:
        return "other boundary"
    if row.energy_bound or other.energy_bound:
        return "upper bound"
    (low, high), (least, most) = energy_ends(ours), energy_ends(theirs)
    if low <= 0:
        return "no lower end"
    exact = "modelled" not in (ours.kind, theirs.kind)
    return Ratio(theirs.value / ours.value, least / high, most / low, exact)


def _apart(row: Row, other: Row) -> str | None:
    """Return what keeps two rows' times apart."""
    if row.format != other.format:
        return "other precision"
    if row.batch != other.batch:
        return "other batch"
    return "other transfer" if row.transfer != other.transfer else None
