"""The tables that hold the simulation against the PIM-GPT paper, from one study.

Owns ``blocks`` and one function a table. Imports the paper's claims and how tables are written.
Every number of ours comes from the study; the paper's own stand here and in ``comparing``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateformer.baselines.machines import MACHINES, Machine, Tier
from gateformer.pim.comparing import CLAIMS
from gateformer.pim.replication import LARGEST, SLOW_ASIC_NS, V_BATCH, Run, Study
from gateformer.pim.screen import Block, Cell, digits, percent

PAPER = "arXiv 2310.09385, npj Unconventional Computing 2024"
SHOWN = 10
"""Waits and constants of a table."""
Row = tuple[Cell, ...]


def blocks(study: Study) -> dict[str, Block]:
    """Return the page's tables by name."""
    return {
        "claims": claims(study),
        "models": every_model(study),
        "gains": gains(study),
        "channels": channels(study),
        "choices": choices(study),
        "speed": speed(study),
        "energy": energy(study),
        "power": power(study),
        "waits": waits(study.runs["paper"][LARGEST]),
        "batches": batches(study),
        "sensitivity": sensitivity(study),
    }


def span(values: Iterable[float], unit: str = "", places: int = 3) -> str:
    """Return the smallest and the largest value."""
    several = list(values)
    low, high = digits(min(several), places), digits(max(several), places)
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def shares(values: Iterable[float], places: int = 3) -> str:
    """Return the smallest and the largest share, in percent."""
    return span((100 * value for value in values), " %", places)


def published(ends: tuple[float, float]) -> str:
    """Return a range of the paper."""
    return f"{ends[0]:g} to {ends[1]:g}x"


def slower(study: Study) -> list[float]:
    """Return how much longer a token takes with the slow ASIC, model by model."""
    pairs = zip(study.across("slow ASIC"), study.across("paper"), strict=True)
    return [slow["clocks"] / base["clocks"] - 1 for slow, base in pairs]


def claims(study: Study) -> Block:
    """Return the paper's claims beside what is simulated."""
    runs, large = study.across("paper"), study.runs["paper"][LARGEST]
    slow = study.runs["slow ASIC"][LARGEST]["clocks"] / large["clocks"] - 1
    scaled = study.runs[f"channels {LARGEST}"]
    few, many, *_ = scaled
    twice = scaled[few]["clocks"] / scaled[many]["clocks"]
    rows: list[Row] = [
        ("row hits", "about 98 %", shares((run["row_hit_rate"] for run in runs), 4),
         f"bound of a row read once: {percent(large['row_hit_bound'], 2)}"),
        (f"not VMM, {LARGEST}", "1.16 %", percent(large["other_share"], 2),
         f"all models {shares(run['other_share'] for run in runs)}"),
        (f"ASIC at {1e3 / SLOW_ASIC_NS:.0f} MHz, not 1 GHz", "at most 20 % slower",
         shares(slower(study)), f"{LARGEST} {percent(slow)}"),
        ("traffic cut", "110 to 259x", span((run["traffic_cut"] for run in runs), "x"),
         f"{LARGEST} {digits(large['traffic_cut'], 3)}x"),
        ("channels", "nearly linear", f"{digits(twice, 3)}x for {many} in place of {few}",
         f"{LARGEST}; more below"),
    ]  # fmt: skip
    for name, claim in CLAIMS.items():
        machine = MACHINES[name]
        rows.append((
            f"times as fast as {machine.title}", published(claim.speed),
            span(_faster(study, machine, "eager"), "x"),
            f"eager; tuned {span(_faster(study, machine, 'fused'), 'x')}, modelled",
        ))  # fmt: skip
    return Block(f"Claims of {PAPER}", ("claim", "paper", "here", "beside it"), tuple(rows))


def every_model(study: Study) -> Block:
    """Return the paper's mode, a row a model."""
    rows: list[Row] = []
    for run, more in zip(study.across("paper"), slower(study), strict=True):
        still = study.runs["no refresh"][run.model]["clocks"]
        rows.append((
            run.model, run["ms_per_token"], percent(run["row_hit_rate"], 2),
            percent(run["mac_utilization"]), percent(run["other_share"], 2), percent(more),
            f"{digits(run['traffic_cut'], 3)}x", percent(1 - still / run["clocks"]),
            *(one["mj_per_token"] for one in run["energy"].values()),
        ))  # fmt: skip
    heads = (
        "model", "ms a token", "row hits", "MACs in use", "not VMM", "slow ASIC adds",
        "traffic cut", "refresh takes", *(f"mJ, {name}" for name in study.currents),
    )  # fmt: skip
    title = f"Eight models, {study.tokens:,} tokens each, nothing overlaps"
    return Block(title, heads, tuple(rows))


def gains(study: Study) -> Block:
    """Return what overlap and batched writes of values bring, in clocks a token."""
    rows: list[Row] = []
    for run in study.across("paper"):
        base = run["clocks"] / study.tokens
        cells: list[Cell] = [run.model, round(base)]
        for way in ("overlap", "batched", "both"):
            gain = base - study.runs[way][run.model]["clocks"] / study.tokens
            cells += [round(gain), percent(gain / base, 2)]
        rows.append(tuple(cells))
    heads = ("model", "clocks a token", "overlap saves", "share",
             f"V of {V_BATCH} tokens at once saves", "share", "both save", "share")  # fmt: skip
    return Block("Clocks a token that overlap and batched writes of V save", heads, tuple(rows))


def channels(study: Study) -> Block:
    """Return times over the number of channels."""
    rows: list[Row] = []
    for purpose, runs in study.runs.items():
        if not purpose.startswith("channels "):
            continue
        first = next(iter(runs))
        for count, run in runs.items():
            faster = runs[first]["clocks"] / run["clocks"]
            share = faster * int(first) / int(count)
            shown = f"{digits(faster, 3)}x"
            rows.append((run.model, int(count), run["ms_per_token"], shown, percent(share)))
    heads = ("model", "channels", "ms a token", "times as fast", "of linear")
    return Block("Channels", heads, tuple(rows))


def choices(study: Study) -> Block:
    """Return other ways to run the largest model, in the middle of its tokens."""
    runs = study.runs["choices"]
    base = next(iter(runs.values()))
    rows: list[Row] = [
        (
            label, run["ms_per_token"], f"{digits(run['clocks'] / base['clocks'], 3)}x",
            percent(run["row_hit_rate"], 2), percent(run["mac_utilization"]),
            percent(run["other_share"], 2),
            *(one["mj_per_token"] for one in run["energy"].values()),
        )
        for label, run in runs.items()
    ]  # fmt: skip
    heads = ("choice", "ms a token", "of the time", "row hits", "MACs in use", "not VMM",
             *(f"mJ, {name}" for name in study.currents))  # fmt: skip
    settings = base["settings"]
    title = f"Other choices, {LARGEST}, {settings['tokens']} tokens in the middle"
    return Block(title, heads, tuple(rows))


def _title(machine: Machine, tier: Tier) -> str:
    if tier != "fused":
        return tier
    return "fused (graph mode)" if machine.boundary == "board" else "tuned runtime"


def _faster(study: Study, machine: Machine, tier: Tier) -> list[float]:
    return [one.faster for run in study.across("paper") for one in run.beside(machine.name, tier)]


def _saves(study: Study, machine: Machine, tier: Tier, currents: str) -> list[float]:
    return [
        one.saves[currents]
        for run in study.across("paper")
        for one in run.beside(machine.name, tier)
    ]


def _each(cells: Callable[[Machine, Tier], Row], machines: Iterable[str]) -> tuple[Row, ...]:
    """Return a row for each model of each machine."""
    found = [MACHINES[name] for name in machines]
    return tuple(cells(machine, tier) for machine in found for tier in reversed(machine.tiers))


def speed(study: Study) -> Block:
    """Return how many times as fast, over all eight models."""

    def cells(machine: Machine, tier: Tier) -> Row:
        claim = CLAIMS.get(machine.name)
        words = None if claim is None else published(claim.speed)
        return machine.title, _title(machine, tier), words, span(_faster(study, machine, tier), "x")

    heads = ("machine", "its model", "paper", "here")
    return Block("Times as fast as other machines, modelled", heads, _each(cells, MACHINES))


def energy(study: Study) -> Block:
    """Return how many times less energy, over all eight models."""

    def cells(machine: Machine, tier: Tier) -> Row:
        claim = CLAIMS[machine.name]
        here = (span(_saves(study, machine, tier, name), "x") for name in study.currents)
        ranges = (published(claim.first), published(claim.revised))
        return machine.title, _title(machine, tier), *ranges, *here

    heads = ("machine", "its model", "paper, first version", "paper, as published",
             *(f"here, currents '{name}'" for name in study.currents))  # fmt: skip
    return Block("Times less energy than other machines, modelled", heads, _each(cells, CLAIMS))


def power(study: Study) -> Block:
    """Return the ratios of power that the paper's ranges imply, beside ours."""
    rows: list[Row] = []
    for name, claim in CLAIMS.items():
        machine = MACHINES[name]
        implied = (
            span((saved / fast for saved, fast in zip(ends, claim.speed, strict=True)), "x", 2)
            for ends in (claim.first, claim.revised)
        )
        here = (
            span(
                (machine.watts / run["energy"][currents]["average_watts"]
                 for run in study.across("paper")), "x", 2,
            )
            for currents in study.currents
        )  # fmt: skip
        rows.append((f"{machine.title}, {machine.watts:g} W", *implied, *here))
    heads = ("machine and its limit", "paper, first version", "paper, as published",
             *(f"here, currents '{name}'" for name in study.currents))  # fmt: skip
    return Block("The machine's power over the memory's: energy ratio / speed ratio", heads,
                 tuple(rows))  # fmt: skip


def waits(run: Run) -> Block:
    """Return what channels waited for most, by constraint and instruction."""
    whole = run["memory_clocks"] * run["channels"]
    rows = tuple(
        (one["constraint"], one["instruction"], percent(one["clocks"] / whole, 2))
        for one in run["stalls"][:SHOWN]
    )
    heads = ("constraint", "waiting", "of the memory's time")
    return Block(f"What {run.model} waits for", heads, rows)


def batches(study: Study) -> Block:
    """Return the batch from which on a modelled GPU is faster."""
    models = list(dict.fromkeys(one.model for one in study.overtaken))
    machines = list(dict.fromkeys(one.machine for one in study.overtaken))
    found = {(one.machine, one.model): one for one in study.overtaken}
    rows: list[Row] = []
    for name in machines:
        cells = [found[name, model] for model in models]
        batch = (f"over {one.most}" if one.batch is None else str(one.batch) for one in cells)
        rows.append((MACHINES[name].title, *batch))
    heads = ("machine, fused model", *models)
    return Block("Smallest batch at which a GPU's step is the shorter one", heads, tuple(rows))


def sensitivity(study: Study) -> Block:
    """Return the assumed constants that move the largest model most."""
    rows = tuple(
        (one.name, *(f"{100 * change:+.2f} %" for change in (*one.time, *one.energy)))
        for one in study.moved[:SHOWN]
    )
    heads = ("assumed: moved to", "time, lowered", "raised", "energy, lowered", "raised")
    return Block(f"Assumed constants of pim-gpt moved by 20 %, {LARGEST}", heads, rows)
