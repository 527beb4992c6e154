"""Rows of machines that were not at hand: times by the roofline's models, joules by power limits.

Owns ``decoder`` and ``network``. Imports the models of baselines.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateformer.baselines import record
from gateformer.baselines.machines import MACHINES, MEANINGS, Machine, Tier
from gateformer.baselines.published import error_bar
from gateformer.baselines.roofline import Work, estimate
from gateformer.comparing.rows import Platform, Row
from gateformer.energy.figure import Energy
from gateformer.quant.decoder import Decoder
from gateformer.quant.graph import Graph

TIERS: Mapping[Tier, record.Tier] = MappingProxyType({"fused": "tuned", "eager": "eager"})
"""Rows have one word for a runtime made for inference, whether it was measured or modelled."""
SHOWN = tuple(TIERS)
"""Tiers that are shown; what physics allows (the roofline) is no machine's time."""


def decoder(model: Decoder, context: int, batch: int) -> list[Row]:
    """Return a row for each machine and tier.

    Parameters
    ----------
    model : Decoder
        The decoder.
    context : int
        Tokens in the cache.
    batch : int
        Sequences decoded together.
    """
    work = Work(
        model.layers,
        model.block_weights + model.head.weights,
        model.kv_elements * context,
        batch,
    )
    return [
        _row(model.name, machine, tier, work)
        for machine in MACHINES.values()
        for tier in SHOWN
        if tier in machine.tiers
    ]


def network(model: str, graph: Graph, batch: int) -> list[Row]:
    """Return a row a tier for a GPU: a network this small takes the time of its launches.

    Parameters
    ----------
    model : str
        What the comparison calls it.
    graph : Graph
        Imported.
    batch : int
        Frames at once; the model is of one, so there is no row of more.
    """
    from gateformer.baselines.launching import launching

    if batch > 1:
        return []
    rows = []
    for tier in SHOWN:
        found = launching(graph, tier)
        rows.append(
            Row(
                model=model,
                platform="GPU",
                machine="any GPU",
                system="captured graph" if tier == "fused" else tier,
                tier=TIERS[tier],
                precision="fp32",
                kind="modelled",
                median=found.value,
                low=found.low,
                high=found.high,
                per_second=1 / found.value,
                energy_note="not modelled: a GPU that waits for launches is far from its limit",
                transfer="device",
                transfer_note="inputs and outputs lie in the GPU's memory",
                source=found.source,
            )
        )
    return rows


def _row(model: str, machine: Machine, tier: Tier, work: Work) -> Row:
    found = estimate(machine, work, tier)
    seconds = found.ms * 1e-3
    each = machine.eager_bytes if tier == "eager" else machine.tuned_bytes
    gbs = work.bytes(each) / seconds / 1e9
    platform: Platform = "CPU" if "package" in machine.boundary else "GPU"
    bar = error_bar(machine, tier)
    return Row(
        model=model,
        platform=platform,
        machine=machine.title,
        system=TIERS[tier],
        tier=TIERS[tier],
        precision={4: "fp32", 2: "fp16"}[each],
        batch=work.batch,
        kind="modelled",
        median=seconds,
        low=None if bar is None else bar[0] * seconds,
        high=None if bar is None else bar[1] * seconds,
        per_second=work.batch / seconds,
        gbs=gbs,
        share=gbs / machine.peak_gbs,
        energy=Energy(
            value=found.joules / work.batch,
            kind="modelled",
            source=f"power limit of {machine.watts:g} W times the modelled time: an upper bound",
            boundary="package" if platform == "CPU" else "board",
        ),
        energy_bound=True,
        energy_note="an upper bound: at its power limit for the whole time",
        transfer="device",
        transfer_note="inputs and outputs lie in its own memory",
        source=f"{MEANINGS[tier]}: " + "; ".join(
            f"{key}: {words}" for key, words in machine.sources.items()
            if ("eager" in key) == (tier == "eager") or "peak" in key
        ),
    )  # fmt: skip
