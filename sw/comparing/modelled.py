"""Rows of machines that were not at hand: times by the roofline's models, joules by power limits.

Owns ``rows``. Imports the models of baselines.
"""

from __future__ import annotations

from gateformer.baselines.roofline import MACHINES, MEANINGS, Machine, Tier, Work, estimate
from gateformer.comparing.rows import Platform, Row
from gateformer.energy.figure import Energy
from gateformer.quant.decoder import Decoder

SHOWN: tuple[Tier, ...] = ("fused", "eager")
"""Tiers that are shown; what physics allows (the roofline) is no machine's time."""


def rows(decoder: Decoder, context: int, batch: int) -> list[Row]:
    """Return a row for each machine and tier.

    Parameters
    ----------
    decoder : Decoder
        The model.
    context : int
        Tokens in the cache.
    batch : int
        Sequences decoded together.
    """
    work = Work(
        decoder.layers,
        decoder.block_weights + decoder.head.weights,
        decoder.kv_elements * context,
        batch,
    )
    return [
        _row(decoder.name, machine, tier, work)
        for machine in MACHINES.values()
        for tier in SHOWN
        if tier in machine.tiers
    ]


def _row(model: str, machine: Machine, tier: Tier, work: Work) -> Row:
    found = estimate(machine, work, tier)
    seconds = found.ms * 1e-3
    each = machine.eager_bytes if tier == "eager" else machine.tuned_bytes
    gbs = work.bytes(each) / seconds / 1e9
    platform: Platform = "CPU" if "package" in machine.boundary else "GPU"
    return Row(
        model=model,
        platform=platform,
        machine=machine.title,
        system=tier,
        tier=tier,
        precision={4: "fp32", 2: "fp16"}[each],
        batch=work.batch,
        kind="modelled",
        median=seconds,
        per_second=work.batch / seconds,
        gbs=gbs,
        share=gbs / machine.peak_gbs,
        energy=Energy(
            value=found.joules / work.batch,
            kind="modelled",
            source=f"power limit of {machine.watts:g} W times the modelled time: an upper bound",
            boundary="package" if platform == "CPU" else "board",
        ),
        energy_note="an upper bound",
        transfer="not in",
        source=f"{MEANINGS[tier]}: " + "; ".join(
            f"{key}: {words}" for key, words in machine.sources.items()
            if ("eager" in key) == (tier == "eager") or "peak" in key
        ),
    )  # fmt: skip
