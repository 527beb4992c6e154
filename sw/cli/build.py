"""``gateformer build``: a toolchain on the sources."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from gateformer.cli.shared import (
    DataOption,
    DesignArgument,
    JsonOption,
    OutOption,
    Overrides,
    TagOption,
    read,
    run_folder,
    run_steps,
)
from gateformer.quant.errors import ConfigError


class Tool(StrEnum):
    """The toolchains."""

    yosys = "yosys"
    vivado = "vivado"
    vitis_hls = "vitis_hls"
    vivado_hls = "vivado_hls"
    quartus = "quartus"
    quartus_hls = "quartus_hls"
    nextpnr = "nextpnr"
    pynq = "pynq"


def command(
    design: DesignArgument,
    tool: Annotated[
        Tool,
        typer.Option(metavar="TOOL", case_sensitive=False, help=f"One of {', '.join(Tool)}."),
    ] = Tool.yosys,
    flow: Annotated[
        str | None,
        typer.Option(metavar="FLOW", help="What it makes, such as ooc or axi (docs/build.md)."),
    ] = None,
    out: OutOption = None,
    override: Overrides = None,
    data: DataOption = None,
    tag: TagOption = "default",
    as_json: JsonOption = False,
) -> int:
    """Build the design with a toolchain: resources, timing, power; its project where it is not."""
    given = list(override or ())
    if flow is not None:
        given.append(f"build.flow={flow}")
    if tool is Tool.yosys:
        if flow is not None:
            raise ConfigError(
                "E005",
                "invalid command line",
                layer="--flow",
                cause="yosys has one flow alone",
                fix="Leave --flow out, or name another toolchain with --tool",
            )
        config, target = read(design, [*given, "synth.enabled=true"], data), "synth"
    else:
        from gateformer.toolchains.registry import toolchain

        config = read(design, [*given, f"build.tool={tool}"], data)
        target = "build" if toolchain(tool).backend is None else "build_hls"
    return run_steps(config, run_folder(config, out, tag), (target,), as_json)
