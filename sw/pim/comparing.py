"""A simulated memory beside modelled GPUs and CPUs: times, joules, and where a GPU catches up.

Owns ``Versus``, ``versus`` and ``CLAIMS``. Imports the baselines and the simulation's result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateformer.baselines.machines import MACHINES, Tier
from gateformer.baselines.roofline import Work, crossover, estimate
from gateformer.sim.pim.results import Generation


@dataclass(frozen=True, slots=True)
class Claim:
    """What the PIM-GPT paper says of one machine, over its eight models.

    Attributes
    ----------
    speed : tuple of float
        How many times as fast.
    first, revised : tuple of float
        How many times less energy: the first version's range, and the published one's.
    """

    speed: tuple[float, float]
    first: tuple[float, float]
    revised: tuple[float, float]


CLAIMS: Mapping[str, Claim] = {
    "t4": Claim((41, 137), (339, 1085), (123, 383)),
    "xeon-6154": Claim((631, 1074), (890, 1632), (320, 602)),
}
"""By baseline; arXiv 2310.09385 and npj Unconventional Computing 2024."""


@dataclass(frozen=True, slots=True)
class Versus:
    """A simulated memory beside one model of one machine.

    Attributes
    ----------
    machine, title : str
        The machine.
    tier : str
        Its model.
    ms, mj : float
        Milliseconds and millijoules a decoding step there, modelled.
    faster : float
        Times as fast as that.
    saves : mapping of str to float
        Times less energy, by set of currents.
    catches_up : int or None
        Batch at which it makes as many tokens a second; None where it never does.
    """

    machine: str
    title: str
    tier: Tier
    ms: float
    mj: float
    faster: float
    saves: Mapping[str, float]
    catches_up: int | None

    @property
    def name(self) -> str:
        """Machine and model, such as ``T4, eager``."""
        return f"{self.title}, {self.tier}"


def work_of(found: Generation) -> Work:
    """Return a decoding step of the same model at the mean length of the generated tokens."""
    decoder, settings = found.decoder, found.settings
    length = settings.past + settings.prompt + (settings.tokens + 1) / 2
    return Work(
        decoder.layers,
        decoder.block_weights + decoder.head.weights,
        round(decoder.kv_elements * length),
        settings.batch,
    )


def versus(found: Generation, machines: tuple[str, ...] = tuple(MACHINES)) -> list[Versus]:
    """Return a simulation beside all models of some machines.

    Parameters
    ----------
    found : Generation
        The simulation.
    machines : tuple of str
        Baselines by name.
    """
    work = work_of(found)
    rate = found.settings.batch / found.ms_per_token * 1e3
    # A prompt's tokens are cheaper, without the LM head: a generated one counts by its time.
    step = found.ms_per_token / 1e3 / found.seconds if found.settings.prompt else 1 / found.tokens
    joules = {one.name: found.joules(one.name) * step for one in found.device.powers}
    rows = []
    for name in machines:
        machine = MACHINES[name]
        for tier in reversed(machine.tiers):
            there = estimate(machine, work, tier)
            rows.append(
                Versus(
                    name,
                    machine.title,
                    tier,
                    there.ms,
                    there.joules * 1e3,
                    there.ms / found.ms_per_token,
                    {key: there.joules / value for key, value in joules.items() if value},
                    crossover(machine, work, tier, rate),
                )
            )
    return rows
