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


class Tool(StrEnum):
    """The toolchains."""

    yosys = "yosys"


def command(
    design: DesignArgument,
    tool: Annotated[Tool, typer.Option(help="The toolchain.")] = Tool.yosys,
    out: OutOption = None,
    override: Overrides = None,
    data: DataOption = None,
    tag: TagOption = "default",
    as_json: JsonOption = False,
) -> int:
    """Synthesize the design: LUT, FF, DSP, BRAM, and the longest logic between registers."""
    config = read(design, [*(override or ()), "synth.enabled=true"], data)
    return run_steps(config, run_folder(config, out, tag), ("synth",), as_json)
