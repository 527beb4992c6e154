"""The comparison's page and its Markdown: what is drawn, what is listed, what words mean.

Owns ``render`` and ``markdown``. Imports the tables, the drawings and the page of a simulation.
"""

from __future__ import annotations

from gateformer.comparing import plots, tables
from gateformer.comparing.rows import PLATFORMS, Comparison, Platform, Row, Subject
from gateformer.energy.figure import Kind
from gateformer.pim.page import Drawing, Section, Words
from gateformer.pim.page import render as render_page
from gateformer.pim.replication_page import markdown as as_markdown
from gateformer.pim.screen import Block
from gateformer.report.tables import Figure

KINDS = (
    ("measured", "a clock or a meter ran, on the machine that the row names"),
    ("simulated", "clocks counted in the generated Verilog, or command by command in the memory, "
     "times the clock's period; a row of 'predicted cycles' has the schedule's own, replayed event "
     "by event"),
    ("modelled", "a formula with named constants; nothing ran"),
    ("published", "somebody else's figure, from the source that stands beside it"),
)  # fmt: skip
DIVIDED = (
    "Two rows are divided only where their numbers have the same format, they work on as many "
    "inferences at once, and both times or none have the way between host and device in them; "
    "their joules only where these take in the same parts and are no upper bounds. A ratio's span "
    "is that of its two error bars; a modelled figure without one makes it 'about'."
)
PRODUCT = (
    "EDP: joules of an inference that comes alone, times the median time until its result. An FPGA "
    "leaks and is clocked for all of that time ('alone'); of frames back to back each one pays for "
    "an interval. What says '<=' is a power limit times a time: it has no EDP."
)
TRANSFER = (
    "From and to: 'device' is where the system computes, an FPGA's ports or the memory of a CPU or "
    "GPU or beside a memory's ASIC; 'with host' has the way from the host and back in the time."
)
PROMISE = (
    "Simulated and modelled numbers come out the same again; measured ones as far as the machine "
    "is as quiet."
)
COLOURS = "Blue: measured. Green: simulated. Orange: modelled. Purple: published."


def render(found: Comparison, command: str, settings: Block) -> str:
    """Return the page's text.

    Parameters
    ----------
    found : Comparison
        What is shown.
    command : str
        What makes the page again.
    settings : Block
        What was asked for.
    """
    names = [one.name for one in found.subjects]
    title = ", ".join(names) if len(names) < 4 else f"{len(names)} models"
    sections = [one for subject in found.subjects for one in [_subject(found, subject)]]
    if len(found.subjects) > 1:
        sections.insert(0, _together(found))
    if (area := tables.areas(found)).rows:
        words = "Resources of an FPGA and channels of a memory; processors are whole chips."
        sections.append(Section("area", "Area", "", words, (_untitled(area),)))
    lead = "FPGA, PIM, CPU and GPU side by side; every number says what it is."
    return render_page(
        title,
        lead,
        figures(found),
        sections,
        command,
        settings,
        found.notes,
        title="gateformer compare",
        promise=PROMISE,
        kinds=KINDS,
    )


def markdown(found: Comparison, command: str) -> str:
    """Return the same as text, without its drawings."""
    parts = ["# Side by side: " + ", ".join(one.name for one in found.subjects)]
    parts.append(f"```\n{command}\n```")
    parts += [
        f"- **{one.name}**: {one.words}." + (f" {one.accuracy}." if one.accuracy else "")
        for one in found.subjects
    ]
    rows = _rows(found)
    more = _behind(rows, {one.name for one in found.subjects if one.kind == "decode"})
    for block in (*tables.all_blocks(found), *more):
        if block.rows:
            parts.append(f"## {block.title}\n\n{as_markdown(block)}")
    parts.append("\n\n".join(("## Words", TRANSFER, PRODUCT, DIVIDED)))
    if found.notes:
        parts.append("## Remarks\n\n" + "\n\n".join(found.notes))
    parts.append("## Kinds\n\n" + "\n".join(f"- **{word}**: {means}" for word, means in KINDS))
    return "\n\n".join(parts) + "\n"


def figures(found: Comparison) -> list[Figure]:
    """Return the fastest row of each platform of the first model."""
    subject = found.subjects[0]
    made = []
    for platform in PLATFORMS:
        best = found.best(subject.name, platform)
        if best is not None:
            note = f"{subject.name}: {best.name}"
            time = tables.quantity(best.median, "s", best.kind)
            made.append(Figure(f"{platform}, p50", time, note, best.kind))
    return made


def _rows(found: Comparison) -> list[Row]:
    return [row for one in found.subjects for row in found.of(one.name)]


def _together(found: Comparison) -> Section:
    """Return every model at a glance, and decoders over their sizes."""
    parts: list[Drawing | Words | Block] = []
    decoders = [one for one in found.subjects if one.kind == "decode"]
    decoders.sort(key=lambda one: one.parameters)
    if len(decoders) > 1:
        drawn = plots.over_models(series(found, decoders), [one.name for one in decoders])
        parts.append(Drawing(drawn, f"Median time of one token, small decoders first. {COLOURS}"))
    parts.append(_untitled(tables.glance(found)))
    lead = (
        "The fastest row of each platform, whatever its precision; what ran goes before what was "
        "modelled. All rows are below."
    )
    return Section("together", "At a glance", "", lead, tuple(parts))


def series(
    found: Comparison, decoders: list[Subject]
) -> list[tuple[str, Kind, list[float | None]]]:
    """Return the times of each system that runs at least two of the decoders.

    Of a runtime that runs at several precisions, the one that is fastest on the first of them.
    """
    made: dict[tuple[Platform, str], dict[str, tuple[Row, dict[str, float]]]] = {}
    for one in decoders:
        for row in found.of(one.name):
            runtime = made.setdefault((row.platform, tables.system(row)), {})
            runtime.setdefault(row.precision, (row, {}))[1][one.name] = row.median
    lines: list[tuple[str, Kind, list[float | None]]] = []
    for (platform, _), precisions in made.items():
        first, seconds = next(iter(precisions.values()))
        if len(seconds) > 1:
            times = [seconds.get(one.name) for one in decoders]
            lines.append((f"{platform} {first.name}", first.kind, times))
    return lines


def _subject(found: Comparison, subject: Subject) -> Section:
    """Return one model's drawings and tables."""
    alone = tables.only(found, subject)
    rows = list(alone.rows)
    parts: list[Drawing | Words | Block] = []
    if rows:
        parts.append(Drawing(plots.time_bars(rows, models=False), COLOURS, "Time"))
        parts += [tables.unnamed(tables.times(alone, subject.kind)), Words(TRANSFER)]
    if (drawn := plots.energy_bars(rows, models=False)) is not None:
        words = "Joules of different boundaries are not the same quantity."
        parts.append(Drawing(drawn, words, "Energy"))
        parts += [tables.unnamed(tables.energies(alone, subject.kind)), Words(PRODUCT)]
    if (scattered := plots.field(rows, models=False)) is not None:
        caption = "Dashed: equal energy times delay, a thousandfold apart."
        parts.append(Drawing(scattered, caption, "Energy over time"))
    if (ratios := tables.ratios(alone, subject.kind)).rows:
        parts += [tables.unnamed(ratios, ratios.title), Words(DIVIDED)]
    if (absent := tables.absent(alone)).rows:
        parts.append(tables.unnamed(absent, absent.title))
    more = _behind(rows, {subject.name} if subject.kind == "decode" else set())
    parts += [tables.unnamed(one, folded=one.title) for one in more if one.rows]
    lead = f"{subject.words}." + (f" {subject.accuracy}." if subject.accuracy else "")
    return Section(_anchor(subject.name), subject.name, "", lead, tuple(parts))


def _behind(rows: list[Row], decoders: set[str]) -> tuple[Block, ...]:
    """Return the tables of what stands behind rows; a network's weights stay in the caches."""
    return (
        tables.parts(rows),
        tables.bandwidths([row for row in rows if row.model in decoders]),
        tables.sources(rows),
        tables.energy_sources(rows),
    )


def _untitled(block: Block) -> Block:
    """Return a table whose heading stands above it already."""
    return Block("", block.heads, block.rows)


def _anchor(name: str) -> str:
    return "model-" + "".join(one if one.isalnum() else "-" for one in name)
