"""The report's page: one file, no script, nothing loaded from anywhere.

Owns ``write``. Imports the run's reader, plots, drawing and tables.
"""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gateformer.flow.files import write_whole
from gateformer.report import plots, tables
from gateformer.report.confusion import confusion
from gateformer.report.drawing import network
from gateformer.report.energy import NAMES, energy
from gateformer.report.read import CONFIG, Run, read

PAGE = "report.html"
MOST_CURVED = 4
"""Classes of which each pair has a ROC curve; of more, a table says which is taken for which."""


def write(run_dir: Path) -> Path:
    """Write a run's report into its folder.

    Parameters
    ----------
    run_dir : Path
        The run; steps that did not run are named with their reasons.

    Returns
    -------
    Path
        ``report.html``.

    Raises
    ------
    RunError
        E703 where the folder is no run, E705 where its metrics are damaged.
    """
    page = run_dir / PAGE
    write_whole(page, render(read(run_dir)))
    return page


def render(run: Run) -> str:
    """Return the page's text."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    folder = files("gateformer.report") / "templates"
    texts = {
        name: (folder / name).read_text(encoding="utf-8")
        for name in ("report.html.j2", "report.css")
    }
    environment = Environment(
        loader=DictLoader(texts),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = count
    environment.globals["energy_names"] = NAMES
    return environment.get_template("report.html.j2").render(
        facts(run), css=Markup(texts["report.css"])
    )


def count(value: float | None, digits: int = 0) -> str:
    """Return a number with its thousands apart, or a dash."""
    return "–" if value is None else f"{value:,.{int(digits)}f}"


def facts(run: Run) -> dict[str, Any]:
    """Return all that the page shows; None stands for what is not there."""
    mood, headline, sentence = tables.verdict(run)
    costs, layers = tables.cost_rows(run), tables.layer_lines(run)
    return {
        "run": run,
        "name": str(run.design.get("name") or run.folder.resolve().name),
        "mood": mood,
        "headline": headline,
        "sentence": sentence,
        "figures": tables.figures(run),
        "clocks": tables.clock_rows(run),
        "stalled": tables.stalled(run),
        "network": network(run.design, run.layers, run.types) if run.design else None,
        "timeline": _timeline(run),
        "layers": layers,
        "parts": [part for part in tables.RESOURCES if part != "bram" or _any_bram(layers)],
        "has_made": bool(run.modules),
        "errors": plots.errors(run.errors),
        "accuracy": _accuracy(run),
        "costs": plots.costs(costs) if costs else None,
        "modules": tables.slowest(run.modules),
        "energy": energy(run),
        "commands": commands(run),
        "versions": tables.versions(),
    }


def _any_bram(layers: list[tables.LayerLine]) -> bool:
    return any(line.predicted.get("bram") or line.made.get("bram") for line in layers)


def _timeline(run: Run) -> Markup | None:
    latency = run.metrics.get("schedule.latency_cycles")
    interval = run.metrics.get("schedule.interval_cycles")
    if not run.design or latency is None or interval is None:
        return None
    return plots.timeline(run.design, int(latency), int(interval))


def _accuracy(run: Run) -> dict[str, Markup | None] | None:
    real, integer = run.outputs.get("float"), run.outputs.get("integer")
    if real is None or integer is None or real.shape != integer.shape or not real.size:
        return None
    labels = run.outputs.get("labels")
    names = [str(name) for name in run.outputs.get("classes", ())]
    many = real.shape[1] > MOST_CURVED
    found = [] if labels is None or many else plots.curves(real, integer, labels, names)
    return {
        "scatter": plots.scatter(real, integer),
        "roc": plots.roc_plot(found) if found else None,
        "confusion": confusion(integer, labels, names) if many and labels is not None else None,
    }


def commands(run: Run) -> list[str]:
    """Return what makes this run again from its resolved configuration."""
    return [
        f"cd {shlex.quote(run.folder.name)}",
        f"gateformer run {CONFIG} --out ../again",
        f"gateformer generate rtl {CONFIG} --out ../rtl",
        "gateformer report .",
    ]
