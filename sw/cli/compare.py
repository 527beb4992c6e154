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
        help="Decoders by name (gpt2-small) or config.json, designs (design.toml), model files.",
    ),
]


def command(
    models: Models,
    context: Annotated[
        int, typer.Option(min=1, metavar="TOKENS", help="Tokens in a decoder's KV cache.")
    ] = 128,
    batch: Annotated[int, typer.Option(min=1, help="Inferences or sequences at once.")] = 1,
    override: Overrides = None,
    tag: TagOption = "default",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of compare.html, .md and .json."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Put a network or a decoder on FPGA, PIM, CPU and GPU side by side.

    Latency, throughput, energy, energy times delay and area; each number says what it is.
    """
    from gateformer.comparing.collect import Options, compare

    options = Options(context=context, batch=batch, overrides=tuple(override or ()), tag=tag)
    return compare(models, options, out).give(as_json)
