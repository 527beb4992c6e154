"""Every key of a ``design.toml``: meaning, default and limits. docs/config.md is made of it.

Paths are texts here; `gateformer.config.read` makes them absolute.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from gateformer.hw.naming import PART, PART_FORM
from gateformer.quant.errors import GateformerError
from gateformer.quant.types import Fixed

SAFE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""Names that are safe in Verilog, in VHDL and as a folder."""

Switch = Literal["auto"] | bool
"""``auto`` skips a step whose tool is missing; ``true`` fails without it; ``false`` leaves it."""

Count = Annotated[int, Field(ge=1, le=65_536)]
PathText = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Keys = str | dict[str, str]
"""One array's name, or the name for each input."""


def type_text(text: str) -> str:
    """Return a type in its one spelling; ValueError where it is none."""
    try:
        return str(Fixed.parse(text))
    except GateformerError as error:
        raise ValueError(f"{error.what}; {error.fix}") from None


TypeText = Annotated[str, AfterValidator(type_text)]


def part_text(text: str) -> str:
    """Return a device's number, or nothing; ValueError where a script could misread it."""
    if text and not PART.fullmatch(text):
        raise ValueError(f"is no part's number: {PART_FORM}")
    return text


PartText = Annotated[str, AfterValidator(part_text)]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, values are not converted."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Data(Section):
    """Real inputs, for calibration, accuracy and test vectors."""

    file: PathText | None = None
    """A .npz file, or a .npy file with the test inputs alone."""
    calibration: Keys = "x_calib"
    """Array of inputs that types are calibrated on; absent from the file: the test inputs."""
    test: Keys = "x_test"
    """Array of inputs that accuracy is measured on and test vectors come from."""
    labels: str = "y_test"
    """Labels of the test inputs: class indices, or one column a class; absent: no accuracy."""
    calibration_labels: str = "y_calib"
    """Labels of the calibration inputs, for a budget of a metric."""
    classes: list[str] = Field(default_factory=list)
    """Names of the classes, in the order of their indices, for the report's curves."""


class Quantize(Section):
    """How unquantized activations get their types."""

    metric: Literal["max", "rms", "auc", "accuracy"] = "max"
    """What the budget bounds: the outputs' error, or the relative loss of a metric."""
    budget: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Most that it may be; widths are searched for the narrowest. Absent: ``width``."""
    width: Annotated[int, Field(ge=2, le=64)] = 16
    """Bits of a calibrated activation, or those that the search starts from."""
    samples: Annotated[int, Field(ge=1, le=10_000_000)] = 2000
    """Calibration samples to use, from the first on."""
    softmax: Literal["auto", "direct", "max"] = "auto"
    """Whether softmax subtracts the row's maximum; ``auto``: only where scores are unbounded."""
    multiplier_bits: Annotated[int, Field(ge=6, le=24)] = 16
    """Accuracy of a real scale as an integer: relative error 2^-this. Fewer bits, fewer adders."""
    shares: Literal["model", "plain", "clipped", "log_sqrt2"] = "model"
    """What becomes of attention's softmax before it weighs the values: as the ``model`` has it, or
    one of the forms of docs/techniques.md."""
    shares_bits: Annotated[int, Field(ge=2, le=6)] = 4
    """Bits of a share on the grid of powers of sqrt(2)."""
    shares_alpha: Annotated[float, Field(gt=0, le=64)] = 4.0
    """Clipped shares are 0 up to about so many times 1 over the keys' number."""
    truncate: Annotated[int, Field(ge=0, le=16)] | None = None
    """Bits that sums of dense layers keep below what is kept of them in the end; lower ones are
    cut before they are added, which changes results. Absent: exact sums."""
    fold_affine: bool = False
    """Merge batch normalizations and other affine maps with the dense layers beside them."""
    fold_heads: bool = True
    """Merge query with key and value with output matrices where that saves multiplies."""


class Schedule(Section):
    """How the network is laid out in space and time."""

    token_parallelism: Count = 1
    """Tokens that enter together, as one beat; a frame is tokens / this many beats, rounded up."""
    reuse_factor: Count = 1
    """Clocks over which the multiplies of a beat are folded; beats then come that much slower."""
    layers: dict[str, Count] = Field(default_factory=dict)
    """Reuse factor of single layers; the largest sets the pace of the whole pipeline."""
    clock_ns: Annotated[float, Field(ge=0.1, le=10_000)] = 5.0
    """Clock period."""
    logic_ns: Annotated[float, Field(ge=1.0, le=10_000)] = 3.5
    """Longest logic between two registers."""
    device: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "xcvu13p"
    """The device that costs are compared with."""


class Generate(Section):
    """How the sources are made."""

    adders: Literal["auto", "da4ml", "csd"] = "auto"
    """Who finds the adder graphs of constant matrices."""
    joint: bool = True
    """Solve the matrices that read one value as one adder graph, and multiply exact chains out,
    where that takes fewer adders."""
    ternary: Literal["auto"] | bool = "auto"
    """Add three operands in one step; ``auto``: where the device's LUTs have six inputs, whose
    carry chains take them."""


class Simulator(Section):
    """One simulator."""

    enabled: Switch = "auto"
    """Whether to simulate on it."""
    vectors: Annotated[int, Field(ge=1, le=10_000_000)] = 200
    """Frames to simulate."""


class Verilator(Simulator):
    """The compiled simulator."""

    vectors: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """Frames to simulate."""


class Simulate(Section):
    """How the RTL is checked."""

    icarus: Simulator = Field(default_factory=Simulator)
    """Icarus Verilog, through cocotb."""
    verilator: Verilator = Field(default_factory=Verilator)
    """Verilator, through a compiled harness."""
    stalls: bool = True
    """Simulate once more with random stalls on both streams."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 1
    """Of drawn vectors and of stalls."""
    waves: bool = False
    """Keep a waveform of the first frames."""


class Hls(Section):
    """The network as an hls4ml project, and its C++ against the model.

    Clock, reuse factors and device are those of ``schedule``.
    """

    enabled: Switch = False
    """Whether ``run`` generates it, compiles it with g++ and compares every integer."""
    backend: Literal["vitis", "vivado", "quartus", "oneapi"] = "vitis"
    """Whose HLS compiler it is for."""
    io_type: Literal["io_parallel", "io_stream"] = "io_parallel"
    """Whole tensors as arrays, or one token a beat through streams."""
    part: PartText = ""
    """The vendor's number of the device; absent: that of ``schedule.device``, where it is the
    backend's vendor's."""
    vectors: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """Frames to run."""


class Build(Section):
    """A vendor's toolchain on the sources; clock and device are those of ``schedule``."""

    tool: (
        Literal["vivado", "vitis_hls", "vivado_hls", "quartus", "quartus_hls", "nextpnr", "pynq"]
        | None
    ) = None
    """The toolchain that ``run`` ends with; absent: none. ``build --tool`` sets it."""
    flow: Annotated[str, StringConstraints(max_length=32)] = ""
    """What it makes, such as ``ooc`` or ``axi``; absent: the toolchain's first."""
    strategy: Annotated[str, StringConstraints(max_length=32)] = "default"
    """How hard it tries, and for what."""
    part: PartText | None = None
    """The vendor's number of the device; absent: that of ``schedule.device``."""
    jobs: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads that it may use."""
    timeout_s: Annotated[float, Field(gt=0, le=10_000_000)] = 86_400.0
    """Seconds after which it is stopped."""
    paths: dict[str, PathText] = Field(default_factory=dict)
    """Where programs are that are not on PATH, by name."""


class Activity(Section):
    """How often nets toggle, counted in Verilator, and the energy that follows from it."""

    enabled: Switch = False
    """Whether ``run`` counts toggles and models the energy of a frame."""
    frames: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Frames to count in, back to back; real ones, again and again where they are fewer."""


class Check(Section):
    """A step that can be left out."""

    enabled: Switch = "auto"
    """Whether to do it."""


class Config(Section):
    """A design."""

    model: PathText
    """The model's file, relative to this one."""
    name: str | None = None
    """The design's name, of letters, digits and ``_``; absent: from the folder or the model."""
    data: Data = Field(default_factory=Data)
    """Real inputs."""
    types: dict[str, TypeText] = Field(default_factory=dict)
    """Type of each named point, such as ``block1/score``; ``default`` is that of all others."""
    quantize: Quantize = Field(default_factory=Quantize)
    """How unquantized activations get their types."""
    schedule: Schedule = Field(default_factory=Schedule)
    """How the network is laid out in space and time."""
    generate: Generate = Field(default_factory=Generate)
    """How the sources are made."""
    simulate: Simulate = Field(default_factory=Simulate)
    """How the RTL is checked."""
    hls: Hls = Field(default_factory=Hls)
    """The network as an hls4ml project, and its C++ against the model."""
    read_back: Check = Field(default_factory=Check)
    """Pyverilog reads the sources back."""
    synth: Check = Field(default_factory=Check)
    """yosys synthesizes the modules."""
    activity: Activity = Field(default_factory=Activity)
    """How often nets toggle, counted in Verilator, and the energy that follows from it."""
    build: Build = Field(default_factory=Build)
    """A vendor's toolchain on the sources."""
    report: Check = Field(default_factory=Check)
    """One offline page."""
    cache: PathText | None = None
    """Folder of solved adder graphs, compiled simulators and HLS projects, and synthesized modules;
    absent: the user's own cache folder."""

    @field_validator("name")
    @classmethod
    def _safe(cls, name: str | None) -> str | None:
        if name is not None and not SAFE_NAME.fullmatch(name):
            raise ValueError(
                "is no name of ASCII letters, digits and _, a letter first, at most 64 of them"
            )
        return name
