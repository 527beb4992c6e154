"""``pim compare``: what is simulated here beside what the PIM-GPT paper claims.

Owns ``replicate``, ``Study`` and ``study``. Imports the comparison, and runs simulations in several
processes. Nothing of a result is written down here: only the paper's own figures are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gateformer.baselines.machines import MACHINES
from gateformer.baselines.roofline import Work, estimate
from gateformer.flow.files import write_whole
from gateformer.hw.pim.device import load
from gateformer.pim.comparing import Versus, versus
from gateformer.pim.figures import constant
from gateformer.pim.places import refuse_place
from gateformer.pim.screen import Answer
from gateformer.pim.waiting import waiting
from gateformer.quant import models

V_BATCH = 16
"""Tokens whose values are written together: one access' numbers."""
FEW = 16
"""Tokens of a simulation that shows another choice, in the middle of a generation."""
LARGEST = "gpt3-xl"
"""The model that the paper looks at most closely."""
WIDE = "four times the ASIC's adders and multipliers"
SLOW_ASIC_NS = 10.0
"""The paper's slowest ASIC: 100 MHz in place of 1 GHz."""
CHANNELS: Mapping[str, tuple[int, ...]] = {
    "gpt2-small": (1, 2, 4, 8, 16, 32),
    LARGEST: (8, 16, 32, 64),
}
"""Channels that a model's generation is repeated with; gpt3-xl does not fit fewer than six."""
GPUS = ("t4", "v100", "a100", "h100")
"""Machines whose step hardly grows with the batch."""
Job = tuple[str, str, tuple[tuple[str, Any], ...]]
"""What a run is for, its model, and its settings."""


@dataclass(frozen=True, slots=True)
class Run:
    """One simulation, reduced to what the page shows.

    Attributes
    ----------
    model : str
        The model.
    data : mapping
        ``Generation.as_dict()`` without what is listed token by token.
    versus : tuple of Versus
        Modelled machines beside it.
    """

    model: str
    data: Mapping[str, Any]
    versus: tuple[Versus, ...]

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def beside(self, machine: str, tier: str) -> tuple[Versus, ...]:
        """Return one model of one machine beside it: one, or none."""
        return tuple(v for v in self.versus if (v.machine, v.tier) == (machine, tier))


@dataclass(frozen=True, slots=True)
class Moved:
    """What moving an assumed constant by a fifth does.

    Attributes
    ----------
    name : str
        The constant and what it was moved to.
    time, energy : tuple of (float, float)
        Relative changes, lowered and raised.
    """

    name: str
    time: tuple[float, float]
    energy: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Where a modelled GPU overtakes the memory, every batch simulated.

    Attributes
    ----------
    machine, model : str
        Which.
    batch : int or None
        Smallest batch at which the GPU's step is the shorter one; None where there is none.
    most : int
        The largest batch that was tried.
    """

    machine: str
    model: str
    batch: int | None
    most: int


@dataclass(frozen=True, slots=True)
class Study:
    """All simulations of the page.

    Attributes
    ----------
    tokens : int
        Tokens of each.
    runs : mapping of str to mapping of str to Run
        By purpose, then by model, or by number of channels.
    moved : tuple of Moved
        What each assumed constant moves for gpt3-xl, most first.
    overtaken : tuple of Overtaken
        From which batch on GPUs are faster.
    """

    tokens: int
    runs: Mapping[str, Mapping[str, Run]]
    moved: tuple[Moved, ...]
    overtaken: tuple[Overtaken, ...]

    @property
    def currents(self) -> tuple[str, ...]:
        """Names of the sets of currents, the default first."""
        return tuple(self.across("paper")[0]["energy"])

    def across(self, purpose: str) -> Sequence[Run]:
        """Return a purpose's runs in their order."""
        return tuple(self.runs[purpose].values())


def jobs(tokens: int) -> list[tuple[str, Job]]:
    """Return every simulation, and the key under which it is kept."""
    ways: dict[str, dict[str, Any]] = {
        "paper": {},
        "overlap": {"overlap": True},
        "batched": {"v_batch": V_BATCH},
        "both": {"overlap": True, "v_batch": V_BATCH},
        "slow ASIC": {"asic_clock_ns": SLOW_ASIC_NS},
        "no refresh": {"refresh": "none"},
    }
    found = [
        (name, (way, name, tuple({**settings, "tokens": tokens}.items())))
        for way, settings in ways.items()
        for name in models.names()
    ]
    few = min(FEW, tokens)
    middle = {"tokens": few, "past": max(tokens // 2 - few // 2, 0)}
    for label, settings in choices().items():
        found.append((label, ("choices", LARGEST, tuple({**settings, **middle}.items()))))
    for name, several in CHANNELS.items():
        for channels in several:
            more = (("channels", channels), ("tokens", tokens))
            found.append((str(channels), (f"channels {name}", name, more)))
    return found


def choices() -> dict[str, dict[str, Any]]:
    """Return other ways to run the largest model."""
    asic = load("pim-gpt").asic
    if asic is None:
        raise AssertionError("pim-gpt has an ASIC")
    wide = replace(asic, adders=4 * asic.adders, multipliers=4 * asic.multipliers)
    return {
        "as above": {},
        "mapping stream-k": {"mapping": "stream-k"},
        "mapping interleaved": {"mapping": "interleaved"},
        "per-bank refresh": {"refresh": "per-bank"},
        "hot: refresh twice as often": {"hot": True},
        "INT8 weights": {"weights": "int8"},
        "INT4 weights": {"weights": "int4"},
        WIDE: {"device": replace(load("pim-gpt"), asic=wide)},
    }


def run(job: Job) -> Run:
    """Simulate one job."""
    from gateformer.sim.pim import simulate

    _, model, settings = job
    found = simulate(model, **dict(settings))
    long = ("token_clocks", "bank_macs", "channel_requests")
    data = {key: value for key, value in found.as_dict().items() if key not in long}
    return Run(model, data, tuple(versus(found)))


def study(tokens: int, processes: int | None = None) -> Study:
    """Run all simulations.

    Parameters
    ----------
    tokens : int
        Tokens of each.
    processes : int or None
        Processes at once; None for one a core.
    """
    wanted = jobs(tokens)
    races = [(gpu, model, tokens) for gpu in GPUS for model in CHANNELS]
    runs: dict[str, dict[str, Run]] = {}
    words = f"{len(wanted)} generations of {tokens:,} tokens"
    with (
        waiting(words, len(wanted) + len(races)) as advance,
        ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool,
    ):
        overtaken = pool.map(race, races)
        found = pool.map(run, [job for _, job in wanted])
        for (key, (purpose, _, _)), one in zip(wanted, found, strict=True):
            runs.setdefault(purpose, {})[key] = one
            advance(1)
        return Study(tokens, runs, move(tokens), tuple(overtaken))


def race(asked: tuple[str, str, int]) -> Overtaken:
    """Find the batch from which on a GPU is faster, with half of the tokens in the cache."""
    from gateformer.sim.pim.crossover import crossover

    gpu, model, tokens = asked
    machine, decoder = MACHINES[gpu], models.load(model)
    past = max(tokens // 2 - 1, 0)
    cached = decoder.kv_elements * (past + 1)
    weights = decoder.block_weights + decoder.head.weights

    def gpu_ms(batch: int) -> float:
        return estimate(machine, Work(decoder.layers, weights, cached, batch), "fused").ms

    found = crossover(model, gpu_ms, past=past)
    return Overtaken(gpu, model, found.batch, max(batch for batch, *_ in found.points))


def move(tokens: int) -> tuple[Moved, ...]:
    """Move each assumed constant, for the largest model in the middle of its tokens."""
    from gateformer.sim.pim.tornado import sensitivity

    few = min(4, tokens)
    with waiting("moving each assumed constant"):
        found = sensitivity(LARGEST, tokens=few, past=min(tokens - few, tokens // 2))
    return tuple(Moved(constant(one), one.time, one.energy) for one in found)


def replicate(tokens: int, *, out: Path | None = None) -> Answer:
    """Simulate all that the page shows; write it where asked.

    Parameters
    ----------
    tokens : int
        Tokens of each generation.
    out : Path or None
        The page, in Markdown.
    """
    from gateformer.pim.replication_page import page
    from gateformer.pim.replication_tables import blocks

    if out is not None:
        refuse_place(out)
    found = study(tokens)
    tables = blocks(found)
    notes = []
    if out is not None:
        write_whole(out, page(found, tables))
        notes.append(f"Page: {out}")
    data = {
        table.title: [dict(zip(table.heads, row, strict=True)) for row in table.rows]
        for table in tables.values()
    }
    return Answer(data, tuple(tables.values()), tuple(notes))
