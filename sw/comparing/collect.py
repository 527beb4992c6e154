"""``gateformer compare``: gathers every model's rows, and answers with tables, JSON and pages.

Owns ``compare``. Imports one module a platform, the tables and the page.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from gateformer.baselines.hardware import cpu
from gateformer.baselines.listing import CROWDED
from gateformer.baselines.opening import network_graph
from gateformer.baselines.record import Hardware
from gateformer.baselines.registry import Device
from gateformer.comparing import fpga, measured, measuring, modelled, page, pim, tables
from gateformer.comparing.measuring import Measuring
from gateformer.comparing.rows import Absent, Comparison, Platform, Row, Subject
from gateformer.comparing.subjects import find
from gateformer.config.schema import Config
from gateformer.energy.meters import estimate
from gateformer.flow.publish import publish, refuse_strangers
from gateformer.pim.screen import Answer, Block
from gateformer.pim.waiting import waiting
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, GateformerError, Problems

COMMAND = "compare"
PAGE, TEXT, NUMBERS = "compare.html", "compare.md", "compare.json"
PLATFORM: dict[Device, Platform] = {"cpu": "CPU", "cuda": "GPU"}
Model = Decoder | Config


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Attributes
    ----------
    measuring : Measuring
        How baselines are had; the context and the batch of all rows.
    overrides : tuple of str
        ``key=value`` for designs.
    tag : str
        Name of the designs' runs.
    estimate : bool
        Whether joules of this machine's processor are estimated where no meter was read.
    """

    measuring: Measuring = field(default_factory=Measuring)
    overrides: tuple[str, ...] = ()
    tag: str = "default"
    estimate: bool = False


def compare(wanted: Sequence[str], options: Options, out: Path | None = None) -> Answer:
    """Compare models, and write what was asked for.

    Parameters
    ----------
    wanted : sequence of str
        As on the command line.
    options : Options
        How.
    out : Path or None
        Folder of the page, its text and its numbers.

    Raises
    ------
    Problems or GateformerError
        What is wrong with a model or an option, before anything runs; E703 where the folder holds
        other files; what a design's run found wrong.
    """
    if out is not None:
        refuse_strangers(out.absolute(), COMMAND)
    models = find(wanted, options.overrides)
    check(models, options)
    again = command(wanted, options)
    found = gather(models, options, again)
    data = numbers(found)
    notes = list(found.notes)
    if out is not None:
        files = {
            PAGE: page.render(found, f"{again} --out page", settings(options)),
            TEXT: page.markdown(found, again),
            NUMBERS: json.dumps(data, indent=1) + "\n",
        }
        publish(files, out, COMMAND)
        data["page"] = str(out / PAGE)
        notes.append(f"Page: {out / PAGE}")
    return Answer(data, tuple(tables.narrow_blocks(found)), tuple(notes))


def check(models: Sequence[Model], options: Options) -> None:
    """Raise where a decoder cannot hold the context, or no model has a runtime that is asked for.

    Raises
    ------
    Problems or ConfigError
        E022 and E005 for each.
    """
    context = options.measuring.context
    problems: list[GateformerError] = [
        ConfigError(
            "E022",
            "setting out of range",
            layer="--context",
            cause=f"{one.name} takes {one.context} tokens; {context} and the "
            f"{pim.TOKENS // 2} after them are too many",
            fix=f"Choose at most {one.context - pim.TOKENS // 2}",
        )
        for one in models
        if isinstance(one, Decoder) and context > one.context - pim.TOKENS // 2
    ]
    try:
        measuring.check(models, options.measuring)
    except Problems as several:
        problems += several.errors
    except ConfigError as error:
        problems.append(error)
    Problems.raise_if_any(problems)


def gather(models: Sequence[Model], options: Options, again: str) -> Comparison:
    """Return all rows; what has to be measured is measured last, when nothing else runs."""
    constants = estimate.constants() if options.estimate else None
    subjects: list[Subject] = []
    rows: list[Row] = []
    absent: list[Absent] = []
    for model in models:
        given = decoder(model, options) if isinstance(model, Decoder) else network(model, options)
        subject, more, lacking = given
        subjects.append(subject)
        rows += more
        absent += lacking
    how = options.measuring
    processor = cpu()
    machines: dict[Device, Hardware | None] = {"cpu": processor, "cuda": measuring.board()}
    fresh: set[measured.Key] = set()
    for device, here in machines.items():
        if how.mode == "recorded" or here is None:
            continue
        with _told() as say:
            reasons, made = measuring.measure(models, how, here, device, again, say)
        fresh |= made
        for name, why in reasons.items():
            absent += measured.lacking(name, PLATFORM[device], why)
    own = [one for one in machines.values() if one is not None]
    for model in models:
        records = measuring.records(model, how, processor)
        rows += measured.rows(str(model.name), records, own, constants, fresh)
        if not any(one.hardware.kind == "cpu" for one in records):
            absent.append(_unmeasured(str(model.name), how))
    return Comparison(tuple(subjects), tuple(rows), tuple(absent), tuple(notes(rows)))


Gathered = tuple[Subject, list[Row], list[Absent]]


def decoder(model: Decoder, options: Options) -> Gathered:
    """Return a decoder's rows that need no measuring."""
    context, batch = options.measuring.context, options.measuring.batch
    with waiting(f"{model.name}: simulating the memory"):
        memory = pim.row(model, context, batch)
    rows = modelled.decoder(model, context, batch)
    lacking = [fpga.decoder(model)]
    if isinstance(memory, Row):
        rows.append(memory)
    else:
        lacking.append(memory)
    subject = Subject(
        name=model.name,
        kind="decode",
        words=(
            f"{fpga.parameters(model.parameters)} parameters, {model.layers} layers of "
            f"{model.d_model}; one token after {context:,} others"
        ),
        parameters=model.parameters,
        context=context,
        batch=batch,
    )
    return subject, rows, lacking


def network(config: Config, options: Options) -> Gathered:
    """Return a design's rows that need no measuring."""
    from rich.console import Console

    from gateformer.flow.progress import watching
    from gateformer.flow.view import Memory

    batch = options.measuring.batch
    config = fpga.counting(config, options.overrides)
    folder = Path("runs") / str(config.name) / options.tag
    with watching(Console(stderr=True)) as watcher:
        metrics = fpga.run_design(config, folder, watcher).metrics
    parameters = int(str(metrics["import.parameters"]))
    subject = Subject(
        name=str(config.name),
        kind="network",
        words=f"{parameters:,} parameters, {metrics['import.layers']} layers",
        parameters=parameters,
        batch=batch,
        accuracy=fpga.accuracy(metrics),
    )
    rows = [fpga.row(config, metrics, batch)]
    rows += modelled.network(subject.name, network_graph(Memory(config)), batch)
    return subject, rows, [pim.network(subject.name, parameters)]


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what a reader must know besides."""
    found = []
    machines = dict.fromkeys(
        row.machine for row in rows if row.kind == "measured" and row.here and not row.recorded
    )
    if machines:
        found.append(f"Measured now: {', '.join(machines)}.")
    before = dict.fromkeys(
        f"{row.machine}, {row.recorded.rpartition(', ')[2]}"
        for row in rows
        if row.here and row.recorded
    )
    if before:
        found.append(f"Measured here before: {'; '.join(before)}.")
    others = dict.fromkeys(row.recorded for row in rows if row.recorded and not row.here)
    if others:
        found.append(f"Measured elsewhere: {'; '.join(others)}.")
    load = max((row.load or 0.0 for row in rows if row.platform == "CPU"), default=0.0)
    if load > CROWDED:
        found.append(
            f"Up to {load:.1f} processes a core wanted to run beside a measurement: its times are "
            "upper bounds. Measure again on a quiet machine, with --measure."
        )
    if any(row.kind == "modelled" and row.platform == "GPU" for row in rows):
        found.append("GPUs that were not at hand are modelled: docs/roofline.md checks the models.")
    return found


@contextmanager
def _told() -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is measured: in place on a terminal, in lines elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda words: console.print(f"measuring {words}", highlight=False, markup=False)
        return
    with console.status("measuring") as status:
        yield lambda words: status.update(f"measuring {words}")


def _unmeasured(name: str, how: Measuring) -> Absent:
    why = "nothing is recorded of it" if how.mode == "recorded" else "nothing could be measured"
    return Absent(model=name, platform="CPU", reason=f"{why}; gateformer baseline cpu measures")


def numbers(found: Comparison) -> dict[str, Any]:
    """Return all figures as JSON values."""
    return {
        "models": [one.model_dump(mode="json") for one in found.subjects],
        "rows": [
            one.model_dump(mode="json") | {"edp": one.edp}
            for subject in found.subjects
            for one in found.of(subject.name)
        ],
        "absent": [one.model_dump(mode="json") for one in found.absent],
        "notes": list(found.notes),
    }


def command(wanted: Sequence[str], options: Options) -> str:
    """Return the command line, without what is a default."""
    words = ["gateformer", "compare", *wanted]
    for one in options.overrides:
        words += ["-o", one]
    how, usual = options.measuring, Measuring()
    for one in how.runtimes:
        words += ["--runtime", one]
    for name in ("context", "batch", "threads", "seconds"):
        if (value := getattr(how, name)) != getattr(usual, name):
            words += [f"--{name}", f"{value:g}"]
    if how.huge_pages is not None:
        words.append("--huge-pages" if how.huge_pages else "--no-huge-pages")
    words += {"missing": [], "anew": ["--measure"], "recorded": ["--recorded"]}[how.mode]
    words += ["--estimate"] if options.estimate else []
    if options.tag != Options().tag:
        words += ["--tag", options.tag]
    return shlex.join(words)


def settings(options: Options) -> Block:
    """Return what was asked for, as a table."""
    values = {one.name: getattr(options.measuring, one.name) for one in fields(options.measuring)}
    values["runtimes"] = options.measuring.runtimes or "all"
    values |= {"estimate": "yes" if options.estimate else "no"}
    values |= {"overrides": options.overrides, "tag": options.tag}
    rows = tuple((name, _words(value)) for name, value in values.items())
    return Block("Settings", ("setting", "value"), rows)


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "the default" if value is None else str(value)
