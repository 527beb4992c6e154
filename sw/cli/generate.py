"""``gateformer generate``: the sources, in a folder of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateformer.cli.shared import (
    DataOption,
    DesignArgument,
    JsonOption,
    Overrides,
    print_json,
    read,
)

if TYPE_CHECKING:
    from gateformer.config.schema import Config


def rtl(
    design: DesignArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to; by default <design>_rtl."),
    ] = None,
    override: Overrides = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write Verilog, AXI4-Stream top, testbench with vectors, VHDL wrappers and file list."""
    from gateformer.config.write import to_toml
    from gateformer.flow.publish import publish
    from gateformer.flow.run import RESOLVED
    from gateformer.flow.steps.generating import Generate, sources
    from gateformer.flow.steps.scheduling import Schedule
    from gateformer.flow.steps.vectors import Vectors
    from gateformer.flow.view import Memory

    config = read(design, override, data)
    view = Memory(few_frames(config))
    made = view.get(Schedule).design
    files = sources(view.get(Generate), made, view.get(Vectors)) | {RESOLVED: to_toml(config)}
    folder = publish(files, out or Path(f"{config.name}_rtl"))
    if as_json:
        clocks = {"latency_cycles": made.latency_cycles, "interval_cycles": made.interval_cycles}
        print_json({"folder": str(folder), **clocks, "files": sorted(files)})
        return
    typer.echo(
        f"{folder}: {len(files)} files; latency {made.latency_cycles}, "
        f"interval {made.interval_cycles} cycles. Tops: gf_{made.name} and gf_{made.name}_axis."
    )


def few_frames(config: Config) -> Config:
    """Return the configuration with no more frames than the testbench takes."""
    from gateformer.flow.steps.generating import BENCH_FRAMES

    few = {"vectors": BENCH_FRAMES}
    simulate = config.simulate.model_copy(
        update={
            "icarus": config.simulate.icarus.model_copy(update=few),
            "verilator": config.simulate.verilator.model_copy(update=few),
        }
    )
    return config.model_copy(update={"simulate": simulate})


commands = {"rtl": rtl}
