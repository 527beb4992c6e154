"""The tables of a simulation: key numbers, breakdown, rows, energy, bandwidth, waits.

Owns one function a table. Imports the simulation's result and how tables are written.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.device import Device
from gateformer.pim.comparing import Versus
from gateformer.pim.screen import Block, Cell, amount, digits, percent
from gateformer.quant.errors import GateformerError
from gateformer.report.tables import Figure
from gateformer.sim.pim import bounds
from gateformer.sim.pim.bounds import RowStream
from gateformer.sim.pim.host import host_traffic
from gateformer.sim.pim.results import Generation
from gateformer.sim.pim.tornado import Sensitivity

Array = NDArray[np.float64]

GROUPS = ("matrices", "attention", "LM head", "caches written", "ASIC")
"""What a token's time is divided into, from the bottom of the plot."""
HOST_SHARES = (0.01, 0.03, 0.1)
"""Rates of a host's own traffic, of what the link can take."""


def key_figures(found: Generation) -> list[Figure]:
    """Return the numbers at the top of the page."""
    batch = found.settings.batch
    rate = batch / found.ms_per_token * 1e3
    first, last = (float(found.token_clocks[i]) * found.device.clock_ns * 1e-6 for i in (0, -1))
    span = f"first {digits(first)}, last {digits(last)} ms"
    if batch > 1:
        span = f"{step(found)}; {span}"
    of = each(found)
    taken = found.capacity.share
    figures = [
        Figure("Token", f"{digits(found.ms_per_token)} ms", span, "simulated"),
        *first_token(found),
        Figure("Rate", f"{digits(rate)}/s", f"tokens, batch {batch}", "simulated"),
        Figure("Row hits", percent(found.row_hit_rate, 2),
               f"bound {percent(found.row_hit_bound, 2)} a row read once", "simulated"),
        Figure("MACs in use", percent(found.mac_utilization),
               f"of peak; rows stream at {percent(found.bound.utilization)}", "simulated"),
        Figure("Over the link", amount(found.link_bytes_per_token, "B"),
               f"{of}; {digits(found.traffic_cut, 3)}x less than weights", "simulated"),
        Figure("Capacity", percent(taken), "of each channel", "computed"),
        Figure("Not memory", percent(found.other_share, 2),
               "of the time: the ASIC's exposed work", "simulated"),
        binds(found.bound),
    ]  # fmt: skip
    place = next(i for i, one in enumerate(figures) if one.name == "Over the link")
    figures[place:place] = powers(found)
    return figures


def first_token(found: Generation) -> list[Figure]:
    """Return when the first generated token is there; nothing where there is no prompt."""
    if not found.settings.prompt:
        return []
    clock = found.device.clock_ns * 1e-6
    read, first = found.prompt_clocks * clock, float(found.token_clocks[0]) * clock
    note = f"prompt, no LM head, {digits(read)} ms; first token {digits(first)} ms"
    return [Figure("Time to first token", f"{digits(read + first)} ms", note, "simulated")]


def powers(found: Generation) -> list[Figure]:
    """Return joules and watts, or that the device states nothing to work them out from."""
    if not found.device.powers:
        none = "no currents in this device"
        return [Figure(name, "–", none, "modelled") for name in ("Energy", "Power")]
    name = found.device.powers[0].name
    part, most = found.peak[name]
    return [
        Figure("Energy", amount(found.joules() / found.tokens, "J"),
               f"{each(found)}; currents '{name}'", "modelled"),
        Figure("Power", f"{digits(found.average_power(), 3)} W",
               f"mean; {digits(most, 3)} W in {part}", "modelled"),
    ]  # fmt: skip


def binds(bound: RowStream) -> Figure:
    """Return the longest wait without a MAC where rows stream; all of them where several tie."""
    several = " each" if len(bound.ties) > 1 else ""
    note = f"{bound.binding.clocks} clocks{several} of a streamed row's {bound.period}"
    return Figure("Binds", ", ".join(one.text for one in bound.ties), note, "computed")


def step(found: Generation) -> str:
    """Return what a decoding step makes: a token of each sequence."""
    batch = found.settings.batch
    return "a token" if batch == 1 else f"a step of {batch} tokens"


def each(found: Generation) -> str:
    """Return what energy and bytes are the mean of: all steps, the prompt's too."""
    return step(found) + (", mean over prompt and generated" if found.settings.prompt else "")


def summary(found: Generation) -> Block:
    """Return the key numbers as a table."""
    rows: list[tuple[Cell, ...]] = [
        (one.name, one.value, one.note, one.source) for one in key_figures(found)
    ]
    title = f"{found.decoder.name} on {found.device.name}: {found.clocks:,} clocks"
    return Block(title, ("", "", "", "kind"), tuple(rows))


def breakdown(found: Generation) -> Block:
    """Return clocks by operation; refresh and the link apart."""
    rows: list[tuple[Cell, ...]] = [
        (
            one.name,
            one.on,
            one.times,
            one.clocks,
            one.refresh,
            one.link,
            percent(one.clocks / found.clocks, 2),
        )
        for one in sorted(found.parts, key=lambda part: -part.clocks)
    ]
    heads = ("operation", "on", "times", "clocks", "of them refresh", "of them link", "share")
    return Block("Where the clocks go", heads, tuple(rows))


def commands(found: Generation) -> Block:
    """Return the commands of all channels."""
    rows = sorted(found.counts.items(), key=lambda pair: -pair[1])
    per = float(found.tokens)
    whole = tuple((name, count, count / per) for name, count in rows if count)
    return Block("Commands", ("command", "all channels", each(found)), whole)


def energy(found: Generation) -> Block:
    """Return joules a step by item, a column a set of currents."""
    names = [one.name for one in found.device.powers]
    sets = [found.energy(name) for name in names]
    per = 1e3 / found.tokens
    rows: list[tuple[Cell, ...]] = [
        (item, *(one[item] * per for one in sets)) for item in (sets[0] if sets else ())
    ]
    rows.append(("total", *(found.joules(name) * per for name in names)))
    rows.append(("average power, W", *(found.average_power(name) for name in names)))
    rows.append(("peak power, W", *(found.peak[name][1] for name in names)))
    rows.append(("peak in", *(found.peak[name][0] for name in names)))
    return Block(f"Energy, mJ {each(found)}", ("item", *names), tuple(rows))


def bandwidth(found: Generation) -> Block:
    """Return bandwidths with their shares of the peak."""
    inside, outside = bounds.internal_peak(found.device), bounds.external_peak(found.device)
    rows = (
        ("in the banks", found.internal_bandwidth / 1e9, inside / 1e9,
         percent(found.internal_bandwidth / inside)),
        ("over the link", found.external_bandwidth / 1e9, outside / 1e9,
         percent(found.external_bandwidth / outside)),
    )  # fmt: skip
    return Block("Bandwidth", ("", "GB/s", "peak, GB/s", "share"), rows)


def capacity(found: Generation) -> Block:
    """Return what a channel holds."""
    one = found.capacity
    rows = (
        ("weights", one.weights / 1e6, percent(one.weights / one.total)),
        ("KV cache, reserved", one.cache / 1e6, percent(one.cache / one.total)),
        ("free", (one.total - one.weights - one.cache) / 1e6, percent(1 - one.share)),
    )
    return Block("Each channel", ("", "MB", "share"), rows)


def streaming(found: Generation) -> Block:
    """Return what a streamed row's period is made of."""
    rows = tuple((one.text, one.after, one.before, one.clocks) for one in found.bound.edges)
    title = f"A streamed row: {found.bound.period} clocks, {found.bound.useful} of them MACs"
    return Block(title, ("constraint", "after", "before", "clocks"), rows)


def waits(found: Generation, most: int = 10) -> tuple[Block, Block]:
    """Return what commands waited for, and which instructions did."""
    channels = found.device.organization.channels
    whole = found.memory_clocks * channels

    def table(title: str, head: str, clocks: dict[str, int]) -> Block:
        rows = tuple(
            (name, count, percent(count / whole, 2)) for name, count in [*clocks.items()][:most]
        )
        return Block(title, (head, "clocks, all channels", "of the memory's time"), rows)

    return (
        table("Waits by constraint", "constraint", found.stalls_by_constraint()),
        table("Waits by instruction", "instruction", found.stalls_by_instruction()),
    )


def comparison(found: Generation, rows: Sequence[Versus]) -> Block:
    """Return modelled machines beside the simulation."""
    names = [one.name for one in found.device.powers]
    one = "token" if found.settings.batch == 1 else "step"
    heads = ("machine", "model", f"ms a {one}", "times as fast", f"mJ a {one}",
             *(f"times less energy, {name}" for name in names), "catches up at batch")  # fmt: skip
    cells = tuple(
        (one.title, one.tier, one.ms, one.faster, one.mj, *(one.saves.get(n) for n in names),
         "never" if one.catches_up is None else one.catches_up)
        for one in rows
    )  # fmt: skip
    return Block("Beside other machines (all modelled)", heads, cells)


def constant(one: Sensitivity) -> str:
    """Return a constant's name and what it was moved to."""
    ends = " / ".join("not" if end is None else digits(end, 3) for end in (one.low, one.high))
    return f"{one.constant.name} {digits(one.constant.value, 3)}: {ends}"


def sensitivity(moved: Sequence[Sensitivity]) -> Block:
    """Return how far time and energy move when each assumed constant does."""
    heads = ["assumed: moved to", "time, lowered", "raised"]
    if powered := any(any(one.energy) for one in moved):
        heads += ["energy, lowered", "raised"]
    rows = tuple(
        (constant(one), *(f"{100 * change:+.2f} %"
                          for change in (*one.time, *(one.energy if powered else ()))))
        for one in moved
    )  # fmt: skip
    return Block("Each assumed constant moved by 20 %", tuple(heads), rows)


def host(device: Device) -> Block:
    """Return what a host's reads cost while a matrix streams."""
    rows = []
    for share in HOST_SHARES:
        rate = bounds.external_peak(device) * share / 1e9
        try:
            found = host_traffic(device, rate)
        except GateformerError:
            continue
        rows.append((
            rate, percent(found.slowdown - 1), found.visit_clocks, found.switch_clocks,
            found.accesses / max(found.visits, 1), found.wait_clocks * device.clock_ns,
        ))  # fmt: skip
    heads = ("host reads, GB/s", "matrix slower by", "clocks a visit", "of them switching",
             "accesses a visit", "an access waits, ns")  # fmt: skip
    return Block("", heads, tuple(rows))


def over_tokens(found: Generation) -> tuple[Array, list[tuple[str, Array]]]:
    """Return the tokens' places in the sequence, and the milliseconds of each group of steps."""
    places: list[int] = []
    sums: dict[str, list[float]] = {name: [] for name in GROUPS}
    for timeline in found.timelines:
        which = [_group(track, name) for track, name in timeline.steps]
        places += list(timeline.tokens)
        for group in GROUPS:
            columns = [i for i, one in enumerate(which) if one == group]
            sums[group] += timeline.clocks[:, columns].sum(axis=1).tolist()
    order = np.argsort(places)
    scale = found.device.clock_ns * 1e-6
    layers = [(name, np.array(values)[order] * scale) for name, values in sums.items()]
    return np.array(places, float)[order] + found.settings.past, [
        one for one in layers if one[1].any()
    ]


def _group(track: str, name: str) -> str:
    if track == "asic":
        return "ASIC"
    operation = name.partition("/")[2] if name.startswith("block") else name
    if "append" in operation:
        return "caches written"
    if operation.startswith("attention/"):
        return "attention"
    return "LM head" if operation.startswith("head") else "matrices"
