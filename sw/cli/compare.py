"""``gateformer compare``: FPGA, PIM, CPU and GPU side by side, one command.

Owns the command and its options; what it does is in ``gateformer.comparing``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateformer.cli.shared import JsonOption, Overrides, TagOption

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="Decoders by name (gpt2-small), config.json or .gguf, designs (design.toml), models.",
    ),
]


def command(
    models: Models,
    context: Annotated[
        int, typer.Option(min=1, metavar="TOKENS", help="Tokens in a decoder's KV cache.")
    ] = 128,
    batch: Annotated[int, typer.Option(min=1, help="Inferences or sequences at once.")] = 1,
    runtime: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:PRECISION]", help="Only these runtimes; repeatable."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of each runtime; as `baseline cpu` has it.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.05, max=3600, help="Of timed calls, for each runtime.")
    ] = 3.0,
    huge_pages: Annotated[
        bool | None,
        typer.Option(
            "--huge-pages/--no-huge-pages", help="Of what is measured; as `baseline cpu` has it."
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure anew what has a record here.")
    ] = False,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Measure nothing: records alone.")
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Estimate joules, labelled modelled, without a meter."),
    ] = False,
    override: Overrides = None,
    tag: TagOption = "default",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of compare.html, .md and .json."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Put a network or a decoder on FPGA, PIM, CPU and GPU side by side.

    Latency, throughput, energy, energy times delay and area; each number says what it is. What
    this machine has no record of is measured first.
    """
    from gateformer.comparing.collect import Options, compare
    from gateformer.comparing.measuring import Measuring, Mode
    from gateformer.quant.errors import ConfigError

    if measure and recorded:
        raise ConfigError(
            "E006", "settings that contradict each other", layer="--measure, --recorded"
        )
    mode: Mode = "anew" if measure else "recorded" if recorded else "missing"
    how = Measuring(mode, tuple(runtime or ()), context, batch, threads, seconds, huge_pages)
    options = Options(how, tuple(override or ()), tag, estimate)
    return compare(models, options, out).give(as_json)
