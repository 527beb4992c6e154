"""A build plan: the files a vendor tool reads, the calls of its programs, the reports it leaves.

Owns ``Call``, ``Report``, ``Plan`` and ``Request``: what a toolchain is asked for and what it
answers, all of it text, so that it is tested without the tool. `gateformer.toolchains.execute`
carries a plan out; `gateformer.toolchains.registry` lists who makes plans.
Imports the design's records and the errors only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from gateformer.hw.dataflow.design import Design
from gateformer.hw.devices import Device
from gateformer.hw.hls.project import Project
from gateformer.hw.rtl.emit import Rtl

Metric = int | float | str | bool | None
Metrics = Mapping[str, Metric]
"""What a report says; ``lut``, ``ff``, ``dsp``, ``bram`` (36 Kbit), ``uram``, ``wns_ns``,
``whs_ns``, ``fmax_mhz``, ``timing_met``, ``power_w``, ``latency_cycles`` and ``interval_cycles``
mean the same in every toolchain. ``timing_met`` False fails the build."""

LOG = "build.log"
"""Where the output of all programs goes, in the build's folder."""
PYTHON = "python"
"""As a call's program: the interpreter that runs gateformer."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a program, in the build's folder.

    Attributes
    ----------
    program : str
        A key of `gateformer.quant.tools.TOOLS`, or `PYTHON`.
    arguments : tuple of str
        As the program gets them: no shell reads them.
    stage : str
        What it does, in a few words, for the progress line.
    otherwise : Call or None
        The call to make where the program is not here.
    """

    program: str
    arguments: tuple[str, ...]
    stage: str
    otherwise: Call | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The command, as it would be typed."""
        return (self.program, *self.arguments)


@dataclass(frozen=True, slots=True)
class Report:
    """A file that a tool leaves, and what it means.

    Attributes
    ----------
    path : str
        Where it is in the build's folder; may be a glob pattern, of which the first match by
        name is read.
    parse : callable
        The file's text to metrics, without the toolchain's prefix; ValueError with the reason
        where the text is not what the tool documents.
    required : bool
        Whether the build failed if it is not there.
    """

    path: str
    parse: Callable[[str], Metrics]
    required: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a toolchain would do for a design; nothing is on the disk yet.

    Attributes
    ----------
    tool : str
        The toolchain: prefix of its metrics (``build.<tool>.*``).
    files : mapping of str to str
        Text by path in the build's folder: sources, scripts, constraints.
    calls : tuple of Call
        In order; the first that fails ends the build.
    reports : tuple of Report
        Read when all calls are done.
    products : tuple of str
        Glob patterns of what is worth keeping beside files, log and reports: a bitstream, a
        checkpoint, an exported block.
    clock_ns : float
        The period that the design has to meet.
    needs : tuple of str
        Programs that the calls themselves call.
    """

    tool: str
    files: Mapping[str, str]
    calls: tuple[Call, ...]
    reports: tuple[Report, ...] = ()
    products: tuple[str, ...] = ()
    clock_ns: float = 5.0
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for path in self.files:
            inside = PurePosixPath(path)
            if inside.is_absolute() or ".." in inside.parts or not inside.parts:
                raise ValueError(f"{path!r} is no path inside the build's folder")


@dataclass(frozen=True, slots=True)
class Request:
    """What a toolchain is asked to build.

    Attributes
    ----------
    name : str
        The design's name, safe in every language.
    device : Device
        What it is for.
    part : str
        The vendor's number of it, speed grade and package included.
    clock_ns : float
        The period to meet.
    design, rtl : Design and Rtl, or None
        The scheduled design and its Verilog, for toolchains that take RTL.
    project : Project or None
        The HLS project, for toolchains that take C++.
    flow : str
        One of the toolchain's `flows`.
    strategy : str
        One of the toolchain's `strategies`.
    jobs : int
        Threads that the tool may use.
    options : mapping of str to str
        The toolchain's own settings.
    """

    name: str
    device: Device
    part: str
    clock_ns: float
    design: Design | None = None
    rtl: Rtl | None = None
    project: Project | None = None
    flow: str = ""
    strategy: str = ""
    jobs: int = 2
    options: Mapping[str, str] = field(default_factory=dict)
