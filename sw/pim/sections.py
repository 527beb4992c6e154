"""The sections of a simulation's page: what is drawn, and what each drawing says.

Owns ``sections``. Imports the tables, the drawings and the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateformer.baselines.machines import MACHINES
from gateformer.hw.pim.device import Device
from gateformer.pim import figures, plots
from gateformer.pim.comparing import CLAIMS, Versus
from gateformer.pim.page import Drawing, Section, Words
from gateformer.pim.plots import Bar
from gateformer.pim.screen import Block, amount, digits, percent
from gateformer.quant.words import counted
from gateformer.sim.pim.results import Generation
from gateformer.sim.pim.tornado import Sensitivity

MOST = 12
"""Bars of a drawing."""


def sections(
    found: Generation, rows: Sequence[Versus], moved: Sequence[Sensitivity] | None
) -> list[Section]:
    """Return the page's sections.

    Parameters
    ----------
    found : Generation
        The simulation.
    rows : sequence of Versus
        Modelled machines beside it.
    moved : sequence of Sensitivity or None
        How far results move with each assumed constant, where that was asked for.
    """
    made = [latency(found), breakdown(found), hits(found), banks(found), waits(found)]
    made.append(bandwidth(found))
    if found.device.powers:
        made.append(energy(found))
    made.append(host(found.device))
    if rows:
        made.append(beside(found, rows))
    if moved is not None:
        made.append(sensitivity(moved))
    return made


def latency(found: Generation) -> Section:
    """Return time over the tokens."""
    xs, layers = figures.over_tokens(found)
    kept = [(name, ys) for name, ys in layers if ys.any()]
    parts: list[Drawing | Words | Block] = []
    if found.settings.overlap or not kept:
        ys = np.asarray(found.token_clocks * found.device.clock_ns * 1e-6, np.float64)
        places = np.arange(len(ys), dtype=np.float64) + found.settings.past
        places += found.settings.prompt
        drawn = plots.curves([("a token", places, ys)], "token", "ms", "Latency of each token")
        parts.append(
            Drawing(drawn, f"Time of {figures.step(found)}; ASIC and memory work together.")
        )
    else:
        drawn = plots.stacked(xs, kept, "token", "ms", "Latency of each token, by kind of work")
        caption = (
            f"Time of {figures.step(found)}, prompt included; refresh and link are within each "
            "kind."
        )
        parts.append(Drawing(drawn, caption))
    past = found.settings.past
    before = f", behind {counted(past, 'token')} in the cache" if past else ""
    lead = (
        f"{found.clocks:,} clocks of {found.device.clock_ns:g} ns: {digits(found.seconds)} s for "
        f"{counted(found.settings.prompt, 'token')} of prompt "
        f"and {found.settings.tokens:,} generated{before}. "
        "Attention grows with the sequence; the matrices do not."
    )
    return Section("latency", "Latency", "simulated", lead, tuple(parts))


def breakdown(found: Generation) -> Section:
    """Return where the clocks go."""
    whole = sum(found.breakdown.values())
    pairs = sorted(found.breakdown.items(), key=lambda pair: -pair[1])
    colours = {one.name: "s0" if one.on == "memory" else "s1" for one in found.parts}
    colours |= {"link": "s2", "refresh": "s3"}
    drawn = plots.bars(
        [
            Bar(name, clocks, f"{percent(clocks / whole, 2)} · {clocks:,}", colours.get(name, "s0"))
            for name, clocks in pairs
            if clocks
        ][: 2 * MOST],
        "Clocks by operation",
    )
    caption = "Blue: memory. Orange: ASIC. Green: link. Magenta: refresh."
    lead = (
        f"The memory works {percent(found.memory_clocks / found.clocks)} of the time, the ASIC "
        f"{percent(found.asic_clocks / found.clocks)}. Refresh and link are taken out of the "
        "operations in which they fall."
    )
    if found.settings.overlap:
        lead += f" {found.overlapped_clocks:,} clocks are hidden by overlap."
    table = figures.breakdown(found)
    folded = Block("", table.heads, table.rows, "Each operation, with its refresh and link")
    return Section("breakdown", "Breakdown", "simulated", lead, (Drawing(drawn, caption), folded))


def hits(found: Generation) -> Section:
    """Return row hits beside their bound."""
    opened = sum(found.counts.get(name, 0) for name in ("ACT", "ACT4", "ACT16"))
    bars = [
        Bar("row hits here", found.row_hit_rate, percent(found.row_hit_rate, 3)),
        Bar("(columns - 1) / columns", found.row_hit_bound, percent(found.row_hit_bound, 3), "s4"),
    ]
    table = figures.commands(found)
    lead = (
        f"{found.accesses:,} accesses, {opened:,} activates: "
        f"{digits(found.accesses / max(opened, 1))} accesses a burst. A row of "
        f"{found.device.organization.columns} columns that is read once through misses once; "
        "rows that are used again can do better."
    )
    folded = Block("", table.heads, table.rows, "Every command")
    return Section(
        "rows", "Row hits", "simulated", lead, (Drawing(plots.bars(bars, "Row hits")), folded)
    )


def banks(found: Generation) -> Section:
    """Return how busy each bank's MACs are."""
    pace = found.bound.pace
    share = found.bank_macs * pace / max(found.clocks, 1)
    uneven = found.imbalance
    lead = (
        f"Share of all clocks in which a bank's MACs work. The busiest bank does "
        f"{percent(uneven['banks'], 2)} more than the mean one, the busiest channel issues "
        f"{percent(uneven['channels'], 2)} more commands."
    )
    drawn = plots.banks(np.asarray(share, float), "Utilization of each bank's MACs")
    edges = figures.streaming(found)
    words = (
        f"Useful products are {percent(found.mac_utilization)} of what all banks could do in the "
        f"time. Where rows stream, the timing allows {percent(found.bound.utilization)}: "
        f"{' and '.join(one.text for one in found.bound.ties)} "
        f"{'bind' if len(found.bound.ties) > 1 else 'binds'}."
    )
    return Section("banks", "Banks", "simulated", lead, (Drawing(drawn), Words(words), edges))


def waits(found: Generation) -> Section:
    """Return what commands waited for."""
    tables = figures.waits(found)
    drawings = []
    for table, cls in zip(tables, ("s0", "s1"), strict=True):
        bars = [
            Bar(str(row[0]), float(row[1] or 0), f"{row[2]} · {row[1]:,}", cls)
            for row in table.rows[:MOST]
        ]
        drawings.append(Drawing(plots.bars(bars, table.title), title=table.title))
    lead = (
        "Clocks in which a channel could issue nothing, by the constraint that held it last and by "
        "the instruction that waited; shares are of the memory's clocks in all channels."
    )
    return Section("waits", "Waits", "simulated", lead, tuple(drawings))


def bandwidth(found: Generation) -> Section:
    """Return bandwidths and capacity."""
    lead = (
        f"{amount(found.link_bytes_per_token, 'B')} go over the link for {figures.each(found)}; "
        f"moving weights and cache instead would take {digits(found.traffic_cut, 4)} times as much."
    )
    return Section(
        "bandwidth",
        "Bandwidth and capacity",
        "computed",
        lead,
        (figures.bandwidth(found), figures.capacity(found)),
    )


def energy(found: Generation) -> Section:
    """Return joules by item."""
    default = found.device.powers[0].name
    items = found.energy(default)
    total = sum(items.values())
    bars = [
        Bar(name, joules, f"{percent(joules / total)} · {amount(joules / found.tokens, 'J')}", "s2")
        for name, joules in sorted(items.items(), key=lambda pair: -pair[1])
        if joules
    ]
    lead = (
        f"From currents of data sheets, item by item, which add up to the total; drawn with the "
        f"set '{default}'."
    )
    words = [Words(f"{one.name}: {one.source}") for one in found.device.powers]
    drawing = Drawing(plots.bars(bars, "Energy by item"), f"Joules by item, {figures.each(found)}.")
    return Section("energy", "Energy", "modelled", lead, (drawing, figures.energy(found), *words))


def beside(found: Generation, rows: Sequence[Versus]) -> Section:
    """Return modelled machines beside the simulation."""
    bars = [
        Bar(one.name, one.faster, f"{digits(one.faster, 3)}x", "s0" if one.faster >= 1 else "s1")
        for one in rows
    ]
    for name, claim in CLAIMS.items():
        title = next((one.title for one in rows if one.machine == name), None)
        if title is not None:
            low, high = claim.speed
            bars.append(Bar(f"{title}, published", low, f"{low:g} to {high:g}x", "s4", high))
    drawn = plots.bars(bars, "Times as fast as", logarithmic=True, name="times as fast")
    lead = (
        "No other machine was run: its times come from bandwidths (roofline), from a fit to "
        f"published decode times (fused) and, eager, {_eager()}; its joules from power limits. "
        "Blue: the memory is the faster one; orange: the slower one. Purple: the paper's range "
        "over its eight models."
    )
    table = figures.comparison(found, rows)
    return Section("beside", "Other machines", "modelled", lead, (Drawing(drawn), table))


def _eager() -> str:
    """Return where the eager models' times come from, machine by machine."""
    own = [MACHINES[name].title for name in CLAIMS if "eager" in MACHINES[name].tiers]
    rest = [
        one.title for name, one in MACHINES.items() if "eager" in one.tiers and name not in CLAIMS
    ]
    return (
        f"from a fit to the PIM-GPT paper's own ratios ({', '.join(own)}) or from a published "
        f"time of one model ({', '.join(rest)})"
    )


def sensitivity(moved: Sequence[Sensitivity]) -> Section:
    """Return how far time and energy move with each constant."""
    parts = []
    for words, pick in (("time", 0), ("energy", 1)):
        changes = [(one, (one.time, one.energy)[pick]) for one in moved]
        shown = sorted(
            ((figures.constant(one), *pair) for one, pair in changes if any(pair)),
            key=lambda row: -max(abs(row[1]), abs(row[2])),
        )
        title = f"Change of the {words} a token, %"
        if shown:
            parts.append(Drawing(plots.tornado(shown[:MOST], title, title), title=title))
    lead = (
        "Each assumed constant lowered (orange) and raised (blue) by a fifth, one by one. Clocks "
        "move by at least one: 1 becomes 0 and 2."
    )
    table = figures.sensitivity(moved)
    folded = Block("", table.heads, table.rows, "Every constant")
    return Section("sensitivity", "Sensitivity", "simulated", lead, (*parts, folded))


def host(device: Device) -> Section:
    """Return what a host's own traffic costs while a matrix streams."""
    table = figures.host(device)
    switching = ", switches the mode" if device.organization.modes else ""
    lead = (
        "A host reads at a steady rate while rows stream past the MACs, command by command. A "
        f"channel turns to it between two rows: it closes the row{switching} and opens another one."
    )
    return Section("host", "Host traffic", "simulated", lead, (table,))
