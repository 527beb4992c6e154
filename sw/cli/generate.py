"""``gateformer generate``: the sources, in a folder of their own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateformer.cli.pim import (
    Channels,
    Hot,
    Refreshing,
    Strict,
    Weights,
    WeightsOption,
)
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


class Backend(StrEnum):
    """The HLS compilers."""

    vitis = "vitis"
    vivado = "vivado"
    quartus = "quartus"
    oneapi = "oneapi"


class IoType(StrEnum):
    """How tensors travel between layers."""

    io_parallel = "io_parallel"
    io_stream = "io_stream"


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
    from gateformer.flow.steps.generating import BENCH_FRAMES, Generate, sources
    from gateformer.flow.steps.scheduling import Schedule
    from gateformer.flow.steps.vectors import Vectors
    from gateformer.flow.view import Memory

    config = read(design, override, data)
    view = Memory(few_frames(config, BENCH_FRAMES))
    made = view.get(Schedule).design
    files = sources(view.get(Generate), made, view.get(Vectors)) | {RESOLVED: to_toml(config)}
    folder = publish(files, out or Path(f"{config.name}_rtl"), "generate rtl")
    if as_json:
        clocks = {"latency_cycles": made.latency_cycles, "interval_cycles": made.interval_cycles}
        print_json({"folder": str(folder), **clocks, "files": sorted(files)})
        return
    typer.echo(
        f"{folder}: {len(files)} files; latency {made.latency_cycles}, "
        f"interval {made.interval_cycles} cycles. Tops: gf_{made.name} and gf_{made.name}_axis."
    )


def few_frames(config: Config, count: int) -> Config:
    """Return the configuration with no more frames than a testbench takes."""
    few = {"vectors": count}
    simulate = config.simulate.model_copy(
        update={
            "icarus": config.simulate.icarus.model_copy(update=few),
            "verilator": config.simulate.verilator.model_copy(update=few),
        }
    )
    off = config.hls.model_copy(update={"enabled": False})
    return config.model_copy(update={"simulate": simulate, "hls": off})


def hls(
    design: DesignArgument,
    backend: Annotated[
        Backend | None,
        typer.Option(
            metavar="NAME",
            case_sensitive=False,
            help=f"One of {', '.join(Backend)}; by default hls.backend.",
        ),
    ] = None,
    io_type: Annotated[
        IoType | None,
        typer.Option(
            "--io-type",
            metavar="NAME",
            case_sensitive=False,
            help=f"One of {', '.join(IoType)}; by default hls.io_type.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to; by default <design>_hls."),
    ] = None,
    override: Overrides = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an hls4ml project: C++, headers, weights and the vendor's build script."""
    from gateformer.config.write import to_toml
    from gateformer.flow.publish import publish
    from gateformer.flow.run import RESOLVED
    from gateformer.flow.steps.hls import benched, project_of
    from gateformer.flow.view import Memory
    from gateformer.hw.hls.bench import FRAMES

    given = list(override or ())
    given += [f"hls.backend={backend.value}"] if backend is not None else []
    given += [f"hls.io_type={io_type.value}"] if io_type is not None else []
    config = read(design, given, data)
    view = Memory(few_frames(config, FRAMES))
    project = benched(view, project_of(view))
    files = {**project.files, RESOLVED: to_toml(config)}
    folder = publish(files, out or Path(f"{config.name}_hls"), "generate hls")
    chosen = project.settings
    if as_json:
        answer = {"folder": str(folder), "top": project.top, "files": sorted(files)}
        print_json(answer | {"backend": chosen.backend, "io_type": chosen.io_type})
        return
    source = next(path for path in files if path.endswith(f"firmware/{project.top}.cpp"))
    typer.echo(
        f"{folder}: {len(files)} files for {chosen.backend}, {chosen.io_type}. "
        f"Top: {project.top}() in {source}."
    )


def pim(
    device: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="One of `pim devices`, or a TOML file.")
    ] = "pim-gpt",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to; by default <device>_verilog."),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows of each bank; by default 64.")
    ] = None,
    channels: Channels = None,
    refresh: Annotated[
        Refreshing | None, typer.Option(help="Which command refreshes; by default the device's.")
    ] = None,
    hot: Hot = False,
    strict: Strict = False,
    weights: WeightsOption = Weights.bf16,
    as_json: JsonOption = False,
) -> None:
    """Write a memory with multipliers in its banks, and its ASIC, in Verilog."""
    from gateformer.flow.publish import publish
    from gateformer.hw.pim.verilog import TOP
    from gateformer.pim.sources import ASIC, sources

    found, files = sources(
        device,
        rows=rows,
        channels=channels,
        policy=None if refresh is None else refresh.policy,
        hot=hot,
        strict=strict,
        weights=weights.value,
    )
    folder = publish(files, out or Path(f"{found.name}_verilog"), "generate pim")
    tops = [TOP, *([ASIC] if found.asic is not None else [])]
    sizes = found.organization
    if as_json:
        print_json({"folder": str(folder), "tops": tops, "files": sorted(files)})
        return
    typer.echo(
        f"{folder}: {len(files)} files; {sizes.channels} channels of {sizes.banks} banks of "
        f"{sizes.rows} rows, {weights.value}. Tops: {' and '.join(tops)}."
    )


commands = {"rtl": rtl, "hls": hls, "pim": pim}
