"""The tables of a comparison: at a glance, times, energy, ratios, area, sources.

Owns one function a table. Imports the rows and how tables are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateformer.comparing.rows import (
    DESIGNS,
    PLATFORMS,
    Comparison,
    Ratio,
    Row,
    Subject,
    energy_ends,
    times_as_fast,
    times_less_energy,
)
from gateformer.energy.figure import Energy
from gateformer.pim.screen import Block, Cell, amount, digits, percent


@dataclass(frozen=True, slots=True)
class Units:
    """Units of one kind of work: names, and how many go into one of SI."""

    each: str
    time: tuple[str, float]
    energy: tuple[str, float]
    edp: tuple[str, float]


UNITS = {
    "network": Units("inference", ("µs", 1e6), ("µJ", 1e6), ("pJ s", 1e12)),
    "decode": Units("token", ("ms", 1e3), ("mJ", 1e3), ("µJ s", 1e6)),
}


def all_blocks(found: Comparison) -> list[Block]:
    """Return every table that has rows, in the order of reading."""
    blocks = [glance(found)] if len(found.subjects) > 1 else []
    for kind in UNITS:
        blocks += [times(found, kind), energies(found, kind), ratios(found, kind)]
    blocks += [areas(found), absent(found)]
    return [block for block in blocks if block.rows]


def narrow_blocks(found: Comparison) -> list[Block]:
    """Return the same for a terminal: each model's tables apart, without its column."""
    blocks = [glance(found)] if len(found.subjects) > 1 else []
    for one in found.subjects:
        own = only(found, one)
        for block in (times(own, one.kind), energies(own, one.kind), ratios(own, one.kind)):
            blocks.append(unnamed(block, f"{one.name}: {block.title}"))
    blocks += [areas(found), absent(found)]
    return [block for block in blocks if block.rows]


def only(found: Comparison, subject: Subject) -> Comparison:
    """Return one model's rows, and what it lacks."""
    lacking = tuple(one for one in found.absent if one.model == subject.name)
    return Comparison((subject,), tuple(found.of(subject.name)), lacking)


def unnamed(block: Block, title: str = "", folded: str = "") -> Block:
    """Return a table of one model, whose name stands above it already."""
    return Block(title, block.heads[1:], tuple(row[1:] for row in block.rows), folded)


def rows_of(found: Comparison, kind: str) -> list[Row]:
    """Return the rows of networks, or of decoders."""
    return [row for one in found.subjects if one.kind == kind for row in found.of(one.name)]


def glance(found: Comparison) -> Block:
    """Return the fastest row of each platform, a row a model."""
    rows: list[tuple[Cell, ...]] = []
    for one in found.subjects:
        cells: list[Cell] = [one.name]
        for platform in PLATFORMS:
            best = found.best(one.name, platform)
            cells.append(None if best is None else cell(best))
        rows.append(tuple(cells))
    title = "The fastest of each platform, median; what ran goes before what was modelled"
    return Block(title, ("model", *PLATFORMS), tuple(rows))


def cell(row: Row) -> str:
    """Return a row's time in few words."""
    return f"{quantity(row.median, 's', row.kind)} {row.precision}, {row.kind}"


def quantity(value: float, unit: str, kind: str) -> str:
    """Return a quantity with a prefix, two digits of a modelled one."""
    return amount(rounded(value) if kind == "modelled" else value, unit)


def rounded(value: float, most: int = 2) -> float:
    """Return a number to so many significant digits, those before the point too."""
    return float(f"{value:.{most - 1}e}")


def figure(value: float, kind: str) -> str | float:
    """Return a number's cell: two digits of a modelled one, whose third says nothing."""
    return digits(rounded(value), 2) if kind == "modelled" else value


def system(row: Row) -> str:
    """Return machine and runtime of a row."""
    return row.name.removesuffix(f", {row.precision}")


def times(found: Comparison, kind: str) -> Block:
    """Return latency and throughput; error bars where formulas have them.

    The 99th percentile of few samples is a dash.
    """
    units = UNITS[kind]
    unit, scale = units.time
    shown = rows_of(found, kind)
    rows: list[tuple[Cell, ...]] = []
    for row in shown:
        p99 = None if row.p99 is None else row.p99 * scale
        bar = None
        if row.low is not None or row.high is not None:
            bar = _bar(row.low or row.median, row.high or row.median, scale)
        rows.append((row.model, row.platform, system(row), row.precision, row.threads,
                     figure(row.median * scale, row.kind), p99, row.samples, bar,
                     figure(row.per_second, row.kind), row.transfer, row.kind))  # fmt: skip
    heads = ("model", "on", "system", "precision", "threads", f"p50, {unit}", f"p99, {unit}", "n",
             "error bar", f"{units.each}s/s", "from and to", "kind")  # fmt: skip
    title = f"Time of one {units.each}"
    if any(row[8] is not None for row in rows):
        return Block(title, heads, tuple(rows))
    return Block(title, heads[:8] + heads[9:], tuple(row[:8] + row[9:] for row in rows))


def _bar(low: float, high: float, scale: float) -> str:
    return " to ".join(digits(rounded(end * scale), 2) for end in (low, high))


def energies(found: Comparison, kind: str) -> Block:
    """Return energy and energy times delay of the rows that have any.

    An upper bound is marked, and has no product.
    """
    units = UNITS[kind]
    (unit, scale), (product, power) = units.energy, units.edp
    rows: list[tuple[Cell, ...]] = []
    for row in rows_of(found, kind):
        if row.energy is None:
            continue
        kind = row.energy.kind
        product_cell = None if row.edp is None else figure(row.edp * power, kind)
        rows.append((row.model, row.platform, system(row), row.precision,
                     _joules(row.energy, scale, row.energy_bound), _energy_bar(row.energy, scale),
                     None if row.energy_alone is None else _joules(row.energy_alone, scale, False),
                     _energy_bar(row.energy_alone, scale), product_cell, row.energy.boundary,
                     kind))  # fmt: skip
    heads = ("model", "on", "system", "precision", f"{unit}", "error bar", f"alone, {unit}",
             "its error bar", f"EDP, {product}", "boundary", "kind")  # fmt: skip
    title = f"Energy of one {units.each}"
    if any(row[6] is not None for row in rows):
        return Block(title, heads, tuple(rows))
    return Block(title, heads[:6] + heads[8:], tuple(row[:6] + row[8:] for row in rows))


def _joules(energy: Energy, scale: float, bound: bool) -> Cell:
    value = figure(energy.value * scale, energy.kind)
    return f"<= {value if isinstance(value, str) else digits(value)}" if bound else value


def _energy_bar(energy: Energy | None, scale: float) -> str | None:
    if energy is None or (energy.low is None and energy.high is None):
        return None
    return _bar(*energy_ends(energy), scale)


def design_row(found: Comparison, model: str) -> Row | None:
    """Return the row that a model's others are held against: what gateformer designs."""
    return next((row for row in found.of(model) if row.platform in DESIGNS), None)


def ratios(found: Comparison, kind: str) -> Block:
    """Return how many times the design is as fast and as sparing as each other row."""
    rows: list[tuple[Cell, ...]] = []
    for one in found.subjects:
        ours = design_row(found, one.name) if one.kind == kind else None
        if ours is None:
            continue
        rows += [
            (one.name, row.platform, system(row), row.precision,
             times_words(times_as_fast(ours, row)), f"{ours.kind}, {row.kind}",
             times_words(times_less_energy(ours, row)), _kinds(ours, row))
            for row in found.of(one.name)
            if row is not ours
        ]  # fmt: skip
    ours_is = "FPGA" if kind == "network" else "PIM"
    heads = ("model", "over", "system", "precision", "times as fast", "kinds of time",
             "times less energy, alone", "kinds of joules")  # fmt: skip
    title = (
        f"{ours_is} over the others, where precision, batch, transfer and the energy's boundary "
        "are the same"
    )
    return Block(title, heads, tuple(rows))


def times_words(ratio: Ratio | str) -> str:
    """Return a ratio with the digits that it bears, and its span where its figures have one."""
    if isinstance(ratio, str):
        return ratio
    most = 3 if ratio.exact and ratio.low == ratio.high else 2
    value, low, high = (
        digits(rounded(one, most), most) for one in (ratio.value, ratio.low, ratio.high)
    )
    if low == high:
        return f"{value}x" if ratio.exact else f"about {value}x"
    return f"{value}x ({low} to {high}x)"


def _kinds(ours: Row, row: Row) -> str | None:
    if ours.energy is None or row.energy is None:
        return None
    return f"{ours.energy.kind}, {row.energy.kind}"


def areas(found: Comparison) -> Block:
    """Return what the hardware takes."""
    rows: list[tuple[Cell, ...]] = []
    for one in found.subjects:
        rows += [
            (one.name, row.platform, row.machine,
             ", ".join(f"{digits(value, 6)} {name}" for name, value in row.area.items()),
             row.area_note)
            for row in found.of(one.name)
            if row.area
        ]  # fmt: skip
    return Block("Area", ("model", "on", "machine", "takes", "how counted"), tuple(rows))


def absent(found: Comparison) -> Block:
    """Return what has no row or no joules, and why."""
    rows: list[tuple[Cell, ...]] = [
        (one.model, one.platform, "row", one.reason) for one in found.absent
    ]
    counts: dict[tuple[str, str, str], int] = {}
    for subject in found.subjects:
        for row in found.of(subject.name):
            if row.energy is None:
                place = (row.model, row.platform, row.energy_note or "not had")
                counts[place] = counts.get(place, 0) + 1
    rows += [
        (*place[:2], f"joules, {n} row{'s'[: n > 1]}", place[2]) for place, n in counts.items()
    ]
    return Block("Not in the tables", ("model", "on", "what", "why"), tuple(rows))


def bandwidths(rows: Sequence[Row]) -> Block:
    """Return the bandwidth that each row reaches."""
    shown = tuple(
        (row.model, row.platform, system(row), row.precision, row.gbs,
         None if row.share is None else percent(row.share),
         {"measured": "measured", "simulated": "in the banks"}.get(row.kind, "data sheet"))
        for row in rows if row.gbs is not None
    )  # fmt: skip
    heads = ("model", "on", "system", "precision", "GB/s", "share", "of a bandwidth that is")
    return Block("Bandwidth", heads, shown)


def sources(rows: Sequence[Row]) -> Block:
    """Return how each row's times were had."""
    shown = tuple(
        (row.model, row.platform, system(row), row.precision, row.version or None,
         row.transfer_note or row.transfer, row.exactness or None, row.recorded or "now",
         row.source)
        for row in rows
    )  # fmt: skip
    heads = ("model", "on", "system", "precision", "version", "transfer", "outputs", "recorded",
             "times")  # fmt: skip
    return Block("How times were had", heads, shown)


def energy_sources(rows: Sequence[Row]) -> Block:
    """Return how each row's joules were had."""
    shown = tuple(
        (row.model, row.platform, system(row), row.precision, row.energy.source, row.energy_note)
        for row in rows if row.energy is not None
    )  # fmt: skip
    heads = ("model", "on", "system", "precision", "joules", "besides")
    return Block("How joules were had", heads, shown)


def parts(rows: Sequence[Row]) -> Block:
    """Return what takes each row's joules, where that is known."""
    shown: list[tuple[Cell, ...]] = []
    for row in rows:
        if row.energy is not None:
            shown += [
                (row.model, row.platform, system(row), name, amount(joules, "J"),
                 percent(joules / row.energy.value))
                for name, joules in sorted(row.energy_parts.items(), key=lambda pair: -pair[1])
            ]  # fmt: skip
    heads = ("model", "on", "system", "part", "energy", "share")
    return Block("Where the joules go", heads, tuple(shown))
