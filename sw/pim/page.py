"""The page of a simulation: one file, no script, nothing loaded from anywhere.

Owns ``Drawing``, ``Words``, ``Section`` and ``render``. Imports the report's style.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import ClassVar

from markupsafe import Markup

from gateformer.pim.screen import Block, written
from gateformer.report.tables import Figure, versions


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing with a line below it and perhaps one above.

    Attributes
    ----------
    drawing : Markup
        The drawing.
    caption, title : str
        The lines.
    """

    kind: ClassVar[str] = "drawing"
    drawing: Markup
    caption: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph.

    Attributes
    ----------
    words : str
        Its text.
    """

    kind: ClassVar[str] = "words"
    words: str


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page.

    Attributes
    ----------
    anchor, title : str
        Its place and its heading.
    source : str
        ``simulated``, ``computed`` or ``modelled``; empty where its numbers differ in that.
    lead : str
        What it shows, in a sentence or two.
    parts : tuple
        Drawings, paragraphs and tables.
    """

    anchor: str
    title: str
    source: str
    lead: str
    parts: tuple[Drawing | Words | Block, ...]


KINDS = (
    ("simulated", "clocks and commands, each where the device's timing rules let it be"),
    ("computed", "arithmetic on the model's and the device's sizes"),
    (
        "modelled",
        "from currents, bandwidths and fitted constants whose sources are named; measured nowhere",
    ),
)
"""What the words behind a simulation's numbers mean."""


def render(
    name: str,
    lead: str,
    figures: Sequence[Figure],
    sections: Sequence[Section],
    command: str,
    settings: Block,
    remarks: Sequence[str] = (),
    *,
    title: str = "gateformer pim",
    promise: str = "The same command on the same version gives the same clocks.",
    kinds: Sequence[tuple[str, str]] = KINDS,
) -> str:
    """Return the page's text.

    Parameters
    ----------
    name, lead : str
        Heading, and the line below it.
    figures : sequence of Figure
        Key numbers.
    sections : sequence of Section
        At least one.
    command : str
        What makes the page again.
    settings : Block
        All settings, those not given too.
    remarks : sequence of str
        What a reader must know besides.
    title : str
        What stands beside the name in the browser's tab.
    promise : str
        What the command gives when it is run again.
    kinds : sequence of (str, str)
        The words behind numbers, and what each means.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    own = files("gateformer.pim") / "templates"
    style = (files("gateformer.report") / "templates" / "report.css").read_text("utf-8")
    environment = Environment(
        loader=DictLoader({"page": (own / "pim.html.j2").read_text("utf-8")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["written"] = written
    return environment.get_template("page").render(
        name=name,
        lead=lead,
        figures=figures,
        sections=sections,
        command=command,
        settings=settings,
        remarks=remarks,
        title=title,
        promise=promise,
        kinds=kinds,
        kind_names=[word for word, _ in kinds],
        versions=[pair for pair in versions() if pair[0] in ("Python", "gateformer", "numpy")],
        css=Markup(style + (own / "pim.css").read_text("utf-8")),
    )
