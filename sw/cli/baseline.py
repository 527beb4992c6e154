"""``gateformer baseline``: the same models in the runtimes that a user would pick, measured here.

Owns the sub-commands and their options; what they do is in ``gateformer.baselines``.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateformer.cli.shared import JsonOption, Overrides

if TYPE_CHECKING:
    from gateformer.baselines.registry import Device
    from gateformer.baselines.running import Wanted

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="Decoders by name (gpt2-small), config.json or .gguf, designs (design.toml), models.",
    ),
]
Runtime = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:PRECISION]", help="Only this runtime, such as onnxruntime:int8; repeatable."
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Inferences or sequences at once.")]
Context = Annotated[
    int, typer.Option("--context", min=0, metavar="TOKENS", help="Tokens in a decoder's KV cache.")
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Of each runtime; by default one a core, and 1 for one network."),
]
Seconds = Annotated[
    float, typer.Option(min=0.05, max=3600, help="Of timed calls, for each candidate.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of a decoder's random weights.")]
HugePages = Annotated[
    bool | None,
    typer.Option(
        "--huge-pages/--no-huge-pages",
        help="Whether malloc asks for huge pages; by default for decoders, where there are some.",
        show_default=False,
    ),
]
Estimate = Annotated[
    bool,
    typer.Option("--estimate", help="Estimate energy, labelled modelled, where no meter is."),
]
Timeout = Annotated[
    float, typer.Option(min=1, metavar="S", help="Longest that one candidate may take.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder of the records, not runs/baselines."),
]


def on_cpu(
    models: Models,
    runtime: Runtime = None,
    batch: Batch = 1,
    context: Context = 128,
    threads: Threads = None,
    seconds: Seconds = 3.0,
    seed: Seed = 0,
    huge_pages: HugePages = None,
    estimate: Estimate = False,
    timeout: Timeout = 1800.0,
    override: Overrides = None,
    out: Out = None,
    as_json: JsonOption = False,
) -> int:
    """Measure models in this CPU's runtimes: each in a process of its own, threads pinned."""
    from gateformer.baselines.running import Wanted

    wanted = Wanted(
        tuple(runtime or ()), batch, context, threads, seconds, seed, huge_pages, estimate, timeout,
        _typed(),
    )  # fmt: skip
    return _run(models, wanted, "cpu", override, out, as_json)


def on_gpu(
    models: Models,
    runtime: Runtime = None,
    batch: Batch = 1,
    context: Context = 128,
    threads: Threads = None,
    seconds: Seconds = 3.0,
    seed: Seed = 0,
    timeout: Timeout = 1800.0,
    override: Overrides = None,
    out: Out = None,
    as_json: JsonOption = False,
) -> int:
    """Measure models on this machine's first NVIDIA GPU."""
    from gateformer.baselines.running import Wanted

    wanted = Wanted(
        tuple(runtime or ()), batch, context, threads, seconds, seed, timeout_s=timeout,
        command=_typed(),
    )  # fmt: skip
    return _run(models, wanted, "cuda", override, out, as_json)


def stored(
    out: Out = None,
    workload: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this design or decoder.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """List what is stored: this machine's records and those that come along, with their dates."""
    from gateformer.baselines import store
    from gateformer.baselines.listing import listed

    return listed(*store.look(workload=workload, own=out or store.OWN)).give(as_json)


def _run(
    models: list[str],
    wanted: Wanted,
    device: Device,
    overrides: list[str] | None,
    out: Path | None,
    as_json: bool,
) -> int:
    from gateformer.baselines import store
    from gateformer.baselines.listing import measured
    from gateformer.baselines.running import run
    from gateformer.comparing.subjects import find
    from gateformer.pim.waiting import telling

    subjects = find(models, overrides or ())
    with telling("measuring") as say:
        found = run(subjects, wanted, device=device, folder=out or store.OWN, say=say)
    return measured(found, store.look(own=out or store.OWN)[0]).give(as_json)


def _typed() -> str:
    return shlex.join(["gateformer", *sys.argv[1:]])[:200]


commands = {"cpu": on_cpu, "gpu": on_gpu, "list": stored}
