"""Open tools from Verilog to a bitstream: yosys, nextpnr and the packers of two families.

Owns ``NEXTPNR``. The design stands between a serial receiver and sender, so that five pins do;
all of it comes from the package index, and the folder that is written builds without gateformer.
"""

from __future__ import annotations

from pathlib import Path

from gateformer.hw.boards import Board
from gateformer.hw.boards import load as load_board
from gateformer.hw.boards import names as board_names
from gateformer.hw.rtl.serial import board_top, serial_top
from gateformer.quant.errors import ConfigError
from gateformer.quant.version import __version__
from gateformer.toolchains import ecp5_multipliers, nextpnr_parts, yosys_script
from gateformer.toolchains import nextpnr_reports as reports
from gateformer.toolchains.plan import PYTHON, Call, Plan, Report, Request
from gateformer.toolchains.registry import Toolchain
from gateformer.toolchains.text import fill
from gateformer.toolchains.yosys_sources import closure
from gateformer.toolchains.yosys_worker import TABLE_ENTRIES

UART = "uart"
"""The flow without a PLL: nextpnr chooses an ECP5's pins. Others are named after their board."""
BAUD = 115_200
"""Bits a second on the serial line."""
SEEDS = {"default": "1", "seed2": "2", "seed3": "3", "seed4": "4"}
"""Strategies are seeds of the placer: one that misses the clock by little may meet it."""


def plan(request: Request) -> Plan:
    """Return what yosys, nextpnr and the packer would do.

    Parameters
    ----------
    request : Request
        With RTL. Flow ``uart``: the serial top on pins of nextpnr's choice; a board's: behind its
        PLL, on its pins.

    Raises
    ------
    ConfigError
        E002 for an unknown part, E006 for one that the board does not carry.
    """
    assert request.rtl is not None and request.design is not None
    board = None if request.flow == UART else load_board(request.flow)
    divisor = max(4, round(1e9 / request.clock_ns / BAUD))
    every = {**request.rtl.files, **serial_top(request.design, divisor)}
    top = f"{request.rtl.core}_uart"
    if board is not None:
        _fits(board, request)
        top = f"{request.rtl.core}_{board.name}"
        every |= board_top(request.design, board.name, divisor)
    inside = closure(every, top)
    files = {f"rtl/{name}": text for name, text in inside.items()}
    sources = sorted(name for name in files if name.endswith(".v"))
    files["synth.ys"] = fill(
        "synth.ys",
        version=__version__,
        sources=sources if board is None else [*sources, "pll.v"],
        top=top,
        family=request.device.family,
        entries=TABLE_ENTRIES,
        board=board,
    )
    files["run_yosys.py"] = Path(yosys_script.__file__).read_text(encoding="utf-8")
    if request.device.family == "ecp5":
        return _ecp5(request, files, board)
    return _gowin(request, files)


def _fits(board: Board, request: Request) -> None:
    if not request.part.upper().startswith(board.part):
        raise ConfigError(
            "E006",
            "device and board contradict each other",
            layer="build.flow",
            cause=f"{board.name} carries a {board.part}, and build.part is {request.part}",
            fix=f"Choose the device of the board, or the flow '{UART}' without its pins",
        )


def _ecp5(request: Request, files: dict[str, str], board: Board | None) -> Plan:
    name, options = request.name, nextpnr_parts.ecp5(request.part)
    files["pins.lpf"] = fill("pins.lpf", version=__version__, mhz=_mhz(request), board=board)
    clock: tuple[Call, ...] = ()
    if board is not None:
        given = ("-i", f"{board.clock_mhz:g}", "-o", _mhz(request), "-f", "pll.v")
        clock = (Call("ecppll", (*given, "--module", "gf_pll"), "ecppll"),)
    files["ecp5_multipliers.py"] = Path(ecp5_multipliers.__file__).read_text(encoding="utf-8")
    place = (
        *options,
        *("--json", "netlist.json", "--lpf", "pins.lpf", "--lpf-allow-unconstrained"),
        *("--freq", _mhz(request), "--seed", SEEDS[request.strategy], "--timing-allow-fail"),
        *("--report", "timing.json", "--textcfg", f"{name}.config"),
    )
    return Plan(
        "nextpnr",
        files,
        (
            *clock,
            Call(PYTHON, ("run_yosys.py", "synth.ys"), "yosys"),
            Call(
                PYTHON,
                ("ecp5_multipliers.py", "mapped.json", "netlist.json"),
                "registers into multipliers",
            ),
            Call("nextpnr-ecp5", place, "nextpnr-ecp5"),
            Call("ecppack", ("--input", f"{name}.config", "--bit", f"{name}.bit"), "ecppack"),
        ),
        (Report("timing.json", reports.ecp5), Report("cells.json", reports.cells)),
        (f"{name}.config", f"{name}.bit"),
        request.clock_ns,
        needs=("yosys",),
    )


def _gowin(request: Request, files: dict[str, str]) -> Plan:
    name, chip = request.name, nextpnr_parts.gowin(request.part)
    boards = [load_board(name) for name in board_names()]
    carrying = [board for board in boards if request.part.upper().startswith(board.part)]
    if not carrying:
        raise ConfigError(
            "E006",
            "device and boards contradict each other",
            layer="build.part",
            cause=f"nextpnr chooses no pins of Gowin parts, and no known board carries "
            f"a {request.part}",
            fix="Choose the device gw2a-18, or add hw/boards/<name>.toml",
        )
    files["pins.cst"] = fill("pins.cst", version=__version__, board=carrying[0])
    place = (
        *("--device", request.part, "--vopt", f"family={chip}", "--vopt", "cst=pins.cst"),
        *("--json", "mapped.json", "--freq", _mhz(request)),
        *("--seed", SEEDS[request.strategy], "--timing-allow-fail"),
        *("--report", "timing.json", "--write", "routed.json"),
    )
    return Plan(
        "nextpnr",
        files,
        (
            Call(PYTHON, ("run_yosys.py", "synth.ys"), "yosys"),
            Call("nextpnr-himbaechel", place, "nextpnr-himbaechel"),
            Call("gowin_pack", ("-d", chip, "-o", f"{name}.fs", "routed.json"), "gowin_pack"),
        ),
        (Report("timing.json", reports.gowin), Report("cells.json", reports.cells)),
        (f"{name}.fs",),
        request.clock_ns,
        needs=("yosys",),
    )


def _mhz(request: Request) -> str:
    return f"{1000 / request.clock_ns:.6g}"


NEXTPNR = Toolchain(
    "nextpnr",
    "yosys and nextpnr: synthesis, placement, routing, bitstream; Lattice ECP5 and Gowin",
    plan,
    families=("ecp5", "gowin"),
    flows=(UART, *(name for name in board_names() if load_board(name).family == "ecp5")),
    strategies=tuple(SEEDS),
)
