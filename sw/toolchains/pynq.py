"""PYNQ: a bitstream for a Zynq board, with a DMA to the AXI4-Stream top, and the board's folder.

Owns ``PYNQ``. The block design and the build are Tcl of Vivado 2020.1 to 2024.2, from
``templates/``; the folder ``board`` holds all that the board takes: bitstream, description, driver.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import PurePosixPath

from gateformer.host.bundle import bundle
from gateformer.host.description import STATUS_BLOCK, Description, Stream
from gateformer.hw.dataflow.design import Design
from gateformer.hw.naming import plain
from gateformer.hw.rtl.dma_top import dma_files, dma_shell, identity_of
from gateformer.hw.rtl.emit import Rtl
from gateformer.quant.errors import ConfigError, GateformerError, Problems, ScheduleError
from gateformer.quant.version import __version__
from gateformer.toolchains import vivado_reports as reports
from gateformer.toolchains.plan import Call, Plan, Report, Request
from gateformer.toolchains.registry import Toolchain
from gateformer.toolchains.text import fill
from gateformer.toolchains.vivado import MOST_THREADS, STRATEGIES
from gateformer.toolchains.yosys_sources import closure

FASTEST_NS, MOST_DIVIDER = 4, 63
"""Under PYNQ's images the I/O PLL has 1 ns; two dividers make the fabric's clock of it (UG585),
no faster than 250 MHz (DS187)."""
MEMORY_PORTS = 16
"""Ports of a SmartConnect on one side (PG247)."""


@dataclass(frozen=True, slots=True)
class ZynqBoard:
    """What the processor's block has to know of a board.

    Attributes
    ----------
    title : str
        Its name.
    device : str
        The `gateformer.hw.devices` entry of its chip.
    crystal_mhz : int
        Of the processor's clock input.
    memory_part, memory_width : str
        As Vivado's processing_system7 names them.
    """

    title: str
    device: str
    crystal_mhz: int
    memory_part: str
    memory_width: str


BOARDS = {
    # Crystal and memory: TUL PYNQ-Z2 reference manual; PYNQ's own base design says the same.
    "pynq-z2": ZynqBoard("the TUL PYNQ-Z2", "xc7z020", 50, "MT41J256M16 RE-125", "16 Bit"),
}
"""Boards by the flow that builds for them."""


@dataclass(frozen=True, slots=True)
class Side:
    """One direction of a DMA."""

    port: str
    value: str
    bits: int

    @classmethod
    def of(cls, stream: Stream | None) -> Side | None:
        """Describe the stream of a direction, where it has one."""
        if stream is None:
            return None
        return cls(stream.port.name, plain(stream.port.value), 8 * stream.layout.word_bytes)


@dataclass(frozen=True, slots=True)
class Mover:
    """A DMA of the block design."""

    name: str
    send: Side | None
    receive: Side | None

    @property
    def masters(self) -> list[str]:
        """Its ports to memory."""
        sides = (("MM2S", self.send), ("S2MM", self.receive))
        return [f"{self.name}/M_AXI_{side}" for side, there in sides if there is not None]


def period_ns(clock_ns: float) -> int:
    """Return the shortest period that the processor can give and that is no shorter.

    Parameters
    ----------
    clock_ns : float
        The period asked for.

    Raises
    ------
    ScheduleError
        E306 where no divider gives it.
    """
    slowest = MOST_DIVIDER * MOST_DIVIDER
    if clock_ns >= FASTEST_NS:
        for divider in range(ceil(clock_ns), slowest + 1):
            if _splits(divider):
                return divider
    raise ScheduleError(
        "E306",
        f"no clock of {clock_ns:g} ns on this board",
        layer="schedule.clock_ns",
        cause=f"The processor gives {FASTEST_NS} to {slowest} ns",
        fix="Set schedule.clock_ns to one of these; 10 is a good start",
    )


def _splits(divider: int) -> bool:
    return any(
        divider % first == 0 and divider // first <= MOST_DIVIDER
        for first in range(1, MOST_DIVIDER + 1)
    )


def plan(request: Request) -> Plan:
    """Return what Vivado would do, and the board's folder.

    Parameters
    ----------
    request : Request
        With RTL; the flow names the board.

    Raises
    ------
    ConfigError
        E006 where the device is not the board's.
    ScheduleError
        E306 for a clock that the board does not have, or more streams than it takes.
    """
    assert request.rtl is not None and request.design is not None
    board, design = BOARDS[request.flow], request.design
    period = _checked(request, board)
    inside, description = accelerator(design, request.rtl, period)
    inside[f"gf_{design.name}_shell.v"] = dma_shell(design)
    files = {f"rtl/{name}": text for name, text in inside.items()}
    files["block_design.tcl"] = block_design(description, board)
    files["build.tcl"] = fill(
        "pynq_build.tcl",
        name=description.name,
        board=board,
        version=__version__,
        part=request.part,
        threads=min(request.jobs, MOST_THREADS),
        strategy=STRATEGIES[request.strategy],
        sources=sorted(f"rtl/{name}" for name in inside),
    )
    files[f"board/{description.name}.json"] = description.to_json()
    files |= {str(PurePosixPath("board", path)): text for path, text in bundle().items()}
    arguments = ("-mode", "batch", "-notrace", "-nojournal", "-nolog", "-source", "build.tcl")
    return Plan(
        "pynq",
        files,
        (Call("vivado", arguments, "Vivado"),),
        (
            Report("reports/utilization.rpt", reports.utilization),
            Report("reports/timing_summary.rpt", reports.timing),
            Report("reports/power.rpt", reports.power, required=False),
            Report("reports/hierarchy.rpt", lambda text: {}, required=False),
        ),
        ("board/*.bit", "board/*.hwh"),
        float(period),
    )


def accelerator(design: Design, rtl: Rtl, clock_ns: float) -> tuple[dict[str, str], Description]:
    """Return the sources of ``gf_<name>_dma`` by file name, and what their host has to know.

    Parameters
    ----------
    design : Design
        The scheduled design.
    rtl : Rtl
        Its Verilog.
    clock_ns : float
        Period of its clock.
    """
    inside = closure(rtl.files, rtl.top)
    identity = identity_of(inside)
    return inside | dma_files(design, identity), Description.of(design, identity, clock_ns)


def _checked(request: Request, board: ZynqBoard) -> int:
    """Return the clock's period; all else fits the board too."""
    faults: list[GateformerError] = []
    if request.device.name != board.device:
        faults.append(
            ConfigError(
                "E006",
                "a board with another device",
                layer="schedule.device",
                cause=f"{board.title[0].upper()}{board.title[1:]} has {board.device}, "
                f"the design is for {request.device.name}",
                fix=f'Set schedule.device = "{board.device}"',
            )
        )
    assert request.design is not None
    streams = len(request.design.inputs) + len(request.design.outputs)
    movers = max(len(request.design.inputs), len(request.design.outputs))
    if streams > MEMORY_PORTS or movers >= MEMORY_PORTS:
        faults.append(
            ScheduleError(
                "E306",
                f"{streams} streams are too many for one memory port",
                cause=f"The block design joins up to {MEMORY_PORTS}",
                fix="Join inputs or outputs in the model",
            )
        )
    period = 0
    try:
        period = period_ns(request.clock_ns)
    except ScheduleError as error:
        faults.append(error)
    Problems.raise_if_any(faults)
    return period


def block_design(description: Description, board: ZynqBoard) -> str:
    """Return the block design as Tcl.

    Parameters
    ----------
    description : Description
        Of the design.
    board : ZynqBoard
        Whose processor it is.
    """
    senders = {stream.dma: stream for stream in description.inputs}
    receivers = {stream.dma: stream for stream in description.outputs}
    dmas = [
        Mover(name, Side.of(senders.get(name)), Side.of(receivers.get(name)))
        for name in description.dmas
    ]
    masters = [master for dma in dmas for master in dma.masters]
    clocks = ["ps/M_AXI_GP0_ACLK", "ps/S_AXI_HP0_ACLK", "reset/slowest_sync_clk"]
    clocks += ["accelerator/clk", f"{STATUS_BLOCK}/s_axi_aclk"]
    for dma in dmas:
        clocks.append(f"{dma.name}/s_axi_lite_aclk")
        clocks += [f"{master.replace('M_AXI_', 'm_axi_').lower()}_aclk" for master in dma.masters]
    return fill(
        "pynq_design.tcl",
        name=description.name,
        shell=f"gf_{description.name}_shell",
        status=STATUS_BLOCK,
        board=board,
        version=__version__,
        mhz=f"{1000 / description.clock_ns:.6g}",
        dmas=dmas,
        registers=[f"{STATUS_BLOCK}/S_AXI", *(f"{dma.name}/S_AXI_LITE" for dma in dmas)],
        masters=masters,
        clocks=[*clocks, "registers/aclk", "memory/aclk"],
        resets=[f"{STATUS_BLOCK}/s_axi_aresetn", *(f"{dma.name}/axi_resetn" for dma in dmas)],
    )


PYNQ = Toolchain(
    "pynq",
    "AMD Vivado for a PYNQ board: bitstream with a DMA, and its Python driver",
    plan,
    families=("xc7",),
    flows=tuple(BOARDS),
    strategies=tuple(STRATEGIES),
)
