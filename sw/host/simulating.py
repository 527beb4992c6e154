"""A design of the flow on a simulated board: the driver as it will run, before there is a board.

Owns ``simulated``. Imports the flow's steps when it is called.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gateformer.host.driver import Accelerator
from gateformer.host.engine import Engine, NumpyEngine
from gateformer.host.simulated_board import SimulatedBoard
from gateformer.sim.rtl.tools import Simulator

PATIENCE_S = 600.0
"""Seconds that a batch may take: a simulated clock is some 100,000 times slower than a board's."""


def simulated(
    design: str | Path,
    *,
    simulator: Simulator | None = None,
    work: str | Path | None = None,
    overrides: Iterable[str] = (),
    batch: int | None = None,
) -> Accelerator:
    """Return a design's accelerator on a simulated board.

    Parameters
    ----------
    design : str or Path
        A design.toml, its folder, or a model file.
    simulator : {"icarus", "verilator"}, optional
        Simulates the generated Verilog, ``gf_<name>_dma``; by default the numpy executor
        computes, on the bytes that the driver packed.
    work : str or Path, optional
        Folder for the simulation's files; needed with a simulator.
    overrides : iterable of str
        ``key=value``, as on the command line.
    batch : int, optional
        Frames a transfer.

    Returns
    -------
    Accelerator

    Raises
    ------
    GateformerError
        What is wrong with the design; E501 or E505 where a simulator is missing.
    """
    from gateformer.config.read import load
    from gateformer.flow.cache import cache_folder
    from gateformer.flow.steps.generating import Generate
    from gateformer.flow.steps.lowering import Lower
    from gateformer.flow.steps.scheduling import Schedule
    from gateformer.flow.view import Memory
    from gateformer.host.rtl_engine import RtlEngine
    from gateformer.toolchains.pynq import accelerator

    config = load(Path(design), list(overrides))
    view = Memory(config)
    scheduled = view.get(Schedule).design
    files, description = accelerator(scheduled, view.get(Generate), config.schedule.clock_ns)
    engine: Engine
    if simulator is None:
        engine = NumpyEngine.of(description, view.get(Lower).graph)
    else:
        if work is None:
            raise ValueError("a simulator needs a folder to work in")
        cache = cache_folder(config, "builds")
        engine = RtlEngine(description, files, Path(work).absolute(), simulator, cache)
    board = SimulatedBoard(description, engine)
    return Accelerator(board, description, timeout_s=PATIENCE_S, batch=batch)
