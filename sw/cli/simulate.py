"""``gateformer simulate``: the hardware against the model, bit by bit and clock by clock."""

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


class Simulator(StrEnum):
    """The simulators."""

    icarus = "icarus"
    verilator = "verilator"


def command(
    design: DesignArgument,
    simulator: Annotated[
        Simulator | None, typer.Option(help="One simulator; by default all that are installed.")
    ] = None,
    vectors: Annotated[int | None, typer.Option(min=1, help="Frames to simulate.")] = None,
    waves: Annotated[bool, typer.Option("--waves", help="Keep a waveform (Icarus).")] = False,
    out: OutOption = None,
    override: Overrides = None,
    data: DataOption = None,
    tag: TagOption = "default",
    as_json: JsonOption = False,
) -> int:
    """Check the hardware against the model: every integer, every clock.

    The first difference is named with its value, frame and index, and both integers.
    """
    given = list(override or ())
    chosen = [simulator] if simulator is not None else list(Simulator)
    for one in Simulator:
        if simulator is not None:
            given.append(f"simulate.{one.value}.enabled={str(one in chosen).lower()}")
        if vectors is not None:
            given.append(f"simulate.{one.value}.vectors={vectors}")
    if waves:
        given.append("simulate.waves=true")
    config = read(design, given, data)
    targets = ("events", *(one.value for one in chosen))
    return run_steps(config, run_folder(config, out, tag), targets, as_json)
