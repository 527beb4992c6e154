"""``pim simulate``: a generation as tables, JSON, a page and a trace.

Owns ``simulate``. Imports the simulation, the tables, the page and the trace's writer.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateformer.flow.publish import publish, refuse_strangers
from gateformer.pim import figures, perfetto
from gateformer.pim.comparing import Versus, versus
from gateformer.pim.options import named, option
from gateformer.pim.page import render
from gateformer.pim.places import refuse_place
from gateformer.pim.screen import Answer, Block
from gateformer.pim.sections import sections
from gateformer.pim.waiting import waiting
from gateformer.quant.words import counted
from gateformer.sim.pim import simulate as generate
from gateformer.sim.pim.results import Generation

if TYPE_CHECKING:
    from gateformer.sim.pim.tornado import Sensitivity

    Moved = tuple[Sensitivity, ...] | None

FEW = 4
"""Tokens of each simulation with a moved constant."""
COMMAND = "pim simulate"
PAGE, NUMBERS = "report.html", "simulation.json"
DEFAULTS: Mapping[str, Any] = {
    "tokens": 1024,
    "prompt": 0,
    "past": 0,
    "device": "pim-gpt",
    "mapping": "pim-gpt",
    "refresh": "all-bank",
    "hot": False,
    "overlap": False,
    "v_batch": 1,
    "batch": 1,
    "channels": None,
    "weights": "bf16",
    "ffn_keep": 1.0,
    "asic_clock_ns": None,
    "method": "closed",
}
"""What the options are where nothing is said."""


def simulate(
    model: str,
    settings: Mapping[str, Any],
    *,
    out: Path | None = None,
    trace: Path | None = None,
    sensitivity: bool = False,
) -> Answer:
    """Simulate, and write what was asked for.

    Parameters
    ----------
    model : str
        A known model, or the path of a ``config.json``, its folder or a GGUF file.
    settings : mapping
        What ``gateformer.sim.pim.simulate`` takes.
    out : Path or None
        Folder of the page and the JSON.
    trace : Path or None
        File of the trace.
    sensitivity : bool
        Whether to move each assumed constant by a fifth.

    Raises
    ------
    RunError
        E703 where the folder holds other files, or another command's; nothing is then simulated.
    """
    if out is not None:
        refuse_strangers(out.absolute(), COMMAND)
    if trace is not None:
        refuse_place(trace, model, Path(model) / "config.json", str(settings["device"]))
    with waiting(f"{model}: {counted(settings['tokens'], 'token')}"):
        found = named(generate, model, **settings)
    rows = versus(found)
    moved = move(model, settings) if sensitivity else None
    data = numbers(found, rows, moved)
    notes = list(found.remarks)
    if out is not None:
        page = render_page(model, found, settings, rows, moved)
        publish({PAGE: page, NUMBERS: json.dumps(data, indent=1) + "\n"}, out, COMMAND)
        data["page"] = str(out / PAGE)
        notes.append(f"Page: {out / PAGE}")
    if trace is not None:
        tally = perfetto.write(trace, found.slices(), found.device.clock_ns, about(model, settings))
        data["trace"] = {"file": str(trace), "slices": tally.slices, "clocks": tally.clocks}
        notes.append(f"Trace: {trace}, {tally.slices:,} slices; open it in ui.perfetto.dev.")
    blocks = [figures.summary(found), figures.breakdown(found), *figures.waits(found, 6)]
    if found.device.powers:
        blocks.append(figures.energy(found))
    blocks.append(figures.comparison(found, rows))
    if moved is not None:
        blocks.append(figures.sensitivity(moved))
    return Answer(data, tuple(blocks), tuple(notes))


def about(model: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what a trace's reader should know."""
    return {"model": model, **{key: str(value) for key, value in settings.items()}}


def numbers(found: Generation, rows: list[Versus], moved: Moved) -> dict[str, Any]:
    """Return all figures as JSON values."""
    data = found.as_dict() | {"baselines": [asdict(one) | {"kind": "modelled"} for one in rows]}
    if moved is not None:
        data["sensitivity"] = [asdict(one) for one in moved]
    return data


def command(model: str, settings: Mapping[str, Any]) -> str:
    """Return the command line of a simulation, without what is a default."""
    words = ["gateformer", "pim", "simulate", model]
    for key, value in settings.items():
        if value == DEFAULTS.get(key):
            continue
        name = option(key)
        words += [name] if value is True else [name, str(value)]
    return shlex.join(words)


def render_page(
    model: str,
    found: Generation,
    settings: Mapping[str, Any],
    rows: list[Versus],
    moved: Moved,
) -> str:
    """Return the page's text."""
    batch = f", {settings['batch']} sequences" if settings["batch"] > 1 else ""
    lead = (
        f"gateformer pim: {counted(found.settings.tokens, 'token')} on {found.device.name}, "
        f"{counted(found.device.organization.channels, 'channel')}, "
        f"mapping {found.settings.mapping}{batch}"
    )
    table = Block(
        "Settings",
        ("setting", "value"),
        tuple((key, _setting(value)) for key, value in settings.items()),
    )
    return render(
        found.decoder.name,
        lead,
        figures.key_figures(found),
        sections(found, rows, moved),
        command(model, settings) + ("" if moved is None else " --sensitivity") + " --out page",
        table,
        found.remarks,
    )


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "the device's" if value is None else str(value)


def move(model: str, settings: Mapping[str, Any]) -> tuple[Sensitivity, ...]:
    """Return how far time and energy move when each assumed constant does, by a fifth."""
    from gateformer.sim.pim.tornado import sensitivity as moved

    length = settings["prompt"] + settings["tokens"]
    tokens = min(FEW, settings["tokens"])
    past = settings["past"] + min(length - tokens, length // 2)
    own = ("tokens", "prompt", "past")
    rest = {key: value for key, value in settings.items() if key not in own}
    with waiting(f"{model}: moving each assumed constant"):
        return named(moved, model, tokens=tokens, past=past, **rest)
