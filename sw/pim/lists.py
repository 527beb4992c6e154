"""What there is to choose from: memories and models.

Owns ``devices``, ``device_file`` and ``models``. Imports the devices' and the models' data.
"""

from __future__ import annotations

from typing import Any

from gateformer.hw.pim import device as memory
from gateformer.hw.pim.device import Device
from gateformer.pim.screen import Answer, Block
from gateformer.quant import models as decoders
from gateformer.quant.decoder import Decoder
from gateformer.sim.pim import bounds


def devices() -> Answer:
    """Return the table of memories."""
    found = [memory.load(name) for name in memory.names()]
    rows = tuple(
        (
            one.name,
            f"{one.organization.channels} x {one.organization.banks}",
            one.clock_ns,
            one.organization.row_bytes,
            capacity(one) / 1e9,
            None if one.mac is None else bounds.peak_macs(one) / 1e12,
            bounds.internal_peak(one) / 1e9,
            None if one.link is None else bounds.external_peak(one) / 1e9,
        )
        for one in found
    )
    heads = ("device", "channels x banks", "clock, ns", "row, bytes", "GB", "TMAC/s", "banks, GB/s",
             "link, GB/s")  # fmt: skip
    block = Block("Memories", heads, rows)
    notes = tuple(f"{one.name}: {one.source}" for one in found if one.source)
    return Answer({"devices": [described(one) for one in found]}, (block,), notes)


def device_file(name: str, as_json: bool) -> int:
    """Print one memory's TOML file, as it is; return the exit code."""
    found, text = memory.load(name), memory.text_of(name)
    if as_json:
        return Answer({"devices": [described(found)], "toml": text}).give(as_json=True)
    print(text, end="")
    return 0


def models() -> Answer:
    """Return the table of models."""
    found = [decoders.load(name) for name in decoders.names()]
    rows = tuple(
        (
            one.name,
            one.layers,
            one.d_model,
            f"{one.heads} x {one.d_head}",
            one.block_weights / 1e6,
            one.head.weights / 1e6,
            one.context,
            2 * one.kv_elements,
        )
        for one in found
    )
    heads = ("model", "layers", "width", "heads", "block weights, M", "LM head, M", "context",
             "cache, bytes a token")  # fmt: skip
    notes = tuple(f"{one.name}: {words}" for one in found if (words := decoders.notes(one.name)))
    data = {"models": [sizes(one) | {"note": decoders.notes(one.name)} for one in found]}
    return Answer(data, (Block("Models", heads, rows),), notes)


def sizes(one: Decoder) -> dict[str, Any]:
    """Return a model's shape as JSON values."""
    return {
        "name": one.name,
        "layers": one.layers,
        "d_model": one.d_model,
        "heads": one.heads,
        "kv_heads": one.kv_heads,
        "d_head": one.d_head,
        "d_ff": one.d_ff,
        "vocab": one.vocab,
        "context": one.context,
        "norm": one.norm,
        "activation": one.activation,
        "gated": one.gated,
        "block_weights": one.block_weights,
        "head_weights": one.head.weights,
        "parameters": one.parameters,
        "kv_elements": one.kv_elements,
        "source": one.source,
    }


def described(one: Device) -> dict[str, Any]:
    """Return a memory's sizes and peaks as JSON values."""
    sizes = one.organization
    return {
        "name": one.name,
        "clock_ns": one.clock_ns,
        "channels": sizes.channels,
        "banks": sizes.banks,
        "rows": sizes.rows,
        "row_bytes": sizes.row_bytes,
        "access_bits": sizes.access_bits,
        "capacity_bytes": capacity(one),
        "internal_bytes_per_s": bounds.internal_peak(one),
        "link_bytes_per_s": None if one.link is None else bounds.external_peak(one),
        "peak_macs_per_s": None if one.mac is None else bounds.peak_macs(one),
        "timing": dict(one.timing),
        "asic_units": sorted(one.asic.units) if one.asic else [],
        "powers": [power.name for power in one.powers],
        "source": one.source,
    }


def capacity(one: Device) -> int:
    """Return the bytes that a memory holds."""
    sizes = one.organization
    return sizes.channels * sizes.banks * sizes.rows * sizes.row_bytes
