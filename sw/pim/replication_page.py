"""The page beside the PIM-GPT paper, in Markdown: prose from a template, numbers from a study.

Owns ``page``, ``markdown`` and ``marked``. Imports the tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gateformer.baselines.machines import MACHINES, MEANINGS
from gateformer.hw.pim.device import load
from gateformer.pages import filled
from gateformer.pim import replication_tables as tables
from gateformer.pim.replication import LARGEST, WIDE, Study
from gateformer.pim.screen import Block, digits, percent, written


def page(study: Study, blocks: Mapping[str, Block]) -> str:
    """Return the page's text; the same study gives the same bytes."""
    sources: dict[tuple[str, str], list[str]] = {}
    for machine in MACHINES.values():
        for key, source in machine.sources.items():
            sources.setdefault((key, source), []).append(machine.title)
    asic = load("pim-gpt").asic
    return filled(
        "pim",
        "replication",
        adders=asic.adders if asic else 0,
        multipliers=asic.multipliers if asic else 0,
        study=study,
        tables={name: markdown(block) for name, block in blocks.items()},
        large=study.runs["paper"][LARGEST],
        runs=study.across("paper"),
        sources=[(", ".join(names), *pair) for pair, names in sources.items()],
        wide=study.runs["choices"][WIDE],
        largest=LARGEST,
        middle=next(iter(study.runs["choices"].values()))["settings"]["tokens"],
        meanings=MEANINGS,
        percent=percent,
        digits=digits,
        shares=tables.shares,
        span=tables.span,
    )


def markdown(block: Block) -> str:
    """Return a table as Markdown."""
    marks = ("---:" if block.number(index) else "---" for index in range(len(block.heads)))
    lines = [_line(block.heads), _line(marks), *(_line(map(written, row)) for row in block.rows)]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(marked(cell) for cell in cells)} |"


def marked(text: str) -> str:
    """Return a text on one line that Markdown shows as it is: no tag of HTML, no cell's end."""
    plain = " ".join(text.split()).replace("|", "/")
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", plain)
