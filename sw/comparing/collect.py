"""``gateformer compare``: gathers every model's rows, and answers with tables, JSON and pages.

Owns ``compare``. Imports one module a platform, the tables and the page.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gateformer.comparing import fpga, modelled, page, pim, tables
from gateformer.comparing.rows import Absent, Comparison, Row, Subject
from gateformer.comparing.subjects import find
from gateformer.config.schema import Config
from gateformer.flow.publish import publish, refuse_strangers
from gateformer.pim.screen import Answer, Block
from gateformer.pim.waiting import waiting
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, Problems

PAGE, TEXT, NUMBERS = "compare.html", "compare.md", "compare.json"
CONTEXT = 128
"""Tokens in the KV cache where nothing is said."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Attributes
    ----------
    context, batch : int
        Tokens in the cache of decoders; inferences or sequences at once.
    overrides : tuple of str
        ``key=value`` for designs.
    tag : str
        Name of the designs' runs.
    """

    context: int = CONTEXT
    batch: int = 1
    overrides: tuple[str, ...] = ()
    tag: str = "default"


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
        What is wrong with a model, before anything runs; E703 where the folder holds other files;
        what a design's run found wrong.
    """
    if out is not None:
        refuse_strangers(out.absolute())
    models = find(wanted, options.overrides)
    check(models, options)
    found = gather(models, options)
    data = numbers(found)
    notes = list(found.notes)
    if out is not None:
        again = command(wanted, options) + " --out page"
        files = {
            PAGE: page.render(found, again, settings(options)),
            TEXT: page.markdown(found, again),
            NUMBERS: json.dumps(data, indent=1) + "\n",
        }
        publish(files, out)
        data["page"] = str(out / PAGE)
        notes.append(f"Page: {out / PAGE}")
    return Answer(data, tuple(tables.all_blocks(found)), tuple(notes))


def check(models: Sequence[Decoder | Config], options: Options) -> None:
    """Raise where a decoder's cache cannot hold the context and the tokens after it."""
    Problems.raise_if_any(
        [
            ConfigError(
                "E022",
                "setting out of range",
                layer="--context",
                cause=f"{one.name} takes {one.context} tokens; {options.context} and the next "
                f"{pim.TOKENS // 2} are too many",
                fix=f"Choose at most {one.context - pim.TOKENS // 2}",
            )
            for one in models
            if isinstance(one, Decoder) and options.context > one.context - pim.TOKENS // 2
        ]
    )


def gather(models: Sequence[Decoder | Config], options: Options) -> Comparison:
    """Return all rows."""
    subjects: list[Subject] = []
    rows: list[Row] = []
    absent: list[Absent] = []
    for model in models:
        given = decoder(model, options) if isinstance(model, Decoder) else network(model, options)
        subject, more, lacking = given
        subjects.append(subject)
        rows += more
        absent += lacking
    return Comparison(tuple(subjects), tuple(rows), tuple(absent))


Gathered = tuple[Subject, list[Row], list[Absent]]


def decoder(model: Decoder, options: Options) -> Gathered:
    """Return a decoder's rows."""
    with waiting(f"{model.name}: simulating the memory"):
        memory = pim.row(model, options.context, options.batch)
    rows = modelled.rows(model, options.context, options.batch)
    lacking = [fpga.decoder(model)]
    if isinstance(memory, Row):
        rows.append(memory)
    else:
        lacking.append(memory)
    subject = Subject(
        name=model.name,
        kind="decode",
        words=(
            f"{model.parameters / 1e6:,.0f} M parameters, {model.layers} layers of "
            f"{model.d_model}; one token after {options.context:,} others"
        ),
        context=options.context,
        batch=options.batch,
    )
    return subject, rows, lacking


def network(config: Config, options: Options) -> Gathered:
    """Return a design's rows."""
    from rich.console import Console

    from gateformer.flow.progress import watching

    folder = Path("runs") / str(config.name) / options.tag
    with watching(Console(stderr=True)) as watcher:
        metrics = fpga.run_design(config, folder, watcher).metrics
    parameters = int(str(metrics["import.parameters"]))
    subject = Subject(
        name=str(config.name),
        kind="network",
        words=f"{parameters:,} parameters, {metrics['import.layers']} layers",
        accuracy=fpga.accuracy(metrics),
    )
    return subject, [fpga.row(config, metrics)], [pim.network(subject.name, parameters)]


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
    for name in ("context", "batch", "tag"):
        value = getattr(options, name)
        if value != getattr(Options(), name):
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def settings(options: Options) -> Block:
    """Return what was asked for, as a table."""
    rows = tuple(
        (one.name, words)
        for one in fields(options)
        if (words := _words(getattr(options, one.name)))
    )
    return Block("Settings", ("setting", "value"), rows)


def _words(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
