"""GPUs and CPUs that decode a transformer, as models: the roofline, a tuned runtime, eager.

Owns ``Work``, ``Estimate``, ``estimate`` and ``crossover``. Imports the machines and the errors.
Nothing here is measured; each constant carries its source, and each estimate says ``modelled``.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.baselines.machines import Machine, Tier
from gateformer.quant.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Work:
    """One decoding step.

    Attributes
    ----------
    layers : int
        Decoder layers.
    weights : int
        Weights that a token reads, the LM head among them.
    cached : int
        Numbers of the KV cache that a token of one sequence reads.
    batch : int
        Sequences decoded together.
    """

    layers: int
    weights: int
    cached: int = 0
    batch: int = 1

    def bytes(self, each: float, cache: float | None = None) -> float:
        """Return the bytes read, weights once and each sequence's cache.

        Parameters
        ----------
        each : float
            Bytes a weight.
        cache : float or None
            Bytes a number of the cache; None for those of a weight.
        """
        return each * self.weights + (each if cache is None else cache) * self.batch * self.cached

    @property
    def operations(self) -> int:
        """Return multiplications and additions."""
        return 2 * self.batch * (self.weights + self.cached)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model says of one decoding step.

    Attributes
    ----------
    machine, tier : str
        Whose, and which model.
    ms : float
        Milliseconds a step (of the whole batch).
    joules : float
        Energy a step at the power limit: an upper bound.
    kind : str
        ``modelled``, always.
    """

    machine: str
    tier: Tier
    ms: float
    joules: float
    kind: str = "modelled"


def estimate(machine: Machine, work: Work, tier: Tier, each: float | None = None) -> Estimate:
    """Return what a tier's model says of a decoding step.

    Parameters
    ----------
    machine, work, tier
        Which machine, which step, and how it is run.
    each : float or None
        Bytes a weight, where they are not the tier's own; the cache then takes two bytes a number
        at least.

    Raises
    ------
    ConfigError
        E022 where no published figure allows this tier's model for the machine.
    """
    if tier not in machine.tiers:
        raise ConfigError(
            "E022",
            "no such model of this machine",
            layer=f"{machine.name} {tier}",
            fix=f"It has {', '.join(machine.tiers)}",
        )
    ms = _ms(machine, work, tier, each)
    return Estimate(machine.name, tier, ms, ms * 1e-3 * machine.watts)


def _ms(machine: Machine, work: Work, tier: Tier, each: float | None = None) -> float:
    own = machine.eager_bytes if tier == "eager" else machine.tuned_bytes
    read = work.bytes(own) if each is None else work.bytes(each, max(each, 2))
    computing = work.operations / (machine.peak_tflops * 1e9)
    if tier == "roofline":
        return max(read / (machine.peak_gbs * 1e6), computing)
    share = machine.share
    if tier == "eager" and machine.eager_share is not None:
        share = machine.eager_share
    reading = machine.layer_us * work.layers / 1e3 + read / (share * machine.peak_gbs * 1e6)
    # Eager's launches hide behind the reading, or the reading behind them.
    waiting = (machine.eager_layer_us or 0.0) * work.layers / 1e3 if tier == "eager" else 0.0
    return max(waiting, reading, computing)


def crossover(
    machine: Machine, work: Work, tier: Tier, tokens_per_second: float, most: int = 4096
) -> int | None:
    """Return the smallest batch at which the machine makes as many tokens a second.

    Parameters
    ----------
    machine, work, tier
        As in ``estimate``; the work's own batch is ignored.
    tokens_per_second : float
        What it is held against: a memory that reads its weights for each sequence anew makes about
        as many at every batch.
    most : int
        Batches tried.

    Returns
    -------
    int or None
        None where it does not get there.
    """

    def enough(batch: int) -> bool:
        step = Work(work.layers, work.weights, work.cached, batch)
        return batch / _ms(machine, step, tier) * 1e3 >= tokens_per_second

    if not enough(most):
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
