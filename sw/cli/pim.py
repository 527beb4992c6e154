"""``gateformer pim``: transformers on a memory that computes, simulated to the clock.

Owns the sub-commands and their options; what they do is in ``gateformer.pim``.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateformer.cli.shared import JsonOption

if TYPE_CHECKING:
    from gateformer.hw.pim.device import Policy


class Refreshing(StrEnum):
    """Which command refreshes."""

    all_bank = "all-bank"
    per_bank = "per-bank"
    none = "none"

    @property
    def policy(self) -> Policy:
        """The same, as the simulators take it."""
        found: Policy = self.value
        return found


class Weights(StrEnum):
    """Formats of the weights."""

    bf16 = "bf16"
    int8 = "int8"
    int4 = "int4"


class Method(StrEnum):
    """How time is found: both give the same clocks."""

    closed = "closed"
    command = "command"


ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="One of `pim models`, a config.json, or a GGUF file.")
]
Models = Annotated[
    list[str],
    typer.Argument(metavar="MODEL...", help="Some of `pim models`, config.json or GGUF files."),
]
GgufArgument = Annotated[
    Path, typer.Argument(metavar="MODEL.gguf", help="A language model of LLaMA's kind.")
]
Tokens = Annotated[int, typer.Option(min=1, help="Tokens to generate.")]
Prompt = Annotated[int, typer.Option(min=0, help="Tokens of the prompt before them.")]
Past = Annotated[int, typer.Option(min=0, help="Tokens in the cache before all that.")]
DeviceOption = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="One of `pim devices`, or a TOML file.")
]
MAPPINGS = "pim-gpt, stream-k, interleaved"
"""For help screens, which import no simulator."""
Mapping = Annotated[
    str, typer.Option(metavar="NAME", help=f"How weights and caches lie in the banks: {MAPPINGS}.")
]
RefreshOption = Annotated[Refreshing, typer.Option(help="Which command refreshes.")]
Hot = Annotated[bool, typer.Option("--hot", help="Refresh twice as often, as above 85 °C.")]
Overlap = Annotated[bool, typer.Option("--overlap", help="Let ASIC and memory work together.")]
ValueBatch = Annotated[
    int, typer.Option("--v-batch", min=1, help="Tokens whose values are written together.")
]
Batch = Annotated[int, typer.Option(min=1, help="Sequences decoded together.")]
FfnKeep = Annotated[
    float,
    typer.Option(
        "--ffn-keep",
        metavar="SHARE",
        help="Share of the FFN's hidden columns that are multiplied; the others are skipped.",
    ),
]
Channels = Annotated[
    int | None, typer.Option(min=1, max=64, help="Channels, in place of the device's.")
]
WeightsOption = Annotated[Weights, typer.Option(help="Format of the weights.")]
AsicClock = Annotated[
    float | None,
    typer.Option(metavar="NS", help="Clock of the ASIC in ns, in place of the device's."),
]
MethodOption = Annotated[Method, typer.Option(help="Closed form, or command by command.")]
Timing = Annotated[str, typer.Option(metavar="NAME|FILE", help="A device or a timing file.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="With the edges that the public simulator's table lacks.")
]


def simulate(
    model: ModelArgument,
    tokens: Tokens = 1024,
    prompt: Prompt = 0,
    past: Past = 0,
    device: DeviceOption = "pim-gpt",
    mapping: Mapping = "pim-gpt",
    refresh: RefreshOption = Refreshing.all_bank,
    hot: Hot = False,
    overlap: Overlap = False,
    v_batch: ValueBatch = 1,
    batch: Batch = 1,
    channels: Channels = None,
    weights: WeightsOption = Weights.bf16,
    ffn_keep: FfnKeep = 1.0,
    asic_clock: AsicClock = None,
    method: MethodOption = Method.closed,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Move each assumed constant by 20 %.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where the page and JSON go.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="A Perfetto trace; .gz compresses it."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Generate tokens: clocks, row hits, energy, bandwidth, and what everything waits for."""
    from gateformer.pim.simulating import simulate as run

    settings = {
        "tokens": tokens,
        "prompt": prompt,
        "past": past,
        "device": device,
        "mapping": mapping,
        "refresh": refresh.value,
        "hot": hot,
        "overlap": overlap,
        "v_batch": v_batch,
        "batch": batch,
        "channels": channels,
        "weights": weights.value,
        "ffn_keep": ffn_keep,
        "asic_clock_ns": asic_clock,
        "method": method.value,
    }
    return run(model, settings, out=out, trace=trace, sensitivity=sensitivity).give(as_json)


def replay(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="Instructions, one a line.")],
    timing: Timing,
    commands: Annotated[
        Path | None,
        typer.Option("--commands", metavar="FILE", help="Write every command; .gz compresses."),
    ] = None,
    no_refresh: Annotated[bool, typer.Option("--no-refresh", help="Never refresh.")] = False,
    refresh: Annotated[
        Refreshing | None, typer.Option(help="Which command refreshes; by default the device's.")
    ] = None,
    hot: Hot = False,
    strict: Strict = False,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Translate the engine with numba: long traces.")
    ] = False,
    rtl: Annotated[
        bool, typer.Option("--rtl", help="Run it in Verilog too, held to every clock.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Run a trace of instructions, and write each command with its clock."""
    from gateformer.pim.replaying import replay as run
    from gateformer.quant.errors import ConfigError

    if no_refresh and refresh not in (None, Refreshing.none):
        cause = f"One never refreshes, the other asks for {refresh.value}"
        raise ConfigError(
            "E006",
            "settings that contradict each other",
            layer="--no-refresh, --refresh",
            cause=cause,
            fix="Give one of them",
        )
    wanted = Refreshing.none if no_refresh else refresh
    policy = None if wanted is None else wanted.policy
    options = {"hot": hot, "strict": strict, "compiled": compiled, "rtl": rtl}
    return run(trace, timing, commands=commands, policy=policy, **options).give(as_json)


def check(
    commands: Annotated[Path, typer.Argument(metavar="COMMANDS", help="A log of commands.")],
    timing: Timing,
    refresh: Annotated[
        Refreshing | None,
        typer.Option(help="Refresh to ask for; by default what the log has, or the device's."),
    ] = None,
    postponed: Annotated[
        int | None, typer.Option(min=0, help="Refreshes that may be owed at once.")
    ] = None,
    hot: Hot = False,
    strict: Strict = False,
    as_json: JsonOption = False,
) -> int:
    """Check a log against the device's rules, with code of its own; 10 where it breaks one."""
    from gateformer.pim.checking import check as run

    policy = None if refresh is None else refresh.policy
    return run(commands, timing, policy=policy, postponed=postponed, hot=hot, strict=strict).give(
        as_json
    )


def sweep(
    models: Models,
    tokens: Tokens = 64,
    channels: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Numbers of channels; by default the device's."),
    ] = None,
    mapping: Annotated[
        str, typer.Option(metavar="NAME,...", help=f"Some of {MAPPINGS}.")
    ] = "pim-gpt",
    device: Annotated[
        str, typer.Option(metavar="NAME,...", help="Some of `pim devices`, or TOML files.")
    ] = "pim-gpt",
    refresh: Annotated[
        str, typer.Option(metavar="NAME,...", help="Some of all-bank, per-bank, none.")
    ] = "all-bank",
    weights: Annotated[
        str, typer.Option(metavar="NAME,...", help="Some of bf16, int8, int4.")
    ] = "bf16",
    batch: Annotated[str, typer.Option(metavar="N,N,...", help="Batches.")] = "1",
    overlap: Annotated[
        str, typer.Option(metavar="off,on", help="ASIC and memory together.")
    ] = "off",
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one a core.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A .csv, or a .parquet where pyarrow is there."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Simulate every combination, in several processes."""
    from gateformer.pim.sweep import sweep as run

    lists = {
        "channels": channels,
        "mapping": mapping,
        "device": device,
        "refresh": refresh,
        "weights": weights,
        "batch": batch,
        "overlap": overlap,
    }
    return run(models, lists, tokens=tokens, processes=processes, out=out).give(as_json)


def models(as_json: JsonOption = False) -> int:
    """List the models, their sizes and what they hold."""
    from gateformer.pim.lists import models as listed

    return listed().give(as_json)


def devices(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Print this one's TOML file instead.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """List the memories, their sizes, peaks and sources; or print one's file, to start from."""
    from gateformer.pim.lists import device_file
    from gateformer.pim.lists import devices as listed

    return listed().give(as_json) if name is None else device_file(name, as_json)


def compare(
    tokens: Tokens = 1024,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the page (Markdown).")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Put what is simulated here beside what the PIM-GPT paper claims, for all eight models."""
    from gateformer.pim.replication import replicate

    return replicate(tokens, out=out).give(as_json)


def generate(
    model: GgufArgument,
    prompt: Annotated[str, typer.Option(help="Text in front of what is generated.")],
    tokens: Tokens = 64,
    weights: WeightsOption = Weights.bf16,
    device: DeviceOption = "pim-gpt",
    channels: Channels = None,
    mapping: Mapping = "pim-gpt",
    refresh: RefreshOption = Refreshing.all_bank,
    overlap: Overlap = False,
    method: MethodOption = Method.closed,
    chat: Annotated[
        bool, typer.Option("--chat", help="The prompt is a question (ChatML).")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compute all logits once more, and compare every bit."),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Let a real language model speak on the memory, bit by bit and clock by clock."""
    from gateformer.pim.generating import generate as run

    return run(
        model,
        prompt,
        tokens=tokens,
        weights=weights.value,
        device=device,
        channels=channels,
        mapping=mapping,
        refresh=refresh.policy,
        overlap=overlap,
        method="command" if method is Method.command else "closed",
        chat=chat,
        checked=check,
    ).give(as_json)


def perplexity(
    model: GgufArgument,
    text: Annotated[
        Path | None,
        typer.Option("--text", metavar="FILE", help="A text, in place of Python's documentation."),
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens to foretell.")] = 1000,
    device: DeviceOption = "pim-gpt",
    as_json: JsonOption = False,
) -> int:
    """Measure what BF16, the ASIC's functions, INT8 and INT4 cost a real language model."""
    from gateformer.pim.perplexity import perplexity as run

    return run(model, text, tokens=tokens, device=device).give(as_json)


commands = {
    "simulate": simulate,
    "generate": generate,
    "perplexity": perplexity,
    "replay": replay,
    "check": check,
    "sweep": sweep,
    "models": models,
    "devices": devices,
    "compare": compare,
}
