"""``gateformer run``: all of it, in a folder that keeps every step."""

from __future__ import annotations

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


def command(
    design: DesignArgument,
    out: OutOption = None,
    override: Overrides = None,
    data: DataOption = None,
    tag: TagOption = "default",
    as_json: JsonOption = False,
) -> int:
    """Take a model to proven RTL: import, quantize, schedule, generate, simulate, synthesize.

    Finished steps whose inputs are unchanged are reused; an interrupted run resumes.
    """
    config = read(design, override, data)
    return run_steps(config, run_folder(config, out, tag), (), as_json)
