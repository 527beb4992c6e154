"""A decoder's row on a memory that computes, simulated clock by clock; a network's reason.

Owns ``row`` and ``network``. Imports the simulation where it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateformer.comparing.rows import Absent, Row, tail
from gateformer.energy.figure import Energy
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import ConfigError, PimError

if TYPE_CHECKING:
    from gateformer.sim.pim.results import Generation

TOKENS = 16
"""Tokens simulated about the context that is asked for: refreshes meet them differently."""


def row(decoder: Decoder, context: int, batch: int, device: str = "pim-gpt") -> Row | Absent:
    """Return the row of one decoding step.

    Parameters
    ----------
    decoder : Decoder
        The model.
    context : int
        Tokens in the cache, the mean over the tokens that are simulated.
    batch : int
        Sequences decoded together; the memory takes one after the other.
    device : str
        A known memory, or the path of its file.
    """
    from gateformer.sim.pim import simulate

    past = max(context - TOKENS // 2, 0)
    try:
        found = simulate(decoder, TOKENS, past=past, batch=batch, device=device)
    except (PimError, ConfigError) as error:
        if error.code != "E806":
            raise
        return Absent(model=decoder.name, platform="PIM", reason=str(error))
    seconds = found.token_clocks * found.device.clock_ns * 1e-9
    median, p90, p99 = (float(one) for one in np.quantile(seconds, (0.5, 0.9, 0.99)))
    bits = found.device.organization.access_bits
    reads = int(found.bank_macs.sum()) * bits / 8 / found.seconds / 1e9
    peak = _peak(found)
    channels = found.device.organization.channels
    return Row(
        model=decoder.name,
        platform="PIM",
        machine=found.device.name,
        system=f"{channels} channels",
        tier="hardware",
        precision=found.settings.weights,
        batch=batch,
        kind="simulated",
        median=median,
        p90=p90,
        p99=tail(p99, TOKENS),
        samples=TOKENS,
        per_second=batch / median,
        gbs=reads,
        share=reads / peak,
        energy=energy(found),
        energy_parts={
            name: joules / (TOKENS * batch) for name, joules in found.energy().items() if joules
        },
        energy_note="" if found.device.powers else f"{found.device.name} states no currents",
        area={
            "channels": float(channels),
            "banks with MACs": float(channels * found.device.organization.banks),
        },
        area_note="of the memory; the area of its MACs and of its ASIC is not modelled",
        transfer="device",
        transfer_note="vectors between memory and ASIC are in; no host",
        exactness="",
        source=(
            f"{TOKENS} tokens from position {past} on, every command by the device's timing, "
            f"refresh {found.settings.refresh}: gateformer pim simulate {decoder.name}"
        ),
    )


def energy(found: Generation) -> Energy | None:
    """Return the joules of a token; sets of currents other than the default are its error bar."""
    power = found.power()
    if power is None:
        return None
    each = found.tokens * found.settings.batch
    sets = {one.name: found.joules(one.name) / each for one in found.device.powers}
    others = ", ".join(name for name in sets if name != power.name)
    bar = f"; error bar: currents of {others}" if others else ""
    return Energy(
        value=sets[power.name],
        kind="modelled",
        source=f"IDD currents '{power.name}' times the simulated commands and clocks{bar}",
        low=min(sets.values()),
        high=max(sets.values()),
        boundary="package and memory",
    )


def network(name: str, parameters: int) -> Absent:
    """Return why a network has no row."""
    return Absent(
        model=name,
        platform="PIM",
        reason=(
            "the memory's compiler takes decoders, one token a step; this network takes all its "
            f"tokens at once, and its {parameters:,} parameters fit on an FPGA"
        ),
    )


def _peak(found: Generation) -> float:
    from gateformer.sim.pim.bounds import internal_peak

    return internal_peak(found.device) / 1e9
