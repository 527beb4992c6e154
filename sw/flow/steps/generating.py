"""Generate: the Verilog, its AXI4-Stream top, testbench and vectors, VHDL wrappers, file list."""

from __future__ import annotations

from pathlib import Path

from gateformer.flow.files import write_whole
from gateformer.flow.step import Outcome, Step, View
from gateformer.flow.steps.calibrating import Calibrate
from gateformer.flow.steps.folding import Fold
from gateformer.flow.steps.importing import Import
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.steps.scheduling import Schedule
from gateformer.flow.steps.vectors import Frames, Vectors
from gateformer.hw.dataflow.design import Design
from gateformer.hw.rtl.emit import Rtl

BENCH_FRAMES = 20
"""Frames of the plain testbench; the simulators get the rest."""
CHAIN: tuple[type[Step[object]], ...] = (Import, Fold, Calibrate, Lower, Schedule)
"""Steps between the model's file and the sources."""


class Generate(Step[Rtl]):
    """Writes the sources."""

    name = "generate"
    needs = (Schedule, Vectors)
    floors = ("quant", "hw", "sim")
    uses = ("generate",)

    def make(self, view: View) -> Rtl:
        """Return the Verilog."""
        from gateformer.hw.rtl.emit import emit

        return emit(view.get(Schedule))

    def write(self, view: View, product: Rtl, folder: Path) -> Outcome:
        """Write all sources."""
        from time import perf_counter

        start = perf_counter()
        files = sources(product, view.get(Schedule).design, view.get(Vectors))
        write_sources(files, folder)
        seconds = perf_counter() - start + view.spent.get(self.name, 0.0)
        seconds += sum(view.spent.get(step.name, 0.0) for step in CHAIN)
        lines = sum(text.count("\n") for name, text in files.items() if name.endswith(".v"))
        modules = len(product.stages) + 2
        metrics = {
            "generate.seconds": round(seconds, 2),
            "generate.modules": modules,
            "generate.lines": lines,
        }
        return Outcome(
            metrics, f"{modules} modules, {lines:,} lines; {seconds:.1f} s from the model's file"
        )


def sources(rtl: Rtl, design: Design, frames: Frames) -> dict[str, str]:
    """Return every file of ``gateformer generate rtl`` by its name.

    Parameters
    ----------
    rtl : Rtl
        The Verilog.
    design : Design
        Its ports and clocks.
    frames : Frames
        The testbench takes the first of them.
    """
    from gateformer.hw.rtl.vhdl import wrapper
    from gateformer.sim.rtl.testbench import testbench

    few = frames.first(BENCH_FRAMES)
    files = dict(rtl.files)
    listed = "".join(f"{name}\n" for name in rtl.files if name.endswith(".v"))
    files[f"{design.name}.f"] = listed
    for top in (rtl.core, rtl.top):
        files[f"{top}.vhd"] = wrapper(top, rtl.files[f"{top}.v"])
    return files | testbench(design, few.inputs, few.outputs)


def write_sources(files: dict[str, str], folder: Path) -> None:
    """Write texts by name."""
    for name, text in files.items():
        write_whole(folder / name, text)
