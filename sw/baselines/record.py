"""One measured baseline, as it is stored: what ran, on what, how, how long and at what energy.

Owns ``Record`` and its parts. Imports the figures. Files of records are read by
`gateformer.baselines.store`.
"""

from __future__ import annotations

from datetime import date as day
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from gateformer.energy.figure import Energy, Finite, Plain

SPEC_VERSION: Literal[1] = 1
PRINTED = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""No line ends and nothing that a terminal obeys."""
METERS = ("RAPL", "NVML")
"""What a measured joule's source names: the counters that are read here."""
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTED)]
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Field(ge=1e-10, le=1e7, allow_inf_nan=False)]
"""From less than a clock's step to four months."""
Tier = Literal["eager", "compiled", "tuned", "native"]
"""``eager``: as frameworks run unless told otherwise; ``compiled``: the same framework's compiler
or graphs; ``tuned``: a runtime made for inference; ``native``: a program of this network alone."""


class Workload(Plain):
    """What one inference is."""

    name: Name
    """Of the design or the decoder, such as ``btag`` or ``gpt2-small``."""
    kind: Literal["network", "decode"]
    """A whole network, or one token of a decoder."""
    fingerprint: Name
    """SHA-256 of the graph with its weights, or of the decoder's shape and its weights' seed."""
    batch: Annotated[int, Field(ge=1, le=2**31)]
    """Inferences, or sequences, at once."""
    context: Count
    """Tokens in the KV cache while the step is timed; 0 for a network."""
    layers: Count
    """Decoder layers, or the network's blocks."""
    parameters: Count
    operations: Count
    """Multiplications and additions of one inference."""
    bytes: Count
    """Read for one step of the whole batch at this record's precision: weights once, and caches."""


class Hardware(Plain):
    """What it ran on."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,79}$")]
    """Names the same machine again; a folder's name."""
    kind: Literal["cpu", "gpu"]
    name: Name
    cores: Count
    """Cores that the process may use; streaming multiprocessors of a GPU."""
    memory_gb: Positive
    bandwidth_gbs: Positive | None
    """Reads from memory on the kind of pages that the run had, measured beside it with all its
    threads; None: not measured."""
    bandwidth_method: str
    details: dict[str, str]
    """Kernel, microcode, caches, driver, clocks: whatever a peer would ask for."""


class Setup(Plain):
    """With what it ran."""

    runtime: Name
    """Such as ``onnxruntime``."""
    version: Name
    precision: Name
    """Of the weights, such as ``fp32``, ``bf16``, ``int8``, ``q4_0``."""
    tier: Tier
    threads: Annotated[int, Field(ge=1, le=2**31)]
    options: dict[str, str]
    """Settings that differ from the runtime's defaults, and versions of what it stands on."""


class Times(Plain):
    """Seconds of one step of the whole batch."""

    samples: Annotated[int, Field(ge=1, le=10**9)]
    warmup: Count
    minimum: Seconds
    median: Seconds
    p90: Seconds
    p99: Seconds
    mean: Seconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.minimum <= self.median <= self.p90 <= self.p99:
            raise ValueError("times are not in order: minimum, median, p90, p99")
        # A sum of equal times rounds.
        if self.mean < self.minimum * (1 - 1e-9):
            raise ValueError("the mean is less than the minimum")
        return self


class Record(Plain):
    """One baseline."""

    spec_version: Literal[1] = SPEC_VERSION
    workload: Workload
    hardware: Hardware
    setup: Setup
    times: Times
    energy: Energy | None
    """Of one inference or token; None where no meter could be read and nothing was estimated."""
    energy_note: str
    """How it was metered, or why it was not."""
    transfer: bool
    """Whether moving inputs to the device and outputs back is in the times."""
    difference: Finite | None
    """Largest absolute difference of its outputs from the reference's; None: not compared."""
    load: Finite
    """Processes that ran beside it: the last minute's mean, as it started."""
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    """Day on which it was measured."""
    command: Name

    @field_validator("date")
    @classmethod
    def _real(cls, date: str) -> str:
        day.fromisoformat(date)
        return date

    @model_validator(mode="after")
    def _metered(self) -> Self:
        """No joule is measured on a record's word alone."""
        energy = self.energy
        if energy is not None and energy.kind == "measured":
            if not any(meter in energy.source for meter in METERS):
                raise ValueError(f"measured energy names no meter ({' or '.join(METERS)})")
            if self.energy_note.startswith("not meas"):
                raise ValueError("measured energy beside a note that it was not measured")
        return self

    @property
    def per_second(self) -> float:
        """Inferences or tokens a second, by the median."""
        return self.workload.batch / self.times.median

    @property
    def gbs(self) -> float:
        """GB/s that the step reads, by the median."""
        return self.workload.bytes / self.times.median / 1e9

    @property
    def pages(self) -> Literal["plain", "huge"]:
        """What its memory was asked to be made of."""
        return "huge" if "hugetlb=1" in self.setup.options.get("GLIBC_TUNABLES", "") else "plain"

    @property
    def share(self) -> float | None:
        """Of the machine's measured bandwidth."""
        bandwidth = self.hardware.bandwidth_gbs
        return None if bandwidth is None else self.gbs / bandwidth
